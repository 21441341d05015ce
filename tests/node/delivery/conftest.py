"""A site in small: keys, releases of a few hundred bytes, devices on a disk, and a delta that is easy to get wrong."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import ModuleType

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgewise.core.errors import ModelError
from edgewise.core.placement import Quality
from edgewise.core.release import Assignment, Envelope, FileEntry, Key, Release, Route, Trust, document, pack
from edgewise.core.rollout import Health, Report
from edgewise.net.signing import Verifier, public, sign
from edgewise.node.delivery.course import Rollout
from edgewise.node.delivery.news import News, pack_news
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.delivery.updater import Updater
from edgewise.node.delivery.words import unpack_report
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import Disk, RealDisk
from edgewise.node.store.memory import Memory
from edgewise.node.store.outbox import Outbox
from edgewise.node.store.simulated import SimulatedDisk

T0 = 1.8e9
DAY = 86_400.0
MODEL = "vehicles"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(data: bytes) -> FileEntry:
    return FileEntry(sha(data), len(data))


def files_of(version: int, size: int = 700) -> dict[str, bytes]:
    """A version's files: a manifest, a large part that differs, and one that never changes."""
    manifest = f'{{"version":{version}}}'.encode()
    return {"manifest.json": manifest, "head.onnx": bytes([version % 256]) * size, "tail.onnx": b"tail" * 50}


