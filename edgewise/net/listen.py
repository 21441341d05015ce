"""A server's door: one TLS port with a WebSocket for devices, and whatever other routes the server has (health, page).

Each device's connection is given to a handler, with who it is. Bounds: connections, size of a message, seconds of a TLS
handshake, and bytes that wait for a peer that does not read. All that is refused or cut is counted in `counts`.

Every request is judged before any route sees it: a certificate that was taken back, or has ended, is refused; one that ended a
short while ago may ask for a new one (RENEW) and nothing else. Connections end with their certificates, and within WATCH seconds
of a revocation.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any

from aiohttp import web
from msgspec import Struct

from edgewise.core.errors import IdentityError, LinkError
from edgewise.net.certificates import Facts, facts_of_peer, standing
from edgewise.net.connect import PATH, REFUSED
from edgewise.net.transport import CLOSE_SECONDS, WebSocketTransport

log = logging.getLogger(__name__)
RENEW = "/identity/renew"
WATCH = 0.5  # s between two looks at who is connected


class Peer(Struct, frozen=True):
    """Who is at the other end, as its certificate says ("" where there is no TLS), and its network address."""

    node: str
    role: str
    address: str
    serial: str = ""
    ends: float = 0.0  # of the certificate (s since 1970)


Handler = Callable[[WebSocketTransport, Peer], Awaitable[None]]
Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Listener:
    """`start` listens, `close` ends every connection; one Listener is one port. Routes may be added to `app` before `start`.

    `revoked` gives the serial numbers that are void (`revocation.Revocations`), `on_refused` is told the kind, which is also the
    word in `counts`, and a sentence of everything that was refused or cut for who it was.
    """

    def __init__(
        self,
        handler: Handler,
        context: ssl.SSLContext | None,
        *,
        routes: Iterable[web.AbstractRouteDef] = (),
        path: str = PATH,
        roles: tuple[str, ...] = ("device",),
        max_message: int = 8 << 20,
        queue: int = 1 << 20,
        max_connections: int = 1024,
        revoked: Callable[[], Container[str]] = frozenset,
        clock: Callable[[], float] = time.time,
        on_refused: Callable[[str, str], None] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._revoked, self._clock, self._on_refused = revoked, clock, on_refused
        self._open: dict[asyncio.Transport, tuple[Facts, bool]] = {}  # requests under way; whether they may be late
        self._watcher: asyncio.Task[None] | None = None
        self.app = web.Application(middlewares=[self._judged])
        self.app.add_routes([web.get(path, self._accept), *routes])
        self.port = 0
        self._handler, self._context, self._roles = handler, context, roles
        self._max_message, self._queue, self._max_connections = max_message, queue, max_connections
        self._live: set[WebSocketTransport] = set()
        self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
        self._server: asyncio.Server | None = None
        if context is not None:
            _count_refusals(context, self._refused)

    @property
    def connections(self) -> int:
        return len(self._live)

    async def start(self, host: str, port: int = 0) -> int:
        """Listen; the port (a free one where 0 was asked for). LinkError where the address is taken."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        tls: dict[str, Any] = {} if self._context is None else {"ssl": self._context, "ssl_handshake_timeout": 5.0}
        try:
            self._server = await asyncio.get_running_loop().create_server(server, host, port, backlog=1024, **tls)
        except OSError as error:
            await self._runner.cleanup()
            raise LinkError(f"cannot listen on {host}:{port}", got=error, hint="Is another server running there?") from None
        self.port = int(self._server.sockets[0].getsockname()[1])
        if self._context is not None:
            self._watcher = asyncio.create_task(self._watch())
        return self.port

    async def close(self) -> None:
        """Stop listening and end every connection; handlers see LinkError."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        await asyncio.gather(*(transport.close() for transport in self._live))
        await self._runner.cleanup()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        try:
            peer = self.peer(request)
        except LinkError as error:
            return _forbidden(error)
        if len(self._live) >= self._max_connections:
            self.counts["refused connections"] += 1
            sentence = f"the server has {self._max_connections} connections and takes no more."
            return web.Response(status=503, text=sentence, headers={REFUSED: sentence})
        ws = web.WebSocketResponse(timeout=CLOSE_SECONDS, compress=False, max_msg_size=self._max_message)
        try:
            speaks = bool(ws.can_prepare(request))
        except ValueError:  # a key that is no base64: aiohttp lets the error of its decoder out
            speaks = False
        if not speaks:
            self.counts["refused requests"] += 1
            return web.Response(status=426, text="Devices speak WebSocket here.")
        await ws.prepare(request)
        if request.transport is None:  # gone already
            return ws
        wire = request.transport
        transport = WebSocketTransport(ws, wire, queue=self._queue, slow=self._slow)
        self.counts["accepted"] += 1
        self._live.add(transport)
        try:
            await self._handler(transport, peer)
        except LinkError:
            self.counts["lost"] += 1
        except Exception:  # the border of a connection's task: one device's trouble is not another's
            self.counts["handler errors"] += 1
            log.exception("the handler of %s failed", peer.node or peer.address)
        finally:
            self._live.discard(transport)
            await transport.close()
        return ws

    def _slow(self) -> None:
        self.counts["slow readers"] += 1

    def peer(self, request: web.Request, roles: tuple[str, ...] | None = None) -> Peer:
        """Who asks, by certificate; IdentityError where there is none, or its role is not one of `roles` (the door's own)."""
        address, allowed = request.remote or "", self._roles if roles is None else roles
        if self._context is None:
            return Peer("", "", address)
        of = _facts(request)
        if of is None:
            raise self._refused("refused identity", IdentityError("a peer shows no certificate", allowed="one of the authority"))
        if of.role not in allowed:
            error = IdentityError(f"{of.node} has the wrong role", got=of.role, allowed=", ".join(allowed))
            raise self._refused("refused identity", error)
        return Peer(of.node, of.role, address, of.serial, of.ends)

    @web.middleware
    async def _judged(self, request: web.Request, handler: Route) -> web.StreamResponse:
        """Let nobody in whose certificate is void, and remember who is in."""
        of = _facts(request)
        transport = request.transport
        if of is None or transport is None:
            return await handler(request)
        late = request.path == RENEW
        fault = self._fault(of, late)
        if fault is not None:
            return _forbidden(self._refused(f"refused {fault[0]}", fault[1]))
        self._open[transport] = of, late
        try:
            return await handler(request)
        finally:
            self._open.pop(transport, None)

    def _fault(self, of: Facts, late: bool) -> tuple[str, IdentityError] | None:
        if of.serial in self._revoked():
            hint = "Ask the one who runs the server for a new one."
            return "revoked", IdentityError(f"the certificate of {of.node} was taken back", got=of.serial, hint=hint)
        now = self._clock()
        stands = standing(of, now)
        if stands == "ended" or (stands == "late" and not late):
            day, today = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (of.ends, now))
            hint = "It may still be renewed." if stands == "late" else "Ask the one who runs the server for a new one."
            error = IdentityError(f"the certificate of {of.node} has expired", got=day, allowed=f"{today} or later", hint=hint)
            return "expired", error
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            try:
                self._cut()
            except Exception:  # this task's border: whoever is connected stays so, and it is seen
                self.counts["watch errors"] += 1
                log.exception("connections were not looked at")

    def _cut(self) -> None:
        for transport, (of, late) in list(self._open.items()):
            fault = self._fault(of, late)
            if fault is not None:
                transport.abort()
                self._open.pop(transport, None)
                self._refused(f"cut {fault[0]}", fault[1])

    def _refused(self, kind: str, error: IdentityError) -> IdentityError:
        self.counts[kind] += 1
        if self._on_refused is not None:
            self._on_refused(kind, str(error))
        return error


def _facts(request: web.Request) -> Facts | None:
    certificate = request.get_extra_info("peercert")
    return facts_of_peer(certificate) if certificate else None


def _forbidden(error: LinkError) -> web.Response:
    return web.Response(status=403, text=str(error), headers={REFUSED: _header(str(error))})


def _header(sentence: str) -> str:
    return sentence.encode("ascii", "replace").decode("ascii").replace("\n", " ").replace("\r", " ")


def _count_refusals(context: ssl.SSLContext, refused: Callable[[str, IdentityError], IdentityError]) -> None:
    """Tell of handshakes that fail: asyncio ends them before anybody else hears of them."""

    class Counted(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                reason = error.reason or ""
                if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason:
                    refused("tls: no certificate", IdentityError("a peer shows no certificate"))
                elif "CERTIFICATE_VERIFY_FAILED" in reason:
                    got = getattr(error, "verify_message", "") or reason
                    refused("tls: certificate refused", IdentityError("a peer's certificate is not of our authority", got=got))
                else:
                    refused("tls: other", IdentityError("a handshake failed", got=reason.lower()))
                raise

    context.sslobject_class = Counted
