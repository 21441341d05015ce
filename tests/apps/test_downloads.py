"""The rim of delivery on a device: a download ends where nobody takes what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

from edgewise.apps.vision.updates import Updates
from edgewise.node.delivery.ways import CHUNK, Fetch

PIECES = 20


async def test_a_download_ends_at_the_first_piece_that_the_disk_refuses() -> None:
    came: list[int] = []
    given: list[int] = []
    failed: list[str] = []

    async def get(path: str, at: int, stop: int) -> AsyncGenerator[tuple[int, bytes], None]:
        for place in range(at, stop, CHUNK):
            came.append(place)
            yield place, bytes(CHUNK)

    def fetched(sha256: str, at: int, data: bytes, now: float) -> bool:
        given.append(at)
        return at < 2 * CHUNK

    updater = SimpleNamespace(fetched=fetched, fetch_failed=lambda sha256, sentence, now: failed.append(sentence))
    store = SimpleNamespace(updater=updater, clock=lambda: 0.0)
    it = Updates(store, None, SimpleNamespace(get=get), None, None)  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        await it._fetch(Fetch("ab" * 32, 0, PIECES * CHUNK, "/files/x"))
    assert given == [0, CHUNK, 2 * CHUNK]
    assert len(came) == 3
    assert not failed
