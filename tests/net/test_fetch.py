"""Files by HTTP ranges, from real servers that behave and that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from edgewise.core.errors import LinkError
from edgewise.net import fetch
from edgewise.net.fetch import Fetcher

BODY = bytes(range(256)) * 400
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serving(handler: Handler) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_get("/files/x", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]


async def fetched(handler: Handler, at: int = 0, stop: int = len(BODY)) -> bytes:
    runner, address = await serving(handler)
    got = b""
    try:
        async with Fetcher(address, None) as fetcher:
            async for offset, piece in fetcher.get("/files/x", at, stop):
                assert offset == at + len(got)
                got += piece
            assert fetcher.bytes_down > len(got)
    finally:
        await runner.cleanup()
    return got


async def ranged(request: web.Request) -> web.Response:
    part = request.http_range
    start, stop = part.start or 0, part.stop or len(BODY)
    return web.Response(body=BODY[start:stop], status=206, headers={"Content-Range": f"bytes {start}-{stop - 1}/{len(BODY)}"})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(100):
        await response.write(bytes(64 << 10))
    return response


async def breaks(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
    await response.prepare(request)
    await response.write(BODY[:1000])
    assert request.transport is not None
    request.transport.abort()
    return response


async def whole(request: web.Request) -> web.Response:
    return web.Response(body=BODY)


async def elsewhere(request: web.Request) -> web.Response:
    return web.Response(body=BODY[5:10], status=206, headers={"Content-Range": "bytes 5-9/10"})


async def gone(request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def test_a_file_comes_whole_and_from_any_byte() -> None:
    assert await fetched(ranged) == BODY
    assert await fetched(ranged, 70_001) == BODY[70_001:]
    assert await fetched(whole) == BODY


@pytest.mark.parametrize(
    ("handler", "at", "sentence"),
    [
        (endless, 0, "does not end"),
        (breaks, 0, "broke off at byte"),
        (whole, 7, "does not give"),
        (elsewhere, 0, "another place"),
        (gone, 0, "404"),
    ],
)
async def test_a_server_that_misbehaves_is_a_sentence(handler: Handler, at: int, sentence: str) -> None:
    with pytest.raises(LinkError, match=sentence):
        await fetched(handler, at)


async def test_a_file_larger_than_signed_is_refused_before_it_comes() -> None:
    with pytest.raises(LinkError, match="larger than was signed"):
        await fetched(whole, 0, 100)


async def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for i in range(50):
            await response.write(BODY[i : i + 1])
            await asyncio.sleep(0.05)
        return response

    monkeypatch.setattr(fetch, "MINUTE", 0.3)
    with pytest.raises(LinkError, match="too slowly"):
        await fetched(drips)
    monkeypatch.setattr(fetch, "PATIENCE", 0.1)

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(1)
        return response

    with pytest.raises(LinkError, match="broke off"):
        await fetched(silent)
