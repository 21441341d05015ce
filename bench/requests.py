"""Fuzzed: HTTP. Raw bytes to aiohttp's own parser and through it to our routes, over a real database and files.

Most cases go through a connection in memory, a few (`which` 2) through a real socket on loopback. 0 is the port for certificates,
whose guest is an operator here, so that what is behind the door is reached; 1 is the page's. A status of 500 is a crash: a route
let an error out. Who asks for a stream (events, the devices' link) is ended from outside, as a browser that goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.mutation import mutated
from bench.text_targets import MEMORY
from bench.wire_targets import FRAMES, HELLO
from edgewise.apps.vision import api
from edgewise.apps.vision.delivery import Delivery
from edgewise.apps.vision.page import PageState, mount
from edgewise.apps.vision.reports import report_routes
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.release import FileEntry, Key, Release, Trust, pack
from edgewise.core.rollout import Condition, Plan
from edgewise.net import signing
from edgewise.net.frame import Header, Kind, encode
from edgewise.net.listen import Listener, Peer
from edgewise.net.messages import Stream
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.server import EdgeServer
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

NOW = 1.5e9
FILE = b"a file that is here " * 20
OTHER = b"a file that is not here yet"
TURNS = 12  # of the loop, in which a request that waits for nothing is answered
ENDING = 0.02  # s that a request which does wait is given
SOCKETS = 0.02  # of all cases
GUEST = Peer("ben", "operator", "127.0.0.1")
PREVIEW = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(40) + b"\xff\xd9"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Silent:
    """A model of a server that has none."""

    models: dict[str, str] = {}

    def accept(self, stream: Stream) -> str | None:
        return "there are no models here."

    def key(self, stream: Stream) -> tuple[str, str]:
        return "", ""

    def run(self, frames: object) -> list[Any]:
        return []


class Overheard:
    """Stands where aiohttp wants a logger: keeps the error that a route let out."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def forget(self) -> None:
        self.error = None

    def exception(self, message: str, *words: object, exc_info: BaseException | None = None, **more: object) -> None:
        self.error = exc_info or self.error

    def debug(self, message: str, *words: object, **more: object) -> None: ...

    info = warning = debug


class Wire(asyncio.Transport):
    """A connection in memory: what is written to it is kept, its first bytes at least."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 80)})
        self.said, self.closed = bytearray(), False

    def write(self, data: Any) -> None:
        if len(self.said) < 4096:
            self.said += data

    def writelines(self, pieces: Any) -> None:
        for piece in pieces:
            self.write(piece)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def can_write_eof(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def request(method: str, path: str, body: bytes | None = None, *headers: str) -> tuple[bytes, bytes]:
    """Head (without the length, and without the blank line) and body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    return "\r\n".join(lines).encode(), b"" if body is None else body


def whole(head: bytes, body: bytes) -> bytes:
    length = b"\r\nContent-Length: %d" % len(body) if body else b""
    return head + length + b"\r\n\r\n" + body


