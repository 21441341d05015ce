"""The nodes view of the page: rows of nodes, rollouts and the audit log, sent to browsers as they change, once a second at most.

A browser that has just come is told everything; after that only rows that differ from what was last sent, so that five hundred
quiet nodes cost nothing. For the same reason it is told in steps of `COARSE` seconds when a connected node was last heard of.

It reads alone. What a person may change goes by `api.py`, with a token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec.structs import replace

from edgewise.apps.vision.fleet import Fleet, NodeRow
from edgewise.node.delivery.audit import Entry
from edgewise.web.events import Event, Hub
from edgewise.web.shell import Assets, document, page

STATIC = Path(__file__).parent / "static"
ADDRESS = "/view/nodes"
EVERY = 1.0  # s between two looks at the fleet
COARSE = 10.0  # s
LINES = 100  # of the audit log, for a browser that has just come


class NodesState:
    """What the nodes view shows: `fleet()` gives nodes and rollouts, `audit(most)` the newest lines. Nothing here waits."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        audit: Callable[[int], list[Entry]],
        title: str = "Nodes",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.title = title
        self.hub = Hub(self.snapshot, self.refresh)
        self._fleet, self._audit, self._clock = fleet, audit, clock
        self._started = wall()
        self._sent: dict[tuple[str, str], msgspec.Struct] = {}
        self._line = 0
        self._looked = -EVERY

    def snapshot(self) -> Iterator[Event]:
        """Everything, for a browser that has just come."""
        fleet = self._fleet()
        yield "fleet", self._names(fleet)
        yield "audit", {"entries": self._audit(LINES)}
        for (kind, _), row in _rows(fleet).items():
            yield kind, row

    def refresh(self) -> None:
        """Publish what has changed; called while somebody looks."""
        now = self._clock()
        if now - self._looked < EVERY:
            return
        self._looked = now
        fleet = self._fleet()
        rows = _rows(fleet)
        for key, row in rows.items():
            if self._sent.get(key) != row:
                self.hub.publish(key[0], row, key[1])
        if rows.keys() != self._sent.keys() or any(self._sent[key] != row for key, row in rows.items()):
            self.hub.publish("fleet", self._names(fleet), "fleet")
        self._sent = rows
        newest = self._audit(LINES)
        fresh = [line for line in newest if line.number > self._line]
        if fresh:
            self._line = fresh[0].number
            self.hub.publish("audit", {"entries": fresh})

    def _names(self, fleet: Fleet) -> dict[str, object]:
        """Who is there at all, so that a browser drops the others; `started` tells one run of the server from the next."""
        nodes, rollouts = [row.node for row in fleet.nodes], [row.key for row in fleet.rollouts]
        return {"started": self._started, "at": fleet.at, "nodes": nodes, "rollouts": rollouts}


def _rows(fleet: Fleet) -> dict[tuple[str, str], msgspec.Struct]:
    nodes = {("node", row.node): _coarse(row) for row in fleet.nodes}
    return {**nodes, **{("rollout", row.key): row for row in fleet.rollouts}}


def _coarse(row: NodeRow) -> NodeRow:
    return replace(row, heard=row.heard // COARSE * COARSE) if row.connected and row.heard is not None else row


def routes(state: NodesState, places: Mapping[str, str]) -> list[web.RouteDef]:
    """The view's addresses: ADDRESS and its events. Static files stand under the page's own address (`page.py`)."""
    body = (STATIC / "nodes.html").read_text(encoding="utf-8")
    text = document(state.title, body, Assets([STATIC]), ["theme.css", "nodes.css"], ["nodes.js"], places)

    async def front(request: web.Request) -> web.Response:
        return page(text)

    return [web.get(ADDRESS, front), web.get(f"{ADDRESS}/events", state.hub.stream)]
