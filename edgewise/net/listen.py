"""A server's door: one TLS port with a WebSocket for devices, and whatever other routes the server has (health, page).

Each device's connection is given to a handler, with who it is. Bounds: connections, size of a message, seconds of a TLS
handshake, and bytes that wait for a peer that does not read. All that is refused or cut is counted in `counts`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from msgspec import Struct

from edgewise.core.errors import LinkError
from edgewise.net.connect import PATH, REFUSED
from edgewise.net.transport import CLOSE_SECONDS, WebSocketTransport

log = logging.getLogger(__name__)


class Peer(Struct, frozen=True):
    """Who is at the other end, as its certificate says ("" where there is no TLS), and its network address."""

    node: str
    role: str
    address: str


Handler = Callable[[WebSocketTransport, Peer], Awaitable[None]]


class Listener:
    """`start` listens, `close` ends every connection; one Listener is one port. Routes may be added to `app` before `start`."""

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
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.app = web.Application()
        self.app.add_routes([web.get(path, self._accept), *routes])
        self.port = 0
        self._handler, self._context, self._roles = handler, context, roles
        self._max_message, self._queue, self._max_connections = max_message, queue, max_connections
        self._live: set[WebSocketTransport] = set()
        self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
        self._server: asyncio.Server | None = None
        if context is not None:
            _count_refusals(context, self.counts)

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
        return self.port

    async def close(self) -> None:
        """Stop listening and end every connection; handlers see LinkError."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.gather(*(transport.close() for transport in self._live))
        await self._runner.cleanup()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        try:
            peer = self.peer(request)
        except LinkError as error:
            self.counts["refused identity"] += 1
            return web.Response(status=403, text=str(error), headers={REFUSED: _header(str(error))})
        if len(self._live) >= self._max_connections:
            self.counts["refused connections"] += 1
            sentence = f"the server has {self._max_connections} connections and takes no more."
            return web.Response(status=503, text=sentence, headers={REFUSED: sentence})
        ws = web.WebSocketResponse(timeout=CLOSE_SECONDS, compress=False, max_msg_size=self._max_message)
        if not ws.can_prepare(request):
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

    def peer(self, request: web.Request) -> Peer:
        """Who asks, by certificate; LinkError where there is none, or its role may not."""
        address = request.remote or ""
        if self._context is None:
            return Peer("", "", address)
        certificate = request.get_extra_info("peercert")
        if not certificate:
            raise LinkError("a device shows no certificate", allowed="one of the server's authority")
        names = {key: value for part in certificate["subject"] for key, value in part}
        peer = Peer(names.get("commonName", ""), names.get("organizationalUnitName", ""), address)
        if peer.role not in self._roles:
            raise LinkError(f"{peer.node} has the wrong role", got=peer.role, allowed=", ".join(self._roles))
        return peer


def _header(sentence: str) -> str:
    return sentence.encode("ascii", "replace").decode("ascii").replace("\n", " ").replace("\r", " ")


def _count_refusals(context: ssl.SSLContext, counts: Counter[str]) -> None:
    """Count handshakes that fail: asyncio ends them before anybody else hears of them."""

    class Counted(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                reason = error.reason or ""
                if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason:
                    counts["tls: no certificate"] += 1
                elif "CERTIFICATE_VERIFY_FAILED" in reason:
                    counts["tls: certificate refused"] += 1
                else:
                    counts["tls: other"] += 1
                raise

    context.sslobject_class = Counted
