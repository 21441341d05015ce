"""Links: the virtual one keeps its laws, and the proxy carries the right bytes in about the time that the virtual one says."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.link import Link, Trace
from edgewise.net.links.proxy import Proxy, start
from edgewise.net.links.virtual import VirtualLink, capacity

RATES = st.floats(1e3, 1e8)
TRACES = st.lists(st.tuples(st.floats(0.01, 2.0), st.just(0.0) | st.floats(100, 1e6)), min_size=1, max_size=5).map(
    lambda parts: Trace(
        tuple(sum(p[0] for p in parts[:i]) for i in range(len(parts))), tuple(p[1] for p in parts), sum(p[0] for p in parts)
    )
)
LINKS = st.one_of(
    st.builds(Link, st.just("l"), RATES, RATES, st.floats(0, 1), st.floats(0, 0.5)),
    st.builds(lambda t, d: Link("t", delay=d, trace_up=t), TRACES, st.floats(0, 1)),
)


@given(LINKS, st.lists(st.tuples(st.integers(1, 50_000), st.floats(0, 3)), min_size=1, max_size=20))
def test_arrivals_are_in_order_and_none_is_faster_than_alone(link: Link, sends: list[tuple[int, float]]) -> None:
    virtual, now, arrivals = VirtualLink(link), 0.0, []
    for size, gap in sends:
        now += gap
        arrivals.append(virtual.send(size, now))
        assert arrivals[-1] >= link.transfer(size, now) - 1e-6
    assert all(a <= b for a, b in pairwise(arrivals))
    assert virtual.bytes_up == sum(size for size, _ in sends)


@given(LINKS, st.integers(1, 50_000), st.integers(1, 50_000))
def test_one_after_the_other_is_as_long_as_both_at_once(link: Link, a: int, b: int) -> None:
    virtual = VirtualLink(link)
    virtual.send(a, 0.0)
    both = link.transfer(a + b, 0.0)
    assert virtual.send(b, 0.0) == both or math.isclose(virtual._busy[True] + link.delay, both, rel_tol=1e-6, abs_tol=1e-6)


@given(LINKS, st.integers(1, 50_000), st.floats(0, 5))
def test_the_capacity_of_the_time_that_a_transfer_takes_is_its_size(link: Link, size: int, begin: float) -> None:
    end = link.sent(size, begin)
    if end < math.inf:
        assert capacity(link, begin, end) == pytest.approx(size, rel=1e-4, abs=2)


def test_the_directions_do_not_wait_for_each_other() -> None:
    virtual = VirtualLink(Link("l", rate_up=8e3, rate_down=8e6))
    virtual.send(10_000, 0.0, up=True)
    assert virtual.send(1000, 0.0, up=False) == pytest.approx(1e-3)
    assert virtual.free(0.0) == pytest.approx(10.0)


class Server(asyncio.Protocol):
    """Echoes a length-prefixed message when it is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.data = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data
        while len(self.data) >= 4 and len(self.data) >= 4 + (size := struct.unpack_from(">I", self.data)[0]):
            self.transport.write(bytes(self.data[: 4 + size]))
            del self.data[: 4 + size]


@asynccontextmanager
async def between(link: Link) -> AsyncIterator[tuple[Proxy, Callable[[], object]]]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    proxy = await start(("127.0.0.1", 0), server.sockets[0].getsockname()[:2], link)
    try:
        yield proxy, lambda: asyncio.open_connection("127.0.0.1", proxy.port)
    finally:
        await proxy.close()
        server.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> float:
    """Seconds of a round trip of `size` bytes each way, which must come back as they went."""
    loop = asyncio.get_running_loop()
    message = struct.pack(">I", size) + bytes(i % 251 for i in range(size))
    begun = loop.time()
    writer.write(message)
    assert await reader.readexactly(len(message)) == message
    return loop.time() - begun


