"""How the version in use does since it came into use: what a trial is judged by (`core.rollout.Health`).

A frame counts as failed when it had no answer in time, whatever the reason, but for those that the policy left out on purpose.
"""

from __future__ import annotations

from collections import deque

from edgewise.core.answer import FrameRecord
from edgewise.core.rollout import Health

WINDOW = 512  # frames that the p95 looks back at


class Vitals:
    """Counts from `began` (s) on."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._frames = self._failed = 0
        self._latencies: deque[float] = deque(maxlen=WINDOW)

    def add(self, record: FrameRecord) -> None:
        """One more frame of this version has its fate."""
        if record.outcome == "dropped" and record.reason == "policy":
            return
        self._frames += 1
        self._failed += record.outcome != "answered" or record.late
        if record.outcome == "answered":
            self._latencies.append(record.latency)

    def health(self, now: float) -> Health:
        ordered = sorted(self._latencies)
        p95 = ordered[round(0.95 * (len(ordered) - 1))] if ordered else None
        return Health(max(0.0, now - self.began), self._frames, self._failed, p95)
