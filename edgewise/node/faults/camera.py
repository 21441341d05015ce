"""What a simulated device sees and how long its models take: frames of no content, at a steady pace.

The real agent decides, insures and keeps its ledger; only the inference is a number of seconds. Health is measured as a device
measures it: over the frames since the version came into use.
"""

from __future__ import annotations

import math

from edgewise.core.answer import FrameRecord
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.core.power import RADIOS
from edgewise.core.rollout import Health
from edgewise.meter.energy import EnergyModel
from edgewise.node.faults.publisher import GOOD, QUALITY, SLOW, WORSE, Version
from edgewise.plan.online import OnlinePolicy

INTERVAL = 0.5  # s between frames
DEADLINE = 0.3
PAYLOAD = 2_000  # bytes of features
REMOTE = "split-8"
ENERGY = EnergyModel(2.65, 5.6, RADIOS["lte"])


def quality(value: float) -> Quality:
    return Quality(value, value, value, 1)


POINTS = (
    OperatingPoint("local", "local", device_time=GOOD, quality={"all": quality(0.6)}),
    OperatingPoint(REMOTE, "split", "affine", 8, PAYLOAD, device_time=0.01, edge_time=0.01, quality={"all": quality(QUALITY)}),
)


def policy() -> OnlinePolicy:
    return OnlinePolicy(POINTS, INTERVAL)


def seconds(version: Version) -> float:
    """What one piece of work takes with this version."""
    return SLOW if version.bad == "slow" else GOOD


def worth(version: Version) -> float:
    """The quality that a probe would find."""
    return QUALITY - WORSE if version.bad == "quality" else QUALITY


class Watch:
    """The frames of one version on one device, from `since` (s) on."""

    def __init__(self, version: Version, before: Version | None, since: float) -> None:
        self.version, self.before, self.since = version, before, since
        self.frames = self.failed = 0
        self._latencies: list[float] = []

    def saw(self, record: FrameRecord) -> None:
        self.frames += 1
        if record.outcome == "answered" and not record.late:
            self._latencies.append(record.latency)
        else:
            self.failed += 1

    def health(self, now: float) -> Health:
        ordered = sorted(self._latencies)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None
        before = quality(worth(self.before)) if self.before is not None else None
        return Health(now - self.since, self.frames, self.failed, p95, quality(worth(self.version)), before)
