"""Large things come by HTTP beside the frames: a range of a file that is named by its hash, in pieces, for as long as it flows.

Whoever calls knows the size that was signed, and asks from where the last try ended. Nothing is believed but the bytes: more
than were asked for end the transfer, and so does a server that gives next to nothing (slow retrieval, in TUF's list).

It does not know what the bytes are for, nor whether they are the right ones: that is for the hash.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from types import TracebackType

import aiohttp

from edgewise.core.errors import LinkError

PIECE = 64 << 10
PATIENCE = 10.0  # s without a single byte
SLOWEST = 256.0  # bytes/s, over a minute: less is no link but somebody who keeps us waiting
MINUTE = 60.0


class Fetcher:
    """Connections to one server's files, kept open between them: `https://host:port` with a device's `context`.

    `bytes_down` and `bytes_up` count bodies and headers as HTTP has them, without TLS.
    """

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        self.bytes_up = self.bytes_down = 0
        self._address = address.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context if context is not None else True, limit=2),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=PATIENCE),
            auto_decompress=False,
            headers={"User-Agent": "edgewise", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, at: int, stop: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces (offset, bytes) of `path` from byte `at` up to `stop`, as they come; LinkError where it ends before that."""
        loop, place = asyncio.get_running_loop(), at
        try:
            async with self._session.get(self._address + path, headers={"Range": f"bytes={at}-{stop - 1}"}) as response:
                self._count(response)
                _check(response, path, at, stop)
                began, since = loop.time(), place
                async for piece in response.content.iter_chunked(PIECE):
                    if place + len(piece) > stop:
                        raise LinkError(f"{path} does not end", got=f"over {stop - at} bytes", allowed="what was asked for")
                    yield place, piece
                    place += len(piece)
                    self.bytes_down += len(piece)
                    if loop.time() - began >= MINUTE:
                        if (place - since) / (loop.time() - began) < SLOWEST:
                            raise LinkError(f"{path} comes too slowly", got=f"{place - since} bytes in a minute")
                        began, since = loop.time(), place
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LinkError(f"{path} broke off at byte {place} of {stop}", got=str(error) or type(error).__name__) from None
        if place < stop:
            raise LinkError(f"{path} broke off at byte {place} of {stop}", got="the end of the answer")

    def _count(self, response: aiohttp.ClientResponse) -> None:
        lines = sum(len(k) + len(v) + 4 for k, v in response.raw_headers)
        self.bytes_down += lines + 19
        self.bytes_up += sum(len(k) + len(v) + 4 for k, v in response.request_info.headers.items()) + len(response.url.path) + 16


def _check(response: aiohttp.ClientResponse, path: str, at: int, stop: int) -> None:
    if response.status not in (200, 206) or (response.status == 200 and at > 0):
        got = f"HTTP status {response.status}"
        raise LinkError(f"the server does not give {path}", got=got, allowed="206, or 200 from byte 0")
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
        raise LinkError(f"{path} comes from another place", got=response.headers.get("Content-Range"), allowed=f"bytes {at}-")
    if response.content_length is not None and response.content_length > stop - at:
        raise LinkError(f"{path} is larger than was signed", got=f"{response.content_length} bytes", allowed=stop - at)
