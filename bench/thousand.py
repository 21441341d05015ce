"""A small version to a thousand devices that are connected all the time: the real server and updaters, device after device.

Simulated are the sockets alone: news and files are handed over in memory, and the heads of HTTP count what they took on real
sockets in the same run (`bench.crowd`). Every device verifies, rebuilds and swaps; what its reports say goes to the server.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.crowd import MEMORY
from bench.site import Site
from edgewise.apps.vision import trust
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.updates import build
from edgewise.core.artifact import MANIFEST, parse
from edgewise.core.release import unpack
from edgewise.core.rollout import Plan
from edgewise.net.frame import HEADER_SIZE
from edgewise.net.signing import Verifier
from edgewise.node.delivery.news import pack_news, unpack_news
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.delivery.updater import Updater
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.database import in_memory
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.memory import Memory
from edgewise.node.store.outbox import Outbox
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.parcel import parcel


class Spread(Struct, frozen=True):
    """Devices that took the version, of how many; bytes of the delta; bytes down and up a device; the server's seconds in all."""

    taken: int
    devices: int
    delta: int
    down: tuple[int, ...]
    up: tuple[int, ...]
    server: float
    stage: str


def spread(devices: int, new: Path, heads: int) -> Spread:
    """The bundle in `new` to `devices`; `heads` are the bytes of one HTTP answer's head."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        return _spread(Path(folder), devices, new, heads)


def _spread(folder: Path, devices: int, new: Path, heads: int) -> Spread:
    site = Site(folder / "keys")
    database = in_memory()
    inbox, now = Inbox(database), time.time()
    rollouts = Rollouts(database, site.blobs, trust.assigner(site.folder), trust.envelope(site.folder))
    old_files, files = bundle_files(find("vehicles")), bundle_files(new)
    base = parse(old_files[MANIFEST])
    delta = parcel(old_files, files)
    names = [f"cam-{i:04d}" for i in range(devices)]
    first = unpack(site.release(base.name, 1, old_files))
    rollouts.publish(first, "bench", now)
    rollouts.adopt("main", first.digest, "bench", now)
    for name in names:
        rollouts.seen(name, now)
    rollouts.tick(now)
    second = unpack(site.release(base.name, 2, files, {base.address: delta}))
    rollouts.publish(second, "bench", now)
    rollouts.start(Plan("main", second.digest, 1.0, 0.0, (), 0), "bench", now)
    began = time.process_time()
    rollouts.tick(now)
    server = time.process_time() - began
    taken, down, up = 0, [], []
    for name in names:
        began = time.process_time()
        news = rollouts.news(name, now)
        server += time.process_time() - began
        assert news is not None
        got = _device(folder / "disks" / name, site, name, old_files, news, heads)
        taken += got.version == 2
        down.append(got.down)
        up.append(sum(len(item.body) for item in got.items))
        began = time.process_time()
        with database.transaction():
            for item in got.items:
                if inbox.take(name, got.epoch, item.after, item.seq) == "new":
                    rollouts.report(item.body, now, name)
        server += time.process_time() - began
    rollouts.tick(now)
    (rollout,) = rollouts.rollouts()
    return Spread(taken, devices, len(delta), tuple(down), tuple(up), server, rollout.stage)


class _Got(Struct, frozen=True):
    version: int
    down: int
    items: list  # type: ignore[type-arg]
    epoch: str


def _device(folder: Path, site: Site, name: str, files: dict[str, bytes], news: bytes, heads: int) -> _Got:
    """One device, from the version that it came with to the swap; the trust it knows already (see `apps.vision.stock`)."""
    database, blobs, now = in_memory(), Blobs(RealDisk(folder)), time.time()
    outbox, verifier = Outbox(database), Verifier(site.root, name, Memory(database))
    updater = Updater(name, database, blobs, verifier, outbox, build)
    manifest = parse(files[MANIFEST])
    updater.begin(manifest.name, manifest.address, files, now)
    updater.restarted(now)
    verifier.trust(unpack_news(news).trust, now)
    news = pack_news(replace(unpack_news(news), trust=b""))
    down = HEADER_SIZE + len(news)
    updater.news(news, now)
    for _ in range(8):
        for fetch in updater.fetches():
            data = site.blobs.read(fetch.sha256, fetch.at)
            down += heads + len(data)
            updater.fetched(fetch.sha256, fetch.at, data, now)
        if updater.swap_due() is not None:
            updater.swapped(now)
            break
        updater.tick(now)
    slot = updater.active(manifest.name)
    for sha in blobs.names():
        blobs.remove(sha)
    return _Got(slot.version if slot else 0, down, outbox.waiting(0, 1 << 20), outbox.epoch)
