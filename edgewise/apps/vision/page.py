"""The edge server's page: what every camera sees, how each frame was answered and why, and what it cost.

`PageState` is told of records, previews and statuses by the server; browsers are told of views (`views.py`), at most ten
times a second, made only while somebody looks. The page has no way to change anything: it is read-only by construction.

Preview pictures come from the devices outside the shaped link and are in no figure; the page says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from aiohttp import web

from edgewise.apps.vision.adapting_view import AdaptingView
from edgewise.apps.vision.books import overall
from edgewise.apps.vision.camera import Camera
from edgewise.apps.vision.fleet import NodeRow
from edgewise.apps.vision.nodes import ADDRESS, NodesState
from edgewise.apps.vision.nodes import routes as node_routes
from edgewise.apps.vision.past import RANGES, Minutes, Past
from edgewise.apps.vision.status import NodeStatus, ServerStatus
from edgewise.apps.vision.views import NodeView, ServerView, plain, server_view, together
from edgewise.core.answer import FrameRecord
from edgewise.core.errors import ImageError
from edgewise.web.events import Event, Hub
from edgewise.web.quantiles import quantile
from edgewise.web.shell import HEADERS, NOWHERE, Assets, document, page
from edgewise.web.tally import Row

STATIC = Path(__file__).parent / "static"
MOST_CAMERAS = 512
EVERY = 0.1  # s between two views of one camera
AT_ONCE = 24  # views made in one go, about 2 ms, so that frames do not wait for the page; with more cameras they take turns
OVERALL = 0.5  # s between two views of the sums for up to 50 cameras, longer in proportion for more
ADAPTED = 2.0  # s between two views of how a model is adapted
LATENCIES = 4800  # newest latencies over all cameras that go into the sums' quantiles

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageState:
    """Everything that the page shows. `address` is where devices find the server, for the sentence that invites them.

    `history` is the store's, from which the charts have hours and days; without it they end ten minutes ago.
    All of it runs in one event loop and nothing here waits but for that. Records of devices beyond `MOST_CAMERAS` are counted,
    not shown.
    """

    def __init__(
        self,
        title: str = "Vision",
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        history: Minutes | None = None,
    ) -> None:
        self.title, self.address = title, address
        self.hub = Hub(self.snapshot, self.refresh)
        self.adapting: Callable[[], AdaptingView] | None = None  # how a model is adapted, where one is
        self.unshown = 0
        self.previews_refused = 0
        self._clock = clock
        self.past = Past(history) if history is not None else None
        self._wall = wall
        self._started = wall()
        self._epoch = self._started - clock()  # from this process's clock to the time of day
        self._cameras: dict[str, Camera] = {}
        self._dirty: set[str] = set()
        self._summed = -OVERALL
        self._adapted = -ADAPTED
        self._status: ServerStatus | None = None

    def record(self, record: FrameRecord) -> None:
        camera = self._camera(record.node)
        if camera is None:
            self.unshown += 1
            return
        if camera.record(record, self._clock()):
            self._publish_picture(camera)
        self._stir(record.node)

    def preview(self, node: str, jpeg: bytes, frame: int | None = None) -> None:
        """Take the latest picture of a device, of `frame` where known; ImageError when it is none, and it is counted."""
        camera = self._camera(node)
        if camera is None:
            return
        try:
            ready = camera.preview(jpeg, frame, self._clock())
        except ImageError:
            self.previews_refused += 1
            raise
        if ready:
            self._publish_picture(camera)

    def node(self, status: NodeStatus) -> None:
        camera = self._camera(status.node)
        if camera is not None:
            camera.said(status, self._clock())
            self._stir(status.node)

    def server(self, status: ServerStatus) -> None:
        self._status = status
        self.hub.stir()

    def certified(self, node: str, role: str, ends: float) -> None:
        """Whose certificate was seen, and when it ends (s since 1970)."""
        camera = self._camera(node)
        if camera is not None:
            camera.certificate = (role, ends)

    def nodes(self) -> dict[str, NodeRow]:
        """What the page knows of each node, for the nodes view; what it runs is for delivery to say."""
        now = self._clock()
        return {name: camera.row(now, self._epoch) for name, camera in self._cameras.items()}

    def table(self) -> tuple[Row, ...]:
        """The run by device and mode."""
        return tuple(row for name in sorted(self._cameras) for row in self._cameras[name].books.tally.rows())

    def snapshot(self) -> Iterator[Event]:
        """What a browser that has just come must know."""
        now = self._clock()
        yield "server", self._overall(now)
        yield "table", self._table()
        if self.adapting is not None:
            yield "adapting", self.adapting()
        for camera in self._cameras.values():
            yield "node", camera.latest(now)
            picture = camera.picture()
            if picture is not None:
                yield "picture", picture

    def refresh(self) -> None:
        """Publish the views that are due; called while somebody looks, at most ten times a second a browser."""
        now = self._clock()
        due = [c for c in self._cameras.values() if now - c.viewed >= (EVERY if c.node in self._dirty else 1.0)]
        for camera in sorted(due, key=lambda c: c.viewed)[:AT_ONCE]:
            self._dirty.discard(camera.node)
            self.hub.publish("node", camera.view(now), str(camera.slot))
        for camera in self._cameras.values():
            if camera.overdue(now):
                self._publish_picture(camera)
        if now - self._summed >= OVERALL * max(1.0, len(self._cameras) / 50):
            self._summed = now
            self.hub.publish("server", self._overall(now), "server")
            self.hub.publish("table", self._table(), "table")
            if self.adapting is not None and now - self._adapted >= ADAPTED:
                self._adapted = now
                self.hub.publish("adapting", self.adapting(), "adapting")
            for camera in self._cameras.values():
                for second in camera.history.close(now):
                    self.hub.publish("second", {"slot": camera.slot, "second": second})

    def history(self) -> dict[str, object]:
        """Every camera's closed seconds, by column; `epoch` turns `at` into the time of day (s)."""
        now = self._clock()
        for camera in self._cameras.values():
            camera.history.close(now)
        nodes = [
            {"slot": c.slot, "node": plain(c.node), "after": c.history.after, **c.history.columns()}
            for c in self._cameras.values()
        ]
        return {"epoch": self._epoch, "now": now, "nodes": nodes}

    async def earlier(self, range_: str) -> dict[str, object]:
        """Steps of hours or days (`past.RANGES`), from the store; no devices where there is none."""
        if self.past is None:
            return {"range": range_, "epoch": self._epoch, "nodes": []}
        return {"epoch": self._epoch, **await asyncio.to_thread(self.past.read, range_, self._wall())}

    def picture(self, node: str, version: int | None = None) -> bytes | None:
        camera = self._cameras.get(node)
        return None if camera is None else camera.jpeg(version)

    def _camera(self, node: str) -> Camera | None:
        found = self._cameras.get(node)
        if found is None and len(self._cameras) < MOST_CAMERAS:
            found = self._cameras[node] = Camera(node, len(self._cameras), self._clock())
        return found

    def _stir(self, node: str) -> None:
        self._dirty.add(node)
        self.hub.stir()

    def _publish_picture(self, camera: Camera) -> None:
        picture = camera.picture()
        if picture is not None:
            self.hub.publish("picture", picture, str(camera.slot))

    def _table(self) -> dict[str, object]:
        slots = {name: camera.slot for name, camera in self._cameras.items()}
        rows = [{"slot": slots[row.node], **msgspec.structs.asdict(row), "node": plain(row.node)} for row in self.table()]
        return {"rows": rows}

    def _overall(self, now: float) -> ServerView:
        cameras = self._cameras.values()
        views: list[NodeView] = [camera.latest(now) for camera in cameras]
        share = max(1, LATENCIES // max(1, len(cameras)))
        latencies = sorted(latency for camera in cameras for latency in camera.recent.latencies(share))
        figures = msgspec.structs.replace(
            together(view.figures for view in views),
            latency_p50=quantile(latencies, 0.5),
            latency_p95=quantile(latencies, 0.95),
        )
        books = overall([view.accounts for view in views])
        return server_view(self._started, views, figures, books, self.unshown, self.previews_refused, self.address, self._status)


def routes(state: PageState, places: Mapping[str, str] = NOWHERE) -> list[web.RouteDef]:
    """The page's addresses: `/`, `/events`, `/history`, `/preview/{node}.jpg` and `/static/…`."""
    assets = Assets([STATIC])
    body = (STATIC / "vision.html").read_text(encoding="utf-8")
    text = document(state.title, body, assets, ["theme.css", "vision.css"], ["vision.js"], places)

    async def front(request: web.Request) -> web.Response:
        return page(text)

    async def history(request: web.Request) -> web.Response:
        asked = request.query.get("range", "")
        if asked and asked not in RANGES:
            return web.Response(status=400, text=f"There is no such range; allowed: {', '.join(RANGES)}.", headers=HEADERS)
        found = await state.earlier(asked) if asked else state.history()
        response = web.Response(body=msgspec.json.encode(found), content_type="application/json")
        response.headers.update(HEADERS | {"Cache-Control": "no-store"})
        response.enable_compression()
        return response

    async def preview(request: web.Request) -> web.Response:
        version = request.query.get("v", "")
        jpeg = state.picture(request.match_info["node"], int(version) if version.isdecimal() else None)
        if jpeg is None:
            return web.Response(status=404, text="There is no such picture of that camera, or no longer.", headers=HEADERS)
        return web.Response(body=jpeg, content_type="image/jpeg", headers=HEADERS | {"Cache-Control": "no-store"})

    return [
        web.get("/", front),
        web.get("/events", state.hub.stream),
        web.get("/history", history),
        web.get("/preview/{node}.jpg", preview),
        assets.route(),
    ]


def mount(app: web.Application, state: PageState, nodes: NodesState | None = None) -> None:
    """Put the page into an application, with the nodes view where there is delivery, and end its streams when that goes down."""
    places = {state.title: "/", nodes.title: ADDRESS} if nodes is not None else NOWHERE
    app.add_routes(routes(state, places))
    if nodes is not None:
        app.add_routes(node_routes(nodes, places))

    async def close(app: web.Application) -> None:
        state.hub.close()
        if nodes is not None:
            nodes.hub.close()

    app.on_shutdown.append(close)
