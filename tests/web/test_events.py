"""Live values over real sockets: a snapshot first, then what is published; a slow browser loses its own oldest, nobody else's."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.web.events import Event, Hub, Subscriber, encode


def parsed(text: str) -> list[tuple[str, object]]:
    """The events of a stream, as a browser would see them."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@given(st.text())
def test_a_payload_cannot_end_its_own_event(text: str) -> None:
    assert parsed(encode("node", {"why": text}).decode()) == [("node", {"why": text})]


def test_a_kind_is_a_word() -> None:
    with pytest.raises(ConfigError, match="no plain word"):
        encode("node\ndata: x", {})


def test_the_oldest_is_lost_first_and_told_once() -> None:
    waiting = Subscriber(3)
    for i in range(5):
        waiting.offer(("fact", str(i)), encode("fact", {"i": i}))
    assert parsed(waiting.drain().decode()) == [("stream", {"lost": 2}), *(("fact", {"i": i}) for i in (2, 3, 4))]
    assert waiting.drain() == b""


def test_a_newer_state_takes_the_place_of_the_older() -> None:
    waiting = Subscriber(3)
    for i in range(50):
        waiting.offer(("node", "north"), encode("node", {"i": i}))
    waiting.offer(("node", "south"), encode("node", {"i": -1}))
    assert parsed(waiting.drain().decode()) == [("node", {"i": 49}), ("node", {"i": -1})]
    assert waiting.lost == 0


Serve = Callable[[Hub], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners = []

    async def start(hub: Hub) -> str:
        app = web.Application()
        app.add_routes([web.get("/events", hub.stream)])

        async def close(app: web.Application) -> None:
            hub.close()

        app.on_shutdown.append(close)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/events"

    yield start
    for runner in runners:
        await runner.cleanup()


def snapshot() -> list[Event]:
    return [("node", {"name": "north"}), ("server", {"queue": 0})]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def read(response: aiohttp.ClientResponse, n: int) -> list[tuple[str, object]]:
    """The next `n` events."""
    text = ""
    async with asyncio.timeout(10):
        while len(found := parsed(text)) < n:
            text += (await response.content.readany()).decode()
    return found


async def test_a_fresh_browser_gets_the_snapshot_then_what_is_published(serve: Serve) -> None:
    hub = Hub(snapshot, interval=0.0)
    address = await serve(hub)
    async with aiohttp.ClientSession() as client, client.get(address) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert await read(response, 2) == snapshot()
        hub.publish("fact", {"n": 1})
        hub.publish("fact", {"n": 2})
        assert await read(response, 2) == [("fact", {"n": 1}), ("fact", {"n": 2})]
    await until(lambda: (hub.stir(), hub.watching == 0)[1])


async def test_views_are_made_only_while_somebody_looks(serve: Serve) -> None:
    made = []
    hub = Hub(snapshot, lambda: made.append(1), interval=0.0)
    address = await serve(hub)
    hub.stir()
    await asyncio.sleep(0.05)
    assert not made
    async with aiohttp.ClientSession() as client, client.get(address) as response:
        await read(response, 2)
        hub.stir()
        await until(lambda: bool(made))


async def test_a_quiet_stream_beats(serve: Serve) -> None:
    hub = Hub(list, heartbeat=0.0, interval=0.0)
    address = await serve(hub)
    async with aiohttp.ClientSession() as client, client.get(address) as response, asyncio.timeout(10):
        text = b""
        while b": alive\n\n" not in text:
            text += await response.content.readany()
            hub.stir()


async def test_a_browser_that_does_not_read_harms_nobody(serve: Serve) -> None:
    hub = Hub(snapshot, interval=0.0, capacity=8, patience=0.3)
    address = await serve(hub)
    port = int(address.split(":")[2].split("/")[0])
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(deaf, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: hub.watching == 1)
        async with aiohttp.ClientSession() as client, client.get(address) as response:
            assert await read(response, 2) == snapshot()
            for n in range(200):
                hub.publish("fact", {"n": n, "much": "x" * 50_000})
                assert (await read(response, 1))[0][1]["n"] == n  # type: ignore[index]
            await until(lambda: hub.stalled == 1)
            assert hub.watching == 1
            assert hub.losses > 100


async def test_too_many_browsers_are_told_so_and_closing_ends_the_rest(serve: Serve) -> None:
    hub = Hub(snapshot, most=1)
    address = await serve(hub)
    async with aiohttp.ClientSession() as client, client.get(address) as first:
        await read(first, 2)
        async with client.get(address) as second:
            assert second.status == 503
            assert "1 browsers look already" in await second.text()
        hub.close()
        async with asyncio.timeout(5):
            await first.read()
        async with client.get(address) as third:
            assert third.status == 503