@pytest.mark.parametrize(("rate", "size"), [(1e6, 30_000), (8e6, 300_000)])
async def test_the_proxy_takes_about_as_long_as_the_virtual_link(rate: float, size: int) -> None:
    link = Link("l", rate_up=rate, rate_down=math.inf, delay=0.02)
    async with between(link) as (proxy, open_it):
        reader, writer = await open_it()
        took = min([await ask(reader, writer, size) for _ in range(2)])
        wanted = VirtualLink(link).send(size + 4, 0.0) + link.delay
        assert 0.9 * wanted <= took <= 3 * wanted + 1.0
        assert proxy.bytes_up == proxy.bytes_down == 2 * (size + 4)
        assert proxy.kind == "proxy"
        writer.close()


async def test_the_link_changes_while_bytes_are_on_it() -> None:
    async with between(Link("dead", rate_up=0.0)) as (proxy, open_it):
        reader, writer = await open_it()
        waiting = asyncio.create_task(ask(reader, writer, 20_000))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert proxy.bytes_down == 0
        proxy.set_link(Link("slow", rate_up=160_000))  # 1 s for all of it
        await asyncio.sleep(0.1)
        assert not waiting.done()
        proxy.set_link(Link("fast"))
        await asyncio.wait_for(waiting, 10)
        writer.close()


async def test_a_trace_is_followed() -> None:
    trace = Trace((0.0, 0.3), (0.0, 1e8), 0.6)
    async with between(Link("t", trace_up=trace)) as (proxy, open_it):
        reader, writer = await open_it()
        proxy.set_link(Link("t", trace_up=trace))
        assert await ask(reader, writer, 1000) >= 0.25
        writer.close()


async def test_connections_share_the_link_and_a_dead_one_does_not_hold_it() -> None:
    async with between(Link("l", rate_up=0.0)) as (proxy, open_it):
        _, stuck = await open_it()
        stuck.write(bytes(1000))
        await asyncio.sleep(0.05)
        stuck.transport.abort()
        await asyncio.sleep(0.05)
        proxy.set_link(Link("l", rate_up=1e6))
        pairs = [await open_it() for _ in range(2)]
        took = await asyncio.gather(*(ask(*pair, 25_000) for pair in pairs))
        assert max(took) >= 0.9 * 50_008 * 8 / 1e6
        for _, writer in pairs:
            writer.close()


async def test_a_slow_link_pushes_back_instead_of_hoarding() -> None:
    async with between(Link("l", rate_up=8e3)) as (_, open_it):
        _, writer = await open_it()
        writer.transport.set_write_buffer_limits(high=0)
        written = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    writer.write(bytes(8192))
                    written += 8192
                    await writer.drain()
        assert written < 8 << 20  # what the sender's own kernel takes, and 32 KB of ours
        writer.transport.abort()


async def test_the_end_and_a_reset_pass_through() -> None:
    async with between(Link("l", rate_up=8e6, delay=0.01)) as (proxy, open_it):
        reader, writer = await open_it()
        await ask(reader, writer, 100)
        proxy.cut()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await open_it()  # new ones are taken
        await ask(reader, writer, 100)
        await proxy.close()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    assert proxy.counts["connections"] == 2


async def test_the_last_bytes_arrive_before_the_end() -> None:
    loop = asyncio.get_running_loop()
    got: asyncio.Future[bytes] = loop.create_future()

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(sink, "127.0.0.1", 0)
    proxy = await start(("127.0.0.1", 0), server.sockets[0].getsockname()[:2], Link("l", rate_up=1e6, delay=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(bytes(20_000))
    writer.write_eof()
    assert len(await got) == 20_000
    assert await reader.read() == b""
    writer.close()
    await proxy.close()
    server.close()


async def test_a_target_that_is_not_there_resets_and_is_counted() -> None:
    proxy = await start(("127.0.0.1", 0), ("127.0.0.1", 1), Link("l"))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert proxy.counts["target refused"] == 1
    writer.close()
    await proxy.close()
