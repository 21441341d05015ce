"""Files by their hash over HTTP: GET with ranges for nodes, and PUT in pieces for who publishes, from where the last try ended.

    HEAD /files/HASH    200 where it is here whole; 404 with `Edgewise-Partial`, the bytes that are here, where it is not
    GET  /files/HASH    the file, or the range that was asked for
    PUT  /files/HASH    Content-Range: bytes FIRST-LAST/SIZE (without it: the whole); 201 whole, 202 more is wanted

The disk is read and written in threads, a piece at a time, so that memory holds one piece a transfer; transfers at once are
bounded, a reader that takes nothing for `PATIENCE` is cut off, and so is a writer that gives nothing. What a file is, only its
hash says: `Blobs.finish` throws away what is another's. It does not know who may ask (`api.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from aiohttp import web

from edgewise.core.errors import InputError, StoreError
from edgewise.node.delivery import files

PIECE = 256 << 10
PATIENCE = 20.0  # s for one piece
READERS, WRITERS = 64, 4  # transfers at once
EACH = 4  # of them, downloads of one node or address
LARGEST = 4 << 30  # bytes of one file
PARTIAL = "Edgewise-Partial"
BUSY = "The server has as many transfers as it can bear; try again in a few seconds.\n"
_CONTENT = re.compile(r"bytes ([0-9]{1,13})-([0-9]{1,13})/([0-9]{1,13})\Z")


class Shelf(Protocol):
    """What of `node.store.blobs.Blobs` is used here. All of it may block; `append` and `finish` are durable when they return."""

    def size(self, sha256: str) -> int | None: ...
    def read(self, sha256: str, start: int = 0, size: int | None = None) -> bytes: ...
    def partial(self, sha256: str) -> int: ...
    def append(self, sha256: str, at: int, data: bytes) -> None: ...
    def finish(self, sha256: str, size: int) -> None: ...


class Depot:
    """Transfers of the files in `blobs`. `counts` counts what was given, taken and refused."""

    def __init__(self, blobs: Shelf) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes_down = self.bytes_up = 0
        self._blobs = blobs
        self._readers = self._writers = 0
        self._reading: Counter[str] = Counter()
        self._writing: set[str] = set()

    async def give(self, request: web.Request, who: str = "") -> web.StreamResponse:
        """The answer to GET and HEAD; `who` (or else the address) has EACH places at most, so that others have theirs."""
        sha = request.match_info["sha256"]
        size = await asyncio.to_thread(self._blobs.size, sha)
        part = files.part(sha, size, request.headers.get("Range"), request.headers.get("If-Range"))
        if part.status >= 400 or request.method == "HEAD":
            headers = dict(part.headers)
            if size is None:
                headers[PARTIAL] = str(await asyncio.to_thread(self._blobs.partial, sha))
            return web.Response(status=part.status, headers=headers, text=part.sentence if part.status >= 400 else None)
        who = who or request.remote or ""
        if self._readers >= READERS or self._reading[who] >= EACH:
            self.counts["busy"] += 1
            return web.Response(status=503, text=BUSY, headers={"Retry-After": "2"})
        self._readers += 1
        self._reading[who] += 1
        try:
            return await self._send(request, sha, part)
        finally:
            self._readers -= 1
            self._reading[who] -= 1
            if not self._reading[who]:
                del self._reading[who]

    async def _send(self, request: web.Request, sha: str, part: files.Part) -> web.StreamResponse:
        response = web.StreamResponse(status=part.status, headers=part.headers)
        await response.prepare(request)
        place = part.start
        try:
            while place < part.stop:
                piece = await asyncio.to_thread(self._blobs.read, sha, place, min(PIECE, part.stop - place))
                if not piece:  # taken away meanwhile: a broken answer, so that nobody takes it for whole
                    break
                async with asyncio.timeout(PATIENCE):
                    await response.write(piece)
                place += len(piece)
                self.bytes_down += len(piece)
        except (TimeoutError, ConnectionError, StoreError) as error:
            self.counts["slow readers" if isinstance(error, TimeoutError) else "broken off"] += 1
        if place < part.stop and request.transport is not None:
            request.transport.abort()
        self.counts["given"] += place == part.stop
        return response

    async def take(self, request: web.Request) -> web.Response:
        """The answer to PUT."""
        sha = request.match_info["sha256"]
        first, stop, size = _range(request)
        if await asyncio.to_thread(self._blobs.size, sha) is not None:
            return web.Response(status=200, text="The file is here already.\n")
        with self._place(sha):
            here = await asyncio.to_thread(self._blobs.partial, sha)
            if first != here:
                sentence = f"{here} bytes of the file are here, so it does not go on at {first}.\n"
                return web.Response(status=409, text=sentence, headers={PARTIAL: str(here)})
            try:
                here = await self._receive(request, sha, first, stop)
                if here < size:
                    return web.Response(status=202, text=f"{here} of {size} bytes are here.\n", headers={PARTIAL: str(here)})
                await asyncio.to_thread(self._blobs.finish, sha, size)
            except StoreError as error:
                self.counts["store"] += 1
                return web.Response(status=507, text=f"{error}\n")
            except InputError as error:
                self.counts["other files"] += 1
                return web.Response(status=422, text=f"{error}\n")
        self.counts["taken"] += 1
        return web.Response(status=201, text=f"The file is here: {size} bytes.\n")

    async def _receive(self, request: web.Request, sha: str, place: int, stop: int) -> int:
        """Put what comes into the store; how far that got. A transfer that breaks off keeps what it brought."""
        waiting = bytearray()
        while place + len(waiting) < stop:
            try:
                async with asyncio.timeout(PATIENCE):
                    piece = await request.content.readany()
            except TimeoutError:
                self.counts["slow writers"] += 1
                break
            except (ConnectionError, web.HTTPException):
                self.counts["broken off"] += 1
                break
            if not piece:
                break
            waiting += piece[: stop - place - len(waiting)]
            if len(waiting) >= PIECE:
                place = await self._append(sha, place, waiting)
        return await self._append(sha, place, waiting) if waiting else place

    async def _append(self, sha: str, place: int, waiting: bytearray) -> int:
        data = bytes(waiting)
        waiting.clear()
        await asyncio.to_thread(self._blobs.append, sha, place, data)
        self.bytes_up += len(data)
        return place + len(data)

    @contextmanager
    def _place(self, sha: str) -> Iterator[None]:
        """One writer a file, and WRITERS in all."""
        if sha in self._writing:
            raise web.HTTPConflict(text="Somebody else sends this file just now.\n", headers={"Retry-After": "2"})
        if self._writers >= WRITERS:
            self.counts["busy"] += 1
            raise web.HTTPServiceUnavailable(text=BUSY, headers={"Retry-After": "2"})
        self._writing.add(sha)
        self._writers += 1
        try:
            yield
        finally:
            self._writing.discard(sha)
            self._writers -= 1


def _range(request: web.Request) -> tuple[int, int, int]:
    """First byte, the one after the last, and the size of the file that a PUT brings a part of."""
    length, said = request.content_length, request.headers.get("Content-Range")
    if length is None:
        raise web.HTTPLengthRequired(text="A file is put with its length.\n")
    found = _CONTENT.match(said) if said is not None else None
    if said is not None and found is None:
        raise web.HTTPBadRequest(text="A Content-Range cannot be read; allowed: bytes FIRST-LAST/SIZE.\n")
    first, last, size = (int(n) for n in found.groups()) if found is not None else (0, length - 1, length)
    if size > LARGEST or size < 1:
        raise web.HTTPRequestEntityTooLarge(LARGEST, size, text=f"A file has {size} bytes; allowed: 1 to {LARGEST}.\n")
    if not first <= last < size or last + 1 - first != length:
        raise web.HTTPBadRequest(text=f"A Content-Range does not fit: {said or length}, with {length} bytes.\n")
    return first, last + 1, size
