"""The last seconds of one device: latency, bytes and energy as they are now, from a short window of its frames.

Rates are taken over the device's own clock (when frames were captured), so that records that arrive in batches do
not make them saw; when a device falls silent its rates are 0, since nothing says otherwise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from edgewise.core.answer import FrameRecord, Outcome
from edgewise.core.measurement import Provenance, joint
from edgewise.core.placement import MODES, Mode
from edgewise.web.quantiles import quantile

SPAN = 5.0  # s over which rates are taken
SILENCE = 3.0  # s without a record after which a rate is 0
RESTART = 60.0  # s by which a device's clock must jump back for it to count as a new one
KEPT = 240  # frames: 8 s at 30 a second
MOST_PARTS = 8  # steps of a frame that are told apart
SHOWN = 96  # frames in the little chart
DROPPED, FAILED = len(MODES), len(MODES) + 1


class Glance(NamedTuple):
    """What the window keeps of a frame."""

    captured: float
    latency: float
    mode: Mode
    outcome: Outcome
    late: bool
    bytes_up: int
    energy: float
    provenance: Provenance
    parts: dict[str, float]

    @property
    def fate(self) -> int:
        """The mode's place in MODES where it was answered, else DROPPED or FAILED: one small number for a chart."""
        if self.outcome == "answered":
            return MODES.index(self.mode)
        return DROPPED if self.outcome == "dropped" else FAILED


class Figures(Struct, frozen=True):
    """A device now. A latency that nothing was measured for is None; rates are a second; energy is J a frame, power W.

    `parts` is the mean time (s) of each step of the frames that were answered as the last one was.
    """

    frames_second: float = 0.0
    bytes_second: float = 0.0
    power: float = 0.0
    latency_p50: float | None = None
    latency_p95: float | None = None
    late_share: float | None = None
    bytes_frame: float | None = None
    energy_frame: float | None = None
    provenance: Provenance = "modelled"
    parts: dict[str, float] = {}


def glance(record: FrameRecord) -> Glance:
    return Glance(
        record.captured,
        record.latency,
        record.mode,
        record.outcome,
        record.late,
        record.bytes_up,
        record.energy if math.isfinite(record.energy) else 0.0,
        record.provenance,
        record.parts,
    )


def figures(frames: Sequence[Glance], silent: float = 0.0) -> Figures:
    """The figures of a window of frames, the last of which was heard of `silent` seconds ago."""
    if not frames:
        return Figures()
    newest = max(f.captured for f in frames)
    oldest = min(f.captured for f in frames)
    near = [f for f in frames if f.captured > newest - SPAN]
    # A window that is not full yet spans the gaps between its frames, one fewer than there are frames.
    span = SPAN if oldest <= newest - SPAN else (newest - oldest) * len(near) / max(len(near) - 1, 1)
    rate = 1 / span if span > 0 and silent < SILENCE else 0.0
    answered = [f for f in frames if f.outcome == "answered"]
    latencies = sorted(f.latency for f in answered if math.isfinite(f.latency))
    return Figures(
        frames_second=len(near) * rate,
        bytes_second=sum(f.bytes_up for f in near) * rate,
        power=sum(f.energy for f in near) * rate,
        latency_p50=quantile(latencies, 0.5),
        latency_p95=quantile(latencies, 0.95),
        late_share=sum(f.late for f in answered) / len(answered) if answered else None,
        bytes_frame=sum(f.bytes_up for f in near) / len(near),
        energy_frame=sum(f.energy for f in near) / len(near),
        provenance=joint(f.provenance for f in near),
        parts=_steps([f for f in near if f.outcome == "answered"]),
    )


def _steps(frames: Sequence[Glance]) -> dict[str, float]:
    """Mean seconds of each step over the frames in the mode of the last one; at most MOST_PARTS steps."""
    alike = [f.parts for f in frames if f.mode == frames[-1].mode]
    names = list(dict.fromkeys(name for parts in alike for name in parts))[:MOST_PARTS]
    means = {name: sum(parts.get(name, 0.0) for parts in alike) / len(alike) for name in names}
    return {name: mean for name, mean in means.items() if math.isfinite(mean) and mean > 0}


class Recent:
    """The last KEPT frames of a device."""

    def __init__(self) -> None:
        self.frames: deque[Glance] = deque(maxlen=KEPT)

    def add(self, record: FrameRecord) -> None:
        if self.frames and record.captured < self.frames[-1].captured - RESTART:
            self.frames.clear()  # another boot, another clock
        if math.isfinite(record.captured):
            self.frames.append(glance(record))

    def latencies(self, most: int) -> list[float]:
        """Latencies (s) of what was answered among the last `most` frames."""
        return [f.latency for f in _last(self.frames, most) if f.outcome == "answered" and math.isfinite(f.latency)]

    def strip(self) -> tuple[tuple[float, int], ...]:
        """Latency (s) and fate of the last SHOWN frames, oldest first."""
        return tuple((round(f.latency, 4), f.fate) for f in _last(self.frames, SHOWN))


def _last(frames: Sequence[Glance], n: int) -> Iterable[Glance]:
    return list(frames)[-n:]