def delta_between(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bytes:
    """What `build` below turns old files into new ones with: the changed files, run-length coded by hand."""
    changed = {n: (d if len(set(d)) > 1 else (d[:1], len(d))) for n, d in new.items() if old.get(n) != d}
    return msgspec.msgpack.encode(changed)


def build(release: Release, base: Mapping[str, bytes], delta: bytes) -> dict[str, bytes]:
    try:
        changed = msgspec.msgpack.decode(delta, type=dict[str, bytes | tuple[bytes, int]])
    except msgspec.MsgspecError:
        raise ModelError("a delta cannot be read") from None
    found = {n: d for n, d in base.items() if n in release.files}
    for name, data in changed.items():
        size = len(data) if isinstance(data, bytes) else data[1]
        if name not in release.files or size > release.files[name].size:
            raise ModelError("a delta makes more than was signed", got=size)
        found[name] = data if isinstance(data, bytes) else data[0] * data[1]
    return found


class Site:
    """Who signs, and every file there is."""

    def __init__(self) -> None:
        self.root, self.publisher, self.channel = (Ed25519PrivateKey.generate() for _ in range(3))
        self.root_public = public(self.root)
        keys = {"pub": Key(public(self.publisher), "publisher"), "chan": Key(public(self.channel), "channel")}
        self.trust = pack(sign(Trust(1, T0, T0 + 3650 * DAY, keys), {"root": self.root}))
        self.files: dict[str, bytes] = {}
        self.releases: dict[int, Envelope] = {}
        self.parts: dict[int, dict[str, bytes]] = {}

    def release(
        self,
        version: int,
        files: Mapping[str, bytes] | None = None,
        routes: Mapping[str, bytes] | None = None,
        expires: float = T0 + 365 * DAY,
        **more: object,
    ) -> Envelope:
        """Sign version `version`; `routes` are deltas by base address."""
        parts = dict(files if files is not None else files_of(version))
        ways = tuple(Route(base, entry(delta)) for base, delta in (routes or {}).items())
        self.files |= {sha(d): d for d in (*parts.values(), *(routes or {}).values())}
        entries = {n: entry(d) for n, d in parts.items()}
        found = Release(MODEL, version, sha(parts["manifest.json"]), entries, T0, expires, routes=ways, **more)  # type: ignore[arg-type]
        self.parts[version] = parts
        self.releases[version] = sign(found, {"pub": self.publisher})
        return self.releases[version]

    def assign(self, assignment: Assignment) -> Envelope:
        return sign(assignment, {"chan": self.channel})

    def news(self, node: str, version: int, sequence: int, now: float = T0, life: float = DAY, **more: object) -> bytes:
        release = self.releases[version]
        given = Assignment(node, "main", sequence, {MODEL: release.digest}, now, now + life, (MODEL,))
        given = msgspec.structs.replace(given, **more)
        return pack_news(News(pack(self.assign(given)), (pack(release),), self.trust))


class Device:
    """An Updater on a disk; `restart` is a new process on the same disk."""

    def __init__(
        self, site: Site, disk: Disk, node: str = "cam-1", loadable: Callable[[Release], str | None] | None = None
    ) -> None:
        self.site, self.disk, self.node = site, disk, node
        self.loadable = loadable or (lambda release: None)
        self.now = T0
        self.asked = 0
        self.open()

    def open(self) -> None:
        self.database = self.disk.connect("node.db")
        self.blobs = Blobs(self.disk)
        self.outbox = Outbox(self.database, epoch="epoch")
        self.verifier = Verifier(self.site.root_public, self.node, Memory(self.database))
        self.updater = Updater(self.node, self.database, self.blobs, self.verifier, self.outbox, build, self.loadable)

    def restart(self) -> None:
        self.database.close()
        self.open()
        self.updater.restarted(self.now)

    def fetch(self, piece: int = 256) -> bool:
        """One piece of one file; whether there was anything to fetch."""
        for fetch in self.updater.fetches():
            data = self.site.files.get(fetch.sha256)
            if data is None:
                self.updater.fetch_failed(fetch.sha256, "HTTP status 404", self.now)
            else:
                piece = data[fetch.at : min(fetch.size, fetch.at + piece)]
                self.asked += len(piece)
                self.updater.fetched(fetch.sha256, fetch.at, piece, self.now)
            return True
        return False

    def settle(self, steps: int = 200) -> None:
        """Until nothing is fetched and nothing waits to be swapped."""
        for _ in range(steps):
            self.updater.tick(self.now)
            if not self.fetch():
                if self.updater.swap_due() is None:
                    if not self.updater.status.goals or self.updater.status.goals[0].state != "fetching":
                        return
                    self.now += 60.0
                else:
                    self.updater.swapped(self.now)
        raise AssertionError(f"does not settle: {self.updater.status}")

    def reports(self) -> list[Report]:
        return [unpack_report(item.body) for item in self.outbox.waiting(0, 1 << 30) if item.kind == "report"]

    def steps(self) -> list[str]:
        return [f"{r.step} {r.version}" for r in self.reports()]

    def whole(self) -> bool:
        """What is in use is a whole version that was signed, or the one that the device came with."""
        slot = self.updater.running
        assert slot is not None
        parts = {name: self.blobs.read(e.sha256) for name, e in slot.files.items()}
        return parts == self.site.parts[slot.version]


@pytest.fixture
def site() -> Site:
    made = Site()
    for version in (1, 2, 3):
        made.release(version)
    return made


@pytest.fixture
def device(site: Site, tmp_path: Path) -> Device:
    """A device that came with version 1."""
    made = Device(site, RealDisk(tmp_path))
    made.updater.begin(MODEL, sha(site.parts[1]["manifest.json"]), site.parts[1], T0)
    made.updater.restarted(T0)
    return made


class World:
    """A server and devices, wired directly: items go up by number, once each, and news down when it changed."""

    def __init__(self, site: Site, disk: Callable[[str], Disk]) -> None:
        self.site, self.disk, self.now = site, disk, T0
        self.server_disk = disk("server")
        self.devices: dict[str, Device] = {}
        self.offline: set[str] = set()
        self.told: dict[str, bytes] = {}
        self.taken: dict[str, int] = {}
        self.healths: dict[str, Callable[[Device], Health | None]] = {}
        self.open()
        for version in site.releases:
            self.publish(version)
        self.rollouts.adopt("main", site.releases[1].digest, "ann", T0)

    def open(self) -> None:
        self.database = self.server_disk.connect("server.db")
        self.blobs = Blobs(self.server_disk)
        self.rollouts = Rollouts(self.database, self.blobs, self.site.assign, self.site.trust)

    def restart(self) -> None:
        self.database.close()
        self.open()
        self.told.clear()

    def publish(self, version: int) -> None:
        release = document(self.site.releases[version], Release)
        for found in (*release.files.values(), *(r.delta for r in release.routes)):
            self.blobs.put(self.site.files[found.sha256])
        self.rollouts.publish(self.site.releases[version], "ann", self.now)

    def join(self, node: str) -> Device:
        device = self.devices[node] = Device(self.site, self.disk(node), node)
        parts = self.site.parts[1]
        device.updater.begin(MODEL, sha(parts["manifest.json"]), parts, self.now)
        device.updater.restarted(self.now)
        return device

    def second(self, seconds: float = 1.0) -> None:
        """A moment of the world: devices speak, the server judges, news goes down, files come."""
        self.now += seconds
        for name, device in self.devices.items():
            device.now = self.now
            device.updater.tick(self.now)
            health = self.healths.get(name, healthy)(device)
            if health is not None:
                device.updater.health(health, self.now)
            if name in self.offline:
                continue
            self.rollouts.seen(name, self.now)
            for item in device.outbox.waiting(self.taken.get(name, 0), 1 << 20):
                self.rollouts.report(item.body, self.now, name)
                self.taken[name] = item.seq
            device.outbox.acked(self.taken.get(name, 0))
        self.rollouts.tick(self.now)
        for name, device in self.devices.items():
            if name in self.offline:
                continue
            news = self.rollouts.news(name, self.now)
            if news is not None and self.told.get(name) is not news:
                self.told[name] = news
                device.updater.news(news, self.now)
            while device.fetch(1 << 18):
                pass
            while device.updater.swap_due() is not None and device.updater.swapped(self.now):
                pass

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()

    def versions(self) -> dict[str, int]:
        return {name: device.updater.running.version for name, device in self.devices.items()}  # type: ignore[union-attr]

    @property
    def rollout(self) -> Rollout:
        return self.rollouts.rollouts("main")[0]


def healthy(device: Device, **figures: object) -> Health | None:
    """Two frames a second, all answered."""
    slot = device.updater.running
    if slot is None or slot.proved:
        return None
    seconds = device.now - slot.since
    quality = Quality(0.9, 0.88, 0.92, 100)
    return msgspec.structs.replace(Health(seconds, int(2 * seconds), 0, 0.05, quality, quality), **figures)


@pytest.fixture
def world(site: Site) -> World:
    pytest.importorskip("apsw")
    made = World(site, lambda name: SimulatedDisk(Random(name)))
    for i in range(10):
        made.join(f"cam-{i}")
    made.run(2)
    return made


@pytest.fixture
def conf() -> ModuleType:
    """The names of this file."""
    return sys.modules[__name__]
