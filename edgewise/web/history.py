"""Ten minutes of one device, a second at a time, for the charts over time.

A frame belongs to the second in which it was captured, brought from the device's clock to the page's by one offset: that
of the first record, taken again when the two have come apart by more than `DRIFT` (a restart, a corrected clock). A
second is closed `SETTLE` seconds after it ended, since the fate of a frame is known only at its deadline or later.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from msgspec import Struct

from edgewise.core.answer import FrameRecord
from edgewise.web.quantiles import quantile
from edgewise.web.recent import DROPPED, glance

KEPT = 600
MOST_OPEN = 32  # seconds that may be open at once while nobody looks and closes them
SETTLE = 3.0
DRIFT = 10.0
FATES = DROPPED + 2


class Second(Struct, frozen=True):
    """One second: `at` is the page's clock (s); `fates` counts frames by mode answered in, then dropped, then failed."""

    at: int
    fates: tuple[int, ...]
    latency_p50: float | None = None
    latency_p95: float | None = None
    deadline: float | None = None
    bytes_up: int = 0
    energy: float = 0.0
    link_rate: float | None = None


class _Open:
    """A second that still takes frames."""

    def __init__(self) -> None:
        self.fates = [0] * FATES
        self.latencies: list[float] = []
        self.bytes_up = 0
        self.energy = 0.0
        self.deadline: float | None = None
        self.link_rate: float | None = None

    def add(self, record: FrameRecord) -> None:
        seen = glance(record)
        self.fates[seen.fate] += 1
        self.bytes_up += record.bytes_up
        self.energy += seen.energy
        self.deadline = _known(record.deadline) or self.deadline
        self.link_rate = _known(record.link_rate) or self.link_rate
        if record.outcome == "answered" and math.isfinite(record.latency):
            self.latencies.append(record.latency)

    def close(self, at: int) -> Second:
        ordered = sorted(self.latencies)
        p50, p95 = quantile(ordered, 0.5), quantile(ordered, 0.95)
        return Second(at, tuple(self.fates), p50, p95, self.deadline, self.bytes_up, self.energy, self.link_rate)


class History:
    """The closed seconds of one device, and the few that are still open."""

    def __init__(self) -> None:
        self.seconds: deque[Second] = deque(maxlen=KEPT)
        self.after = 0  # frames whose fate came when their second was closed already
        self._open: dict[int, _Open] = {}
        self._offset: float | None = None

    def add(self, record: FrameRecord, now: float) -> None:
        if not math.isfinite(record.captured):
            return
        if self._offset is None or abs(record.captured + self._offset - now) > DRIFT:
            self._offset = now - record.captured - max(record.latency, 0.0)
        at = math.floor(record.captured + self._offset)
        if self.seconds and at <= self.seconds[-1].at:
            self.after += 1
            return
        self._open.setdefault(at, _Open()).add(record)
        if len(self._open) > MOST_OPEN:
            self.close(now)

    def close(self, now: float) -> list[Second]:
        """Close the seconds that are over by now and give them, in order."""
        over = sorted(at for at in self._open if at + 1 + SETTLE <= now)
        closed = [self._open.pop(at).close(at) for at in over]
        self.seconds.extend(closed)
        return closed

    def columns(self) -> dict[str, list[Any]]:
        """The closed seconds by column, which is a third of the JSON of a list of objects."""
        return {name: [getattr(s, name) for s in self.seconds] for name in Second.__struct_fields__}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) and value > 0 else None