class Requests:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._heard)
        self._folder = Path(tempfile.mkdtemp(prefix="edgewise-fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
        self._log = Overheard()
        self._runners: list[web.AppRunner] = []
        self._open: contextlib.ExitStack = contextlib.ExitStack()
        self._port = 0
        names = ("root", "publisher", "channel")
        self._keys = {name: Ed25519PrivateKey.from_private_bytes(bytes([i] * 32)) for i, name in enumerate(names)}
        files = {"manifest.json": FileEntry(sha(FILE), len(FILE))}
        self._releases = [
            signing.sign(
                Release("vehicles", version, sha(FILE), files, 1e9, 2e9, about=f"{version}"),
                {"publisher": self._keys["publisher"]},
            )
            for version in (1, 2, 3)
        ]
        self._seeds = self._requests()

    def _requests(self) -> list[tuple[bytes, bytes]]:
        plan = Plan("yard", self._releases[1].digest, 0.5, 60.0, (Condition("p95", False, 0.12),))
        link = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "==")
        hello = encode(Header(Kind.HELLO), HELLO)
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(OTHER), OTHER)
        return [
            request("GET", "/healthz"),
            request("GET", "/metrics"),
            request("GET", "/nodes"),
            request("GET", "/releases"),
            request("GET", "/audit?most=5", None, "Accept-Encoding: deflate, gzip"),
            request("GET", f"/files/{sha(FILE)}", None, "Range: bytes=10-99", f'If-Range: "{sha(FILE)}"'),
            request("HEAD", f"/files/{sha(OTHER)}"),
            request("PUT", f"/files/{sha(OTHER)}", OTHER, f"Content-Range: bytes 0-{len(OTHER) - 1}/{len(OTHER)}"),
            (request("PUT", f"/files/{sha(OTHER)}", None, "Transfer-Encoding: chunked")[0] + b"\r\n\r\n" + chunked, b""),
            request("POST", "/releases?channel=yard&own=yes", pack(self._releases[2])),
            request("POST", "/rollouts", msgspec.json.encode(plan)),
            request("POST", "/rollouts", msgspec.json.encode(plan), "Origin: http://127.0.0.1", "Sec-Fetch-Site: same-origin"),
            request("POST", "/rollouts/yard/pause?model=vehicles"),
            request("POST", "/rollouts/yard/resume"),
            request("POST", "/rollouts/yard/revert", None, "Authorization: Bearer ew1_" + "a" * 43),
            request("POST", "/nodes/cam-1/channel/yard"),
            request("POST", "/report/status", msgspec.json.encode(NodeStatus("ben", True))),
            request("POST", "/report/preview/3", PREVIEW, "Content-Type: image/jpeg"),
            request("GET", "/"),
            request("GET", "/static/b191ce56a309/theme.css", None, 'If-None-Match: "x"'),
            (request("GET", "/link", None, *link)[0] + b"\r\n\r\n" + masked(hello) + masked(FRAMES[2]), b""),
        ]

    def begin(self) -> None:
        self._loop.run_until_complete(self._shut())
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        disk = RealDisk(self._folder)
        database = disk.connect("edge.sqlite")
        self._open.callback(database.close)
        blobs = Blobs(disk)
        blobs.put(FILE)
        roles = {n: Key(signing.public(self._keys[n]), n) for n in ("publisher", "channel")}
        trust = pack(signing.sign(Trust(1, 1e9, 2e9, roles), {"root": self._keys["root"]}))
        rollouts = Rollouts(database, blobs, lambda a: signing.sign(a, {"channel": self._keys["channel"]}), trust)
        for envelope in self._releases[:2]:
            rollouts.publish(envelope, "ben", NOW)
        rollouts.adopt("yard", self._releases[0].digest, "ben", NOW)
        rollouts.seen("cam-1", NOW)
        delivery = Delivery(rollouts, blobs, database, wall=lambda: NOW)
        state = PageState()
        server = EdgeServer(Silent())
        listener = Listener(server.handle, None, routes=server.routes())
        listener.app.add_routes(api.routes(delivery, lambda request, roles=None: GUEST, None))
        listener.app.add_routes(report_routes(state, lambda request: GUEST))
        page = web.Application()
        mount(page, state)
        page.add_routes(api.routes(delivery, None, None))
        self._loop.run_until_complete(self._serve(server, listener.app, page))

    async def _serve(self, server: EdgeServer, *apps: web.Application) -> None:
        self._loop_server = server
        for app in apps:
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.05, logger=self._log)
            await runner.setup()
            self._runners.append(runner)
        server._loop = self._loop  # `start` would take the whole process's collector and switches
        site = web.TCPSite(self._runners[0], "127.0.0.1", 0)
        await site.start()
        self._port = self._runners[0].addresses[0][1]

    async def _shut(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if self._runners:
            self._loop_server._worker.shutdown()
        self._runners = []

    def draw(self, random: Random) -> tuple[int, bytes]:
        head, body = self._seeds[random.randrange(len(self._seeds))]
        chance = random.random()
        if body and chance < 0.4:  # the body alone, its length told rightly
            data = whole(head, mutated(random, (body,)))
        elif chance < 0.6:  # the head alone
            data = whole(mutated(random, (head,)), body)
        else:
            other = self._seeds[random.randrange(len(self._seeds))]
            data = mutated(random, (whole(head, body), whole(*other)))
        return 2 if random.random() < SOCKETS else random.random() < 0.25, data

    def feed(self, which: int, data: bytes) -> bool:
        self._log.forget()
        case: Coroutine[Any, Any, bytes] = self._socket(data) if which == 2 else self._memory(which, data)
        said = self._loop.run_until_complete(case)
        if self._log.error is not None and (b" 500 " in said[:16] or not isinstance(self._log.error, Exception)):
            raise self._log.error
        if b" 500 " in said[:16]:
            raise AssertionError(f"a route answers with status 500: {bytes(said[-200:])!r}")
        return said[9:10] in (b"1", b"2", b"3")

    async def _memory(self, which: int, data: bytes) -> bytes:
        server = self._runners[which].server
        assert server is not None
        protocol, wire = server(), Wire()
        protocol.connection_made(wire)
        protocol.data_received(data)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if protocol._current_request is not None:
            await asyncio.sleep(0.001)
        if protocol._current_request is not None:
            protocol.eof_received()
            await protocol.shutdown(ENDING)
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return bytes(wire.said)

    async def _socket(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        said = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(data)
            async with asyncio.timeout(ENDING):
                said = await reader.read(4096)
        writer.transport.abort()
        await asyncio.sleep(0)
        return said

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waits for, such as a hang's that ended a task."""
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, (ConnectionError, asyncio.CancelledError)):
            self._log.error = error

    def close(self) -> None:
        self._loop.run_until_complete(self._shut())
        self._open.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def masked(message: bytes) -> bytes:
    """A binary WebSocket message as a client sends it, with a mask of zeros."""
    size = bytes([0x80 | len(message)]) if len(message) < 126 else b"\xfe" + len(message).to_bytes(2, "big")
    return b"\x82" + size + bytes(4) + message
