"""Files by their hash over real HTTP, on a real disk: ranges, uploads that go on, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from edgewise.apps.vision import depot
from edgewise.apps.vision.depot import PARTIAL, Depot
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

DATA = random.Random(7).randbytes(700_001)
SHA = hashlib.sha256(DATA).hexdigest()


class Server:
    """A depot on a free port, and a client."""

    def __init__(self, folder: Path) -> None:
        self.blobs = Blobs(RealDisk(folder))
        self.depot = Depot(self.blobs)

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/files/{sha256}", self.depot.give), web.put("/files/{sha256}", self.depot.take)])
        self.runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        self.client = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}")

    async def put(self, data: bytes, first: int | None = None, size: int = len(DATA), sha: str = SHA) -> tuple[int, str]:
        headers = {} if first is None else {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{size}"}
        async with self.client.put(f"/files/{sha}", data=data, headers=headers) as response:
            return response.status, response.headers.get(PARTIAL, "")

    async def partial(self) -> tuple[int, str]:
        async with self.client.head(f"/files/{SHA}") as response:
            return response.status, response.headers.get(PARTIAL, "")


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    await made.start()
    yield made
    await made.client.close()
    await made.runner.cleanup()


async def test_what_was_put_is_what_is_given(server: Server) -> None:
    assert await server.partial() == (404, "0")
    assert (await server.put(DATA))[0] == 201
    assert (await server.partial())[0] == 200
    assert (await server.put(DATA))[0] == 200  # there already
    for wanted, first, stop in (
        (None, 0, len(DATA)),
        ("bytes=5-9", 5, 10),
        ("bytes=700000-", 700_000, len(DATA)),
        ("bytes=-3", 699_998, len(DATA)),
    ):
        async with server.client.get(f"/files/{SHA}", headers={"Range": wanted} if wanted else {}) as response:
            assert response.status == (206 if wanted else 200)
            assert await response.read() == DATA[first:stop]
            assert response.headers["ETag"] == f'"{SHA}"'
    async with server.client.get(f"/files/{SHA}", headers={"Range": "bytes=700001-"}) as response:
        assert response.status == 416


async def test_an_upload_goes_on_where_it_broke_off(server: Server) -> None:
    assert await server.put(DATA[:300_000], 0) == (202, "300000")
    assert await server.partial() == (404, "300000")
    assert await server.put(DATA[400_000:], 400_000) == (409, "300000")
    assert await server.put(DATA[:10], 0) == (409, "300000")
    assert (await server.put(DATA[300_000:], 300_000))[0] == 201
    assert server.blobs.read(SHA) == DATA
    assert server.depot.bytes_up == len(DATA)


async def test_a_connection_that_dies_keeps_what_it_brought(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"PUT /files/{SHA} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n".encode()
    writer.write(head + DATA[:400_000])
    await writer.drain()
    while server.depot.bytes_up < 256 << 10:
        await asyncio.sleep(0.01)
    writer.close()
    for _ in range(200):
        status, there = await server.partial()
        if int(there) >= 256 << 10 and not server.depot._writing:
            break
        await asyncio.sleep(0.01)
    assert status == 404
    assert 256 << 10 <= int(there) <= 400_000
    assert (await server.put(DATA[int(there) :], int(there)))[0] == 201
    assert server.blobs.read(SHA) == DATA


async def test_another_file_is_thrown_away(server: Server) -> None:
    wrong = bytes([DATA[0] ^ 1]) + DATA[1:]
    assert (await server.put(wrong))[0] == 422
    assert await server.partial() == (404, "0")
    assert (await server.put(DATA))[0] == 201


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("bytes 0-9/10", 400),
        ("bytes 5-3/10", 400),
        ("bytes 0-99/10", 400),
        ("bytes -5/10", 400),
        ("0-9/10", 400),
        (f"bytes 0-9/{5 << 30}", 413),
        ("bytes 0-9/" + "9" * 40, 400),
    ],
)
async def test_ranges_that_cannot_be(server: Server, said: str, status: int) -> None:
    async with server.client.put(f"/files/{SHA}", data=b"0123456789a", headers={"Content-Range": said}) as response:
        assert response.status == status
        assert (await response.text()).endswith(".\n")
    assert await server.partial() == (404, "0")


async def test_transfers_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.put(DATA)
    monkeypatch.setattr(depot, "READERS", 0)
    async with server.client.get(f"/files/{SHA}") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
    monkeypatch.setattr(depot, "WRITERS", 0)
    assert (await server.put(b"x", sha=hashlib.sha256(b"x").hexdigest()))[0] == 503
    assert server.depot.counts["busy"] == 2


async def test_a_full_disk_is_said_and_nothing_is_lost(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise.core.errors import StoreError

    def full(sha256: str, at: int, data: bytes) -> None:
        raise StoreError("the disk is full", got=f"no room for {sha256[:8]}")

    with monkeypatch.context() as patch:
        patch.setattr(server.blobs, "append", full)
        async with server.client.put(f"/files/{SHA}", data=DATA) as response:
            assert response.status == 507
            assert "the disk is full" in await response.text()
    assert (await server.put(DATA))[0] == 201


async def test_a_reader_that_takes_nothing_is_let_go(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depot, "PATIENCE", 0.1)
    big = random.Random(8).randbytes(16 << 20)
    sha = server.blobs.put(big)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 10)
    writer.write(f"GET /files/{sha} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(10):
        while not server.depot.counts["slow readers"]:
            await asyncio.sleep(0.02)
    writer.close()
    assert server.depot._readers == 0


async def test_one_device_leaves_places_for_others(server: Server, tmp_path: Path) -> None:
    big = random.Random(9).randbytes(16 << 20)
    sha = server.blobs.put(big)
    app = web.Application()

    async def give(request: web.Request) -> web.StreamResponse:
        return await server.depot.give(request, request.query["who"])

    app.add_routes([web.get("/files/{sha256}", give)])
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    writers = []
    for _ in range(depot.EACH):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        writer.write(f"GET /files/{sha}?who=greedy HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        writers.append(writer)
    async with asyncio.timeout(20):
        while server.depot._reading["greedy"] < depot.EACH:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        async with client.get(f"/files/{sha}", params={"who": "greedy"}) as response:
            assert response.status == 503
        async with client.get(f"/files/{sha}", params={"who": "other"}, headers={"Range": "bytes=0-9"}) as response:
            assert await response.read() == big[:10]
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(20):
            while server.depot._readers:
                await asyncio.sleep(0.01)
        assert not +server.depot._reading
        async with client.get(f"/files/{sha}", params={"who": "greedy"}, headers={"Range": "bytes=0-9"}) as response:
            assert response.status == 206
    await runner.cleanup()
