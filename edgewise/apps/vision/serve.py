"""`edgewise serve`: bundles, certificates, the door for devices, and the page, wired into one edge server."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from msgspec import Struct
from rich.console import Console

from edgewise import __version__
from edgewise.apps.vision import logs
from edgewise.apps.vision.api import routes
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.children import announce as say_ready
from edgewise.apps.vision.keys import server_identity
from edgewise.apps.vision.nodes import NodesState
from edgewise.apps.vision.page import PageState, mount
from edgewise.apps.vision.reports import report_routes
from edgewise.apps.vision.status import ModelVersion, ServerStatus
from edgewise.apps.vision.stock import Stock
from edgewise.core.answer import FrameRecord
from edgewise.core.errors import ConfigError, EdgewiseError, LinkError
from edgewise.net.allowance import Allowances
from edgewise.net.edge_session import wants_nothing
from edgewise.net.identity import Identity, server_context
from edgewise.net.limits import limits
from edgewise.net.listen import Listener
from edgewise.net.renewal import renew_own, renewal_route
from edgewise.net.revocation import Revocations
from edgewise.net.tokens import Tokens
from edgewise.node.background import background, cancel
from edgewise.node.server import EdgeServer, Health
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle, read_manifest
from edgewise.web.tally import Row

if TYPE_CHECKING:
    from edgewise.apps.vision.adapting import AdaptConfig, Adapting

log = logging.getLogger("edgewise.serve")
RENEW_EVERY = 3600.0  # s between two looks at the calendar
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REFUSALS = (
    "unreadable",
    "unreadable payload",
    "oversized",
    "out of order",
    "duplicate",
    "unknown stream",
    "refused stream",
    "refused hello",
    "over credit",
    "unreadable rows",
    "items refused",
    "superseded",
    "expired",
    "queue full",
)


class ServeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `edgewise serve` was asked for; see its help."""

    bundles: tuple[str, ...]
    keys: str
    host: str
    port: int
    page_port: int | None
    names: tuple[str, ...] = ()
    threads: int = 1
    largest_batch: int = 8
    log: str = "text"
    state: str = ""
    files: str = ""
    adapt: AdaptConfig | None = None


class ServeOutcome(Struct, frozen=True):
    """What a server says at its end: its health, the page's table by device and mode, and whether torch was ever needed."""

    health: Health
    table: tuple[Row, ...]
    torch_imported: bool


def run_server(config: ServeConfig, console: Console, announce: Path | None = None) -> ServeOutcome:
    """Serve until SIGINT or SIGTERM."""
    logs.begin(config.log)
    return asyncio.run(_serve(config, console, announce))


async def _serve(config: ServeConfig, console: Console, announce: Path | None) -> ServeOutcome:
    keys, folders = Path(config.keys), [find(b) for b in config.bundles]
    if config.adapt is not None and len(folders) != 1:
        hint = "Serve the others by another server, or without --adapt."
        raise ConfigError("a server adapts one model", got=", ".join(f.name for f in folders), allowed="one bundle", hint=hint)
    tails = Tails([Bundle.open(folder) for folder in folders], config.threads)
    identity = server_identity(keys, config.names)
    place = Path(config.state or keys / "state")
    stock = Stock(place, keys, config.files, lambda: state.nodes())
    state = PageState(history=stock.history)
    stock.own({read_manifest(folder).name: folder for folder in folders})
    adapting = None
    if config.adapt is not None:
        from edgewise.apps.vision.adapting import Adapting

        adapting = Adapting(config.adapt, folders[0], stock, keys, place)
    server = EdgeServer(
        tails,
        largest=config.largest_batch,
        on_record=state.record if adapting is None else partial(_recorded, state, adapting),
        inbox=stock.inbox,
        transaction=stock.database.transaction,
        on_rows=stock.rows,
        on_items=stock.items,
        news=stock.news,
        wants=adapting.learning if adapting is not None else wants_nothing,
        on_samples=adapting.samples if adapting is not None else None,
    )
    audit = partial(_audited, stock)
    context = server_context(identity)
    listener = Listener(
        partial(stock.handle, server), context, routes=server.routes(), revoked=Revocations(keys), on_refused=audit
    )
    listener.app.add_routes(report_routes(state, listener.peer))
    listener.app.add_routes(routes(stock.delivery, listener.peer, None))
    listener.app.add_routes([renewal_route(keys, listener, on_refused=audit)])
    server.border = listener.counts
    if adapting is not None:
        await _begin(adapting, tails, server, console)
        state.adapting = adapting.view
    await server.start()
    port = await listener.start(config.host, config.port)
    state.address = f"HOST:{port}"
    shown, page_port = await _show_page(config, state, server, stock)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    console.print(f"edge server on port {port} (TLS, certificates in {keys}); models: {', '.join(tails.models.values())}")
    if page_port:
        console.print(f"page: http://127.0.0.1:{page_port}/")
    console.print(
        f"add a device: edgewise keys issue NAME --keys {keys}, then there: edgewise run --source … --server HOST:{port}",
        soft_wrap=True,
    )
    say_ready(announce, {"port": port, "page": page_port})
    tasks: tuple[asyncio.Task[None], ...] = (
        background(_keep_status(server, state), "the page's status", lambda sentence: None),
        background(stock.keep(server, tails), "delivery", lambda sentence: stop.set()),
        background(_renew(keys, identity, context), "the server's certificate", lambda sentence: None),
    )
    if adapting is not None:
        tasks = (*tasks, background(adapting.run(), "adapting", adapting.broke))
    await stop.wait()
    await cancel(*tasks)
    if adapting is not None:
        await adapting.close()
    if shown is not None:
        await shown.cleanup()
    state.hub.close()
    await listener.close()
    await server.stop()
    stock.close()
    return ServeOutcome(server.health(), state.table(), "torch" in sys.modules)


