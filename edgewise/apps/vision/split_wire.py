"""Frames of a bundle over a real socket, one at a time, with every byte of them counted.

A server as `edgewise serve` runs one (listener, TLS with certificates of both sides, session, batches, tails) and a device's side
as `edgewise run` has it (heads, session, WebSocket) stand on loopback, with a relay between them that counts what passes.
While a frame is under way nothing else goes up, so that the count is the frame's:

    wire = payload + 24 bytes of frame header + WebSocket header and mask (RFC 6455) + TLS records

The server has the received bytes alone: what it answers came through the codec. Points that the bundle has not (pictures at other
qualities, as baselines) are served beside its own by the same code. It does not know links: loopback has no rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise import __version__
from edgewise.core.answer import Answer
from edgewise.core.artifact import Grid, Manifest, Things
from edgewise.core.errors import EdgewiseError, LinkError
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import RECORD, websocket_header
from edgewise.net import events
from edgewise.net.connect import connect
from edgewise.net.edge_session import Limits
from edgewise.net.frame import HEADER_SIZE
from edgewise.net.identity import Identity, issue, make_authority, server_context
from edgewise.net.listen import Listener
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession
from edgewise.net.transport import WebSocketTransport
from edgewise.node.heads import Heads
from edgewise.node.server import EdgeServer
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle

PATIENCE = 60.0  # s for one frame: a big model on a slow machine
NEVER = 1e6  # s between heartbeats: they would be counted as a frame's
POINTS_AT_ONCE = 64  # streams of one session


class Crossing(Struct, frozen=True):
    """One sample answered at one point: the answer, bytes by layer (all 0 where nothing was sent) and seconds by step.

    `device` holds the device's steps, `edge` the server's own seconds, `down` the
    bytes of the answer's frame. `dropped` says that the bundle's filter kept it.
    """

    answer: Answer
    payload: int = 0
    websocket: int = 0
    tls: int = 0
    device: dict[str, float] = {}
    edge: float = 0.0
    down: int = 0
    dropped: bool = False

    @property
    def wire(self) -> int:
        """Bytes on the socket."""
        return self.payload + HEADER_SIZE + self.websocket + self.tls if self.payload or self.websocket else 0


class Loopback:
    """One device on one server; `cross` is called for one sample at a time."""

    def __init__(self, heads: Heads, session: DeviceSession, transport: WebSocketTransport, relay: Relay) -> None:
        self.heads, self._session, self._transport, self._relay = heads, session, transport, relay
        self._streams = {s.point: s.id for s in session.hello.streams}
        self._frame = 0

    async def cross(self, values: NDArray[Any], point: OperatingPoint) -> Crossing:
        """`values` (a picture, or the array that the head takes) answered at `point`; LinkError or InputError where it fails."""
        return await self._answered(*await asyncio.get_running_loop().run_in_executor(None, self._work, values, point))

    def _work(self, values: NDArray[Any], point: OperatingPoint) -> tuple[OperatingPoint, bytes, Answer | None, dict[str, float]]:
        """What the device does with a sample: the filter first, then its answer or a payload (none of them where it was
        dropped).
        """
        look = self.heads.look(values)
        steps = dict(look.parts) if look is not None else {}
        if look is not None and not look.passes:
            return point, b"", None, steps
        if point.mode == "local":
            own = self.heads.local(values, look)
            return point, b"", own.answer, steps | own.parts
        if point.mode == "exit":
            tried = self.heads.attempt(values)
            if tried.sure:
                return point, b"", tried.answer, tried.parts
            made = self.heads.prepare(values, point, tried)
            return point, made.payload, None, tried.parts | made.parts
        made = self.heads.prepare(values, point, look)
        return point, made.payload, None, steps | made.parts

    async def _answered(self, point: OperatingPoint, payload: bytes, answer: Answer | None, steps: dict[str, float]) -> Crossing:
        if answer is not None:
            return Crossing(answer, device=steps)
        if not payload:
            return Crossing(Answer(), device=steps, dropped=True)
        return await self._send(payload, self._streams[point.name], steps)

    async def _send(self, payload: bytes, stream: int, steps: dict[str, float]) -> Crossing:
        await self._quiet()
        now, before = time.monotonic(), self._relay.up
        self._frame += 1
        self._session.offer(self._frame, stream, payload, now + PATIENCE, now)
        (message,) = self._session.outgoing(now)
        await self._transport.send(message)
        answered = await self._word(self._frame)
        framing = websocket_header(len(message))
        return Crossing(
            answered.reply.answer,
            payload=len(message) - HEADER_SIZE,
            websocket=framing,
            tls=self._relay.up - before - len(message) - framing,
            device=steps,
            edge=answered.reply.tail,
            down=answered.bytes_down,
        )

    async def _quiet(self) -> None:
        """Send what the session has to say beside frames (the first heartbeat and its echo), and wait until it is through."""
        others = self._session.outgoing(time.monotonic())
        through = self._relay.up + sum(len(m) + websocket_header(len(m)) + RECORD for m in others)
        for message in others:
            await self._transport.send(message)
        async with asyncio.timeout(PATIENCE):
            while self._relay.up < through:
                await asyncio.sleep(0.001)

    async def _word(self, frame: int) -> events.Answered:
        """The server's answer to the frame; whatever else it says goes by."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self._session.events():
                    if isinstance(event, events.Answered) and event.frame == frame:
                        return event
                    if isinstance(event, (events.Failed, events.Dropped)) and event.frame == frame:
                        raise LinkError("a frame was not answered", got=event.reason)
                    if isinstance(event, events.Closed):
                        raise LinkError("the session ended", got=event.reason)
                self._session.receive(await self._transport.receive(), time.monotonic())


