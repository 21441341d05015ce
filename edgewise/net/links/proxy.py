"""A TCP proxy that is as slow as a Link says: for demonstrations and benchmarks without root.

Each direction has a rate or a trace, a delay, and a short queue (some 48 KB, after which the sender feels it). On loopback it
was within about 2 % of the virtual link at 1 and 50 Mbit/s, up to 10 % late for 20 KB at 8, and 3 to 10 % over at 200. It ends
TCP on both sides, so it shows neither loss (only its cost) nor slow start over the link, and flatters large transfers. Results
that went through it say `proxy`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter, deque
from collections.abc import Callable

from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.links.pace import Pace

SEGMENT = 1448  # loopback's own segments (64 KB) are larger than a short window, and TCP then waits 0.2 s for each
SHORT, LONG = 16 * 1024, 64 * 1024  # the kernel's share of the queue, with short segments and without
QUEUE = 32 * 1024
DELAYED = 1024  # chunks that may be under way in the link's delay


class End(asyncio.Protocol):
    """One TCP side of a carried connection: what came in waits here, at most `QUEUE` bytes before reading stops."""

    def __init__(self, kernel: int) -> None:
        self.kernel = kernel
        self.transport: asyncio.Transport | None = None
        self.on_lost: Callable[[], object] = lambda: None
        self.waiting: deque[tuple[float, memoryview]] = deque()
        self.size = 0
        self.ended = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.kernel)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.waiting.append((asyncio.get_running_loop().time(), memoryview(data)))
        self.size += len(data)
        if self.size > QUEUE and self.transport is not None:
            self.transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return True  # the way back stays open

    def connection_lost(self, error: Exception | None) -> None:
        self.on_lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def take(self, limit: int) -> tuple[float, bytes | memoryview]:
        """When they came, and the next bytes, `limit` at most; none at the end."""
        while not self.waiting:
            if self.ended:
                return 0.0, b""
            self._news.clear()
            await self._news.wait()
        came, data = self.waiting.popleft()
        if len(data) > limit:
            self.waiting.appendleft((came, data[limit:]))
            data = data[:limit]
        self.size -= len(data)
        if self.size <= QUEUE // 2 and self.transport is not None and not self.closing:
            self.transport.resume_reading()
        return came, data

    async def put(self, data: bytes | memoryview) -> None:
        if self.transport is not None and not self.closing:
            self.transport.write(data)
            await self._writable.wait()

    def put_end(self) -> None:
        if self.transport is not None and not self.closing:
            with contextlib.suppress(OSError):
                self.transport.write_eof()


class Proxy:
    """A running proxy; made by `start`."""

    kind = "proxy"

    def __init__(self, target: tuple[str, int], link: Link) -> None:
        now = asyncio.get_running_loop().time()
        self.target, self.link = target, link
        self.port = 0
        self.counts: Counter[str] = Counter()
        self._up, self._down = Pace(link, True, now), Pace(link, False, now)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[End] = set()
        self._server: asyncio.Server | None = None

    @property
    def bytes_up(self) -> int:
        return self._up.carried

    @property
    def bytes_down(self) -> int:
        return self._down.carried

    def set_link(self, link: Link) -> None:
        """From now on this link, for what is on its way as well."""
        self.link = link
        now = asyncio.get_running_loop().time()
        self._up.set_link(link, now)
        self._down.set_link(link, now)

    def cut(self) -> None:
        """Reset every connection, as a network does that goes away; new ones are taken."""
        for end in list(self._ends):
            end.abort()

    async def close(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        kernel = LONG

        def accept() -> End:
            device, edge = End(kernel), End(LONG)
            task = loop.create_task(self._join(device, edge))
            device.on_lost = edge.on_lost = task.cancel
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return device

        try:
            self._server = await loop.create_server(accept, host, port)
        except OSError as error:
            raise LinkError(f"the link's proxy cannot listen on {host}:{port}", got=error) from None
        listening = self._server.sockets[0]
        self.port = int(listening.getsockname()[1])
        with contextlib.suppress(OSError, AttributeError):  # not everywhere
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
            kernel = SHORT

    async def _join(self, device: End, edge: End) -> None:
        """One connection, from its beginning to its end; it is cancelled when either side is lost."""
        self._ends |= {device, edge}
        try:
            await asyncio.get_running_loop().create_connection(lambda: edge, *self.target)
            self.counts["connections"] += 1
            await asyncio.gather(self._pass(device, edge, self._up), self._pass(edge, device, self._down))
            device.close()
            edge.close()
        except OSError:
            self.counts["target refused"] += 1
        finally:
            self._ends -= {device, edge}
            for end in (device, edge):
                if not end.closing:
                    end.abort()

    async def _pass(self, source: End, sink: End, pace: Pace) -> None:
        """Everything of one direction, paced, then delayed, then written, and its end."""
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes | memoryview]] = asyncio.Queue(DELAYED)

        async def deliver() -> None:
            while True:
                arrival, data = await under_way.get()
                if not data:
                    return sink.put_end()
                if (wait := arrival - clock()) > 0:
                    await asyncio.sleep(wait)
                await sink.put(data)

        delivery = asyncio.get_running_loop().create_task(deliver())
        try:
            data: bytes | memoryview = b"-"
            while data:
                came, data = await source.take(pace.chunk(clock()))
                arrival = await pace.carry(len(data), came) if data else 0.0
                await under_way.put((arrival, data))
            await delivery
        finally:
            delivery.cancel()


async def start(listen: tuple[str, int], target: tuple[str, int], link: Link) -> Proxy:
    """A proxy from `listen` (host, port; 0 for a free one) to `target`, as slow as `link`."""
    proxy = Proxy(target, link)
    await proxy.listen(*listen)
    return proxy