def _recorded(state: PageState, adapting: Adapting, record: FrameRecord) -> None:
    adapting.course.frames += 1
    state.record(record)


async def _begin(adapting: Adapting, tails: Tails, server: EdgeServer, console: Console) -> None:
    """Wait until the adapting process is ready; nothing of it is left where it cannot begin."""
    adapting.on_wanted = server.relearn
    try:
        with console.status("the teacher is loaded …"):
            ready = await adapting.begin()
        if (teacher := adapting.answering(ready)) is not None:
            tails.tutor(adapting.manifest.name, teacher)
    except BaseException:
        await adapting.close()
        raise
    console.print(f"{ready.model} is adapted by {ready.teacher}: {ready.values} values of {ready.paths} parameters")


async def _renew(keys: Path, identity: Identity, context: ssl.SSLContext) -> None:
    """Renew the server's own certificate in time; connections that begin after that are shown the new one."""
    due = False
    while True:
        await asyncio.sleep(RENEW_EVERY)
        try:
            due = renew_own(keys, identity, time.time()) or due
            if due:
                context.load_cert_chain(identity.certificate, identity.key)
                due = False
        except (OSError, ValueError, EdgewiseError) as error:  # a full disk, a file of the folder that is torn: tried again
            log.error("the server's own certificate is not renewed: %s", error)


def _audited(stock: Stock, kind: str, sentence: str) -> None:
    """Write down who was refused at the door, and for what."""
    stock.delivery.rollouts.audit.bounded(time.time(), "door", kind, "", sentence)


async def _show_page(config: ServeConfig, state: PageState, server: EdgeServer, stock: Stock) -> tuple[web.AppRunner | None, int]:
    """The page on loopback without TLS, so that a browser shows it without a warning; the next free port where it is taken."""
    if config.page_port is None:
        return None, 0
    watch = limits(Allowances(rate=50, burst=400), Allowances(rate=0.1, burst=10), on_refused=partial(_audited, stock))
    app = web.Application(middlewares=[_loopback_only, watch])
    mount(app, state, NodesState(stock.delivery.fleet, stock.delivery.audit))
    app.add_routes(server.routes())
    app.add_routes(routes(stock.delivery, None, Tokens(Path(config.keys))))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    tries = [config.page_port] if config.page_port == 0 else [*range(config.page_port, config.page_port + 20), 0]
    for port in tries:
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
        except OSError:
            continue
        sockets: Any = site._server.sockets  # type: ignore[union-attr]
        return runner, int(sockets[0].getsockname()[1])
    raise LinkError("no port is free for the page", got=config.page_port, hint="Say another --page-port, or --headless for none.")


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page of another origin must not reach the cameras by a name of its own that points here (DNS rebinding)."""
    if request.url.host not in ("127.0.0.1", "localhost", "::1"):
        raise web.HTTPForbidden(text="This page is shown to this machine alone: http://127.0.0.1")
    return await handler(request)


async def _keep_status(server: EdgeServer, state: PageState) -> None:
    """Tell the page how the server is, twice a second."""
    cpu, at, worked = time.process_time(), time.monotonic(), server.worked
    while True:
        await asyncio.sleep(0.5)
        now, used = time.monotonic(), time.process_time()
        health, streams = server.health(), server.edge.streams()
        refused = {k: n for k in REFUSALS if (n := health.counts.get(k))}
        refused |= {k: n for k, n in server.border.items() if k != "accepted"}
        state.server(
            ServerStatus(
                queue=health.queue,
                batch_mean=health.batch_mean or None,
                batch_most=max(server.batches, default=None),
                wait=health.forecast,
                tail=sorted(server.seconds)[len(server.seconds) // 2] if server.seconds else None,
                busy=(server.worked - worked) / (now - at),
                cpu=(used - cpu) / (now - at),
                memory=round(health.memory),
                models=tuple(
                    ModelVersion(name, address, streams[address], server.edge.answered[address])
                    for address, name in health.models.items()
                ),
                refused=refused,
                uptime=health.uptime,
                version=__version__,
            )
        )
        cpu, at, worked = used, now, server.worked
