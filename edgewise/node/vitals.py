"""How the version in use does since it came into use: what a trial is judged by (`core.rollout.Health`).

A frame counts, and as failed, when it had no answer in time; one that its filter left out was answered, but says nothing of the
time that an answer takes. What is no work of the version's does not count at all: frames that
the policy left out, those for which a newer one came first (a camera may be faster than any model), and those that a connection
took with it. But a version that answers nothing for `HANG` seconds hangs, and then the newer frames that came count against it.

It does not know why a connection broke: a version that breaks it each time is one with too few frames to be good.
"""

from __future__ import annotations

from collections import deque

from edgewise.core.answer import FrameRecord
from edgewise.core.rollout import Health
from edgewise.node.ledger import FILTERED

WINDOW = 512  # frames that the p95 looks back at
HANG = 10.0  # s from the beginning
OF_THE_LINK = ("connection lost", "not connected")


class Vitals:
    """Counts from `began` (s) on."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._frames = self._failed = self._superseded = 0
        self._alive = False
        self._latencies: deque[float] = deque(maxlen=WINDOW)

    def add(self, record: FrameRecord) -> None:
        """One more frame of this version has its fate."""
        if record.outcome == "dropped" and record.reason in ("policy", "superseded"):
            self._superseded += record.reason == "superseded"
            return
        if record.outcome == "dropped" and record.reason == FILTERED:
            self._frames += 1
            self._alive = True
            return
        if record.outcome == "failed" and record.reason in OF_THE_LINK:
            return
        self._frames += 1
        self._failed += record.outcome != "answered" or record.late
        if record.outcome == "answered":
            self._alive = True
            self._latencies.append(record.latency)

    def health(self, now: float) -> Health:
        ordered = sorted(self._latencies)
        p95 = ordered[round(0.95 * (len(ordered) - 1))] if ordered else None
        seconds = max(0.0, now - self.began)
        more = self._superseded if not self._alive and seconds >= HANG else 0
        return Health(seconds, self._frames + more, self._failed + more, p95)
