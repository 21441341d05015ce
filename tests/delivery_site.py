"""A site in small, for tests of what people see and do: real keys, a real server's store, nodes that report as they are told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edgewise.apps.vision import trust
from edgewise.apps.vision.delivery import Delivery
from edgewise.apps.vision.fleet import NodeRow
from edgewise.apps.vision.keys import init
from edgewise.core.placement import Quality
from edgewise.core.release import Envelope, FileEntry, Release
from edgewise.core.rollout import Condition, Health, Plan, Report, Step
from edgewise.node.delivery.guard import parse
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

T0 = 1_790_000_000.0
MODEL = "vehicles"
GUARD = "quality>-0.5pt p95<120ms failed<1%"


class Clock:
    def __init__(self, now: float = T0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quality(value: float) -> Quality:
    return Quality(value, value - 0.01, value + 0.01, 36)


def health(seconds: float = 61.0, p95: float = 0.084, fall: float = 0.002, failed: int = 1, frames: int = 600) -> Health:
    return Health(seconds, frames, failed, p95, quality(0.863 - fall), quality(0.863))


class Site:
    """The server's side of `folder`: nodes `names` joined `channel`, and version 1 is the channel's own."""

    def __init__(
        self, folder: Path, names: tuple[str, ...] = ("pi-01", "pi-02", "pi-03"), channel: str = "yard", now: float = T0
    ) -> None:
        self.keys, self.channel, self.names = folder / "keys", channel, names
        init(self.keys, now=now - 100)
        self.clock = Clock(now)
        self.said: dict[str, NodeRow] = {}
        self.folder = folder / "server"
        self.releases: dict[int, tuple[Release, str]] = {}
        self.open()
        self.join(*names)
        self.publish(1, own=True)
        for name in names:
            self.report(name, 1, "good")

    def open(self) -> None:
        """A server's process, on what the last one left."""
        disk = RealDisk(self.folder)
        self.database, self.blobs = disk.connect("server.db"), Blobs(disk)
        envelope = trust.envelope(self.keys)
        self.rollouts = Rollouts(self.database, self.blobs, trust.assigner(self.keys), envelope, channel=self.channel)
        self.delivery = Delivery(self.rollouts, self.blobs, self.database, lambda: self.said, self.clock)

    def restart(self) -> None:
        self.database.close()
        self.open()

    def join(self, *names: str) -> None:
        for name in names:
            self.rollouts.seen(name, self.clock())

    def release(self, version: int, floor: int = 1, about: str = "") -> tuple[Envelope, dict[str, bytes]]:
        """Version `version`, signed, with its files by hash."""
        files = {"manifest.json": f'{{"version":{version}}}'.encode(), "head.onnx": bytes([version]) * 500}
        entries = {name: FileEntry(sha(data), len(data)) for name, data in files.items()}
        made = Release(
            MODEL, version, sha(files["manifest.json"]), entries, self.clock() - 50, self.clock() + 30 * 86_400, floor, (), about
        )  # fmt: skip
        return trust.sign_release(self.keys, made), {sha(data): data for data in files.values()}

    def publish(self, version: int, own: bool = False, about: str = "") -> str:
        """Its digest."""
        envelope, files = self.release(version, about=about)
        for data in files.values():
            self.blobs.put(data)
        self.delivery.publish(envelope, self.channel, own, "anna")
        self.releases[version] = (msgspec.json.decode(envelope.payload, type=Release), envelope.digest)
        return envelope.digest

    def start(self, version: int, canary: float = 0.1, guard: str = GUARD, window: float = 60.0) -> tuple[str, ...]:
        """The canaries."""
        conditions: tuple[Condition, ...] = parse(guard)
        self.delivery.start(Plan(self.channel, self.releases[version][1], canary, window, conditions), "anna")
        self.delivery.tick()
        return self.rollouts.rollouts(self.channel)[0].canaries

    def report(self, name: str, version: int, step: Step, told: Health | None = None, sentence: str = "") -> None:
        """What the node says of `version`; it runs it where the step says so."""
        self.rollouts.news(name, self.clock())
        node = next(n for n in self.rollouts.nodes() if n.node == name)
        release, digest = self.releases[version]
        before = node.said.get(MODEL)
        running = release.address if step in ("trial", "good") else before.running if before else ""
        report = Report(name, self.clock(), step, MODEL, version, digest, running, node.sequence, sentence, told)
        assert self.rollouts.report(report, self.clock(), name)
        self.delivery.tick()

    def later(self, seconds: float) -> None:
        """Time passes, and everybody stays connected."""
        self.clock.now += seconds
        self.join(*self.names)
        self.delivery.tick()
