"""A large version over a poor link that breaks: what it takes, byte for byte, and that it comes whole.

The real parts: files behind TLS, a proxy that is as slow as the link and resets every connection at times, the updater with its
database and blobs on a real disk. Counted is all that passed the proxy, TLS and HTTP included, both ways.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
from msgspec import Struct

from bench.report import Row
from bench.site import Site
from edgewise.apps.vision.keys import device_identity, issue_node
from edgewise.apps.vision.updates import Store
from edgewise.core.artifact import MANIFEST
from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.fetch import Fetcher
from edgewise.net.identity import client_context
from edgewise.net.links.proxy import Proxy, start
from edgewise.node.delivery.ways import CHUNK, Fetch


class Resumed(Struct, frozen=True):
    """Bytes of the version, bytes over the link, times that it broke and was asked again, and seconds."""

    size: int
    carried: int
    breaks: int
    asked: int
    seconds: float

    @property
    def ratio(self) -> float:
        return self.carried / self.size


def resumed(size: int, rate: float, breaks: int) -> Resumed:
    """`size` bytes over `rate` bit/s, with `breaks` of the link at even steps of the way."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_resumed(Path(folder), size, rate, breaks))


async def _resumed(folder: Path, size: int, rate: float, breaks: int) -> Resumed:
    site = Site(folder / "keys")
    issue_node(folder / "keys", "camera")
    random = np.random.default_rng(7)
    files = {MANIFEST: b"{}", "head.onnx": random.bytes(size)}
    listener, port = await site.serve()
    proxy = await start(("127.0.0.1", 0), ("127.0.0.1", port), Link("slow", rate, rate, 0.02))
    store = Store(folder / "state", "camera", site.root)
    identity = device_identity(folder / "keys/devices/camera", "camera")
    began, asked = time.monotonic(), 0
    breaker = asyncio.create_task(_break(proxy, size, breaks))
    try:
        async with Fetcher(f"https://127.0.0.1:{proxy.port}", client_context(identity)) as fetcher:
            store.updater.news(site.news("camera", 1, "large", site.release("large", 1, files)), time.time())
            while store.updater.swap_due() is None:
                for fetch in store.updater.fetches():
                    asked += 1
                    await _fetch(fetcher, store, fetch)
                store.updater.tick(time.time())
                await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
        for data in files.values():
            assert store.blobs.read(hashlib.sha256(data).hexdigest()) == data
        return Resumed(sum(len(d) for d in files.values()), proxy.bytes_up + proxy.bytes_down, breaker.result(), asked, seconds)
    finally:
        breaker.cancel()
        store.close()
        await proxy.close()
        await listener.close()


async def _fetch(fetcher: Fetcher, store: Store, fetch: Fetch) -> None:
    """As the rim of a device does it, one after the other."""
    held, place = bytearray(), fetch.at

    def give() -> None:
        nonlocal place
        chunk = bytes(held[:CHUNK])
        del held[:CHUNK]
        store.updater.fetched(fetch.sha256, place, chunk, time.time())
        place += len(chunk)

    try:
        async for _, piece in fetcher.get(fetch.path, fetch.at, fetch.size):
            held += piece
            while len(held) >= CHUNK:
                give()
        if held:
            give()
    except LinkError as error:
        if held:
            give()
        store.updater.fetch_failed(fetch.sha256, str(error), time.time())


async def _break(proxy: Proxy, size: int, breaks: int) -> int:
    for n in range(1, breaks + 1):
        while proxy.bytes_down < size * n / (breaks + 1):
            await asyncio.sleep(0.02)
        proxy.cut()
    return breaks


def rows(it: Resumed, rate: float) -> list[Row]:
    case = f"{it.size / 1e6:.3g} MB over {rate / 1e6:g} Mbit/s, {it.breaks} breaks"
    return [
        Row(case, "bytes over the link / bytes of the version", it.ratio, "", it.breaks),
        Row(case, "time / time at the link's rate", it.seconds / (it.size * 8 / rate), "", 1),
        Row(case, "times asked for a file", it.asked, "", 1),
    ]