class Relay:
    """TCP between the device and the server; `up` counts bytes towards the server."""

    def __init__(self, port: int) -> None:
        self.up, self.port = 0, 0
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop, and cut what is open."""
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs this as one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        behind, ahead = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends += [writer, ahead]
        await asyncio.gather(self._pass(reader, ahead, True), self._pass(behind, writer, False))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                self.up += len(data) if counted else 0
                sink.write(data)
                await sink.drain()
        sink.close()


@contextlib.asynccontextmanager
async def loopback(bundle: Bundle, threads: int = 1) -> AsyncIterator[Loopback]:
    """A server and a device with `bundle`, greeted and ready; certificates of their own, made for the while."""
    if len(bundle.manifest.points) > POINTS_AT_ONCE:
        raise LinkError("too many operating points for one session", got=len(bundle.manifest.points), allowed=POINTS_AT_ONCE)
    async with contextlib.AsyncExitStack() as stack:
        keys = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-report-")))
        make_authority(keys)
        edge, device = issue(keys, "edge", "edge"), issue(keys, "report", "device")
        server = EdgeServer(Tails([bundle], threads), Limits(max_streams=POINTS_AT_ONCE, heartbeat=NEVER, silence=NEVER), 1)
        listener = Listener(server.handle, server_context(edge))
        await server.start()
        stack.push_async_callback(server.stop)
        relay = Relay(await listener.start("127.0.0.1"))
        stack.push_async_callback(listener.close)
        await relay.start()
        stack.push_async_callback(relay.close)
        heads = Heads(bundle, threads)
        await asyncio.get_running_loop().run_in_executor(None, heads.warm)
        session, transport = await _greeted(heads, bundle.address, relay.port, device)
        stack.push_async_callback(transport.close)
        yield Loopback(heads, session, transport, relay)


async def _greeted(heads: Heads, address: str, port: int, identity: Identity) -> tuple[DeviceSession, WebSocketTransport]:
    """A session that is open, all of its streams taken; LinkError with the server's sentence where one is not."""
    transport = await connect(f"127.0.0.1:{port}", identity)
    session = DeviceSession(Hello(identity.node, __version__, heads.streams(), address), heartbeat=NEVER, silence=NEVER)
    try:
        session.connected(time.monotonic())
        for data in session.outgoing(time.monotonic()):
            await transport.send(data)
        async with asyncio.timeout(PATIENCE):
            while not session.open:
                session.receive(await transport.receive(), time.monotonic())
        if session.refused:
            raise LinkError("the server refuses an operating point", got="; ".join(session.refused.values()))
        session.events()
    except EdgewiseError:
        await transport.close()
        raise
    return session, transport


def with_points(folder: Path, manifest: Manifest, points: Sequence[OperatingPoint], threshold: float | None = None) -> Bundle:
    """The bundle in `folder` with more operating points, its models and tables as they are; only a manifest in memory differs.

    `threshold` replaces that of the boxes, since the area under a curve needs all of the curve.
    """
    decoding = manifest.decoding
    if threshold is not None and isinstance(decoding, (Grid, Things)):
        decoding = replace(decoding, threshold=min(threshold, decoding.threshold))
    held = {p.name for p in manifest.points}
    more = tuple(p for p in points if p.name not in held)
    described = replace(manifest, points=(*manifest.points, *more), decoding=decoding)
    files = {part.sha256: folder / part.file for part in manifest.parts.values()}
    return Bundle.load(described.canonical, lambda digest: files[digest].read_bytes())
