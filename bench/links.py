"""What each kind of emulated link gives, beside what was wanted: round trip, goodput up, and loss of packets.

Used by the benchmark of delivery and by the tests of the links. Goodput is that of the kernel's own TCP, without its slow start
(the first fifth of the bytes); a full packet of 1500 bytes carries 1448 of them, so 0.965 of the wanted rate is all there is.
Loss is of UDP packets, sent a little slower than the link; the proxy carries none, so it has no such figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from msgspec import Struct

from bench.report import Row, summary
from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.links.choose import KINDS, Path, opened, probe
from edgewise.net.links.netem import unfit

CASES = (
    Link("1 Mbit/s, 20 ms", rate_up=1e6, rate_down=1e6, delay=0.02),
    Link("8 Mbit/s, 10 ms", rate_up=8e6, rate_down=8e6, delay=0.01),
    Link("8 Mbit/s, 10 ms, 1 % loss", rate_up=8e6, rate_down=8e6, delay=0.01, loss=0.01),
    Link("8 Mbit/s, no delay", rate_up=8e6, rate_down=8e6),
    Link("50 Mbit/s, 10 ms", rate_up=50e6, rate_down=50e6, delay=0.01),
    Link("200 Mbit/s, 5 ms", rate_up=200e6, rate_down=200e6, delay=0.005),
)
PAYLOAD = 1400  # bytes of a UDP packet whose loss is counted


class Got(Struct, frozen=True):
    """`round_trips` (s, one byte each way), `goodput` up (bit/s), `loss` as a fraction of `packets` (0 where none were sent)."""

    round_trips: tuple[float, ...]
    goodput: float
    loss: float
    packets: int


async def measure(path: Path, seconds: float = 2.0, pings: int = 21, packets: int = 2000) -> Got:
    """`seconds` of goodput, `pings` round trips, and as many UDP packets as `seconds` allow, `packets` at most."""
    rate = path.link.rate(0.0)
    async with _server(path) as (reader, writer, sink):
        trips = [await _ping(reader, writer) for _ in range(pings)]
        goodput = await _goodput(writer, sink, int(rate * seconds / 8))
    count = min(packets, int(0.8 * rate * seconds / 8 / PAYLOAD)) if path.kind != "proxy" else 0
    return Got(tuple(trips), goodput, await _loss(path, count, 0.8 * rate) if count else 0.0, count)


class _Sink:
    """The server's side: echoes the first bytes one by one, then counts what comes, with its times."""

    def __init__(self) -> None:
        self.echoing, self.got = True, 0
        self.marks: list[tuple[float, int]] = []
        self.news = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        clock = asyncio.get_running_loop().time
        while data := await reader.read(1 << 16):
            if self.echoing:
                writer.write(data)
                continue
            self.got += len(data)
            self.marks.append((clock(), self.got))
            self.news.set()


@contextlib.asynccontextmanager
async def _server(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, _Sink]]:
    sink = _Sink()
    with path.at_edge():
        listening = socket.create_server((path.host, 0))
    server = await asyncio.start_server(sink.serve, sock=listening)
    host, port = await path.reach(listening.getsockname()[1])
    with path.at_device():
        reader, writer = await asyncio.open_connection(host, port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield reader, writer, sink
    finally:
        for end in (writer, *sink.writers):  # both: what one end says last may never arrive at the other
            end.transport.abort()
        server.close()
        await asyncio.sleep(0)


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    clock = asyncio.get_running_loop().time
    begun = clock()
    writer.write(b"?")
    await reader.readexactly(1)
    return clock() - begun


async def _goodput(writer: asyncio.StreamWriter, sink: _Sink, size: int) -> float:
    sink.echoing = False
    block = bytes(16 * 1024)
    async with asyncio.timeout(120):
        for _ in range(max(4, size // len(block))):
            writer.write(block)
            await writer.drain()
        total = max(4, size // len(block)) * len(block)
        while sink.got < total:
            sink.news.clear()
            await sink.news.wait()
    begun, before = next(mark for mark in sink.marks if mark[1] >= total / 5)
    ended, after = sink.marks[-1]
    return (after - before) * 8 / (ended - begun)


async def _loss(path: Path, count: int, rate: float) -> float:
    """The fraction of `count` packets, sent at `rate` (bit/s, with their headers), that never come."""
    loop = asyncio.get_running_loop()
    with path.at_edge():
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.bind((path.host, 0))
    with path.at_device():
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        here.connect(there.getsockname())
    with contextlib.closing(there), contextlib.closing(here):
        there.setblocking(False)
        begun, came = loop.time(), 0
        for number in range(count):
            here.send(bytes(PAYLOAD))
            ahead = begun + number * (PAYLOAD + 28) * 8 / rate - loop.time()
            if ahead > 0.002:
                await asyncio.sleep(ahead)
                came += _drained(there)
        until = loop.time() + 1.0 + 4 * path.link.delay
        while came < count and loop.time() < until:
            await asyncio.sleep(0.02)
            came += _drained(there)
    return 1 - came / count


def _drained(there: socket.socket) -> int:
    came = 0
    with contextlib.suppress(BlockingIOError):
        while there.recv(PAYLOAD):
            came += 1
    return came


def rows(quick: bool = False) -> tuple[list[Row], list[str]]:
    """Rows of every kind that this machine has, and a sentence for each that it has not."""
    missing = {kind: probe(kind) for kind in KINDS}
    made: list[Row] = []
    for link in CASES[1:3] if quick else CASES:
        for kind in KINDS:
            shaped = unfit(link, "netem" if kind == "netem" else "tbf") if kind in ("netem", "tbf") else None
            if missing[kind] is None and shaped is None and not (kind == "proxy" and link.loss):
                made += asyncio.run(_rows(kind, link, 1.0 if quick else 4.0))
    return made, [f"No {kind}: {sentence}" for kind, sentence in missing.items() if sentence is not None]


async def _rows(kind: str, link: Link, seconds: float) -> list[Row]:
    case = f"{kind}: {link.name}"
    try:
        async with opened(link, (kind,)) as path:
            got = await measure(path, seconds)
    except TimeoutError:
        raise LinkError(f"a link did not carry what it was given ({case})") from None
    wanted = [Row(case, "round trip wanted", 2 * link.delay, "s", provenance="modelled")]
    wanted.append(Row(case, "rate wanted", link.rate_up, "bit/s", provenance="modelled"))
    figures = [summary(case, "round trip", got.round_trips, "s"), Row(case, "goodput up", got.goodput, "bit/s")]
    if got.packets:
        wanted.append(Row(case, "loss wanted", link.loss, "", provenance="modelled"))
        figures.append(Row(case, "packets lost", got.loss, "", got.packets))
    return wanted + figures
