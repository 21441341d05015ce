"""The ledger: every frame that a source gave is in exactly one row, and the sum is checked, not believed.

sent = answered + dropped (by reason) + failed (by reason)

What a filter left out is dropped, for the reason FILTERED. Beside the sum stand frames that were `tried` although the filter saw
nothing, those of them in which something was found (`missed`), frames in layers that were `cut` for the link or by the guard, and
the samples that went up to be learned from: an upload is in a frame's row or is a sample, never both.
"""

from __future__ import annotations

from collections import Counter, deque

from msgspec import Struct

from edgewise.core.answer import FrameRecord
from edgewise.core.measurement import Provenance, joint
from edgewise.core.placement import Mode

FILTERED = "filter"


class ModeRow(Struct, frozen=True):
    """What one mode did: frames, latency (s), bytes up and device energy (J) a frame, and where the joules come from."""

    n: int
    late: int
    latency_p50: float
    latency_p95: float
    bytes: float
    energy: float
    provenance: Provenance


class Table(Struct, frozen=True):
    """The ledger's sums; `balanced` says that the law above holds, to the frame."""

    sent: int
    answered: int
    dropped: dict[str, int]
    failed: dict[str, int]
    modes: dict[Mode, ModeRow]
    bytes_up: float = 0.0
    """Bytes of all frames, those that failed included."""
    energy: float = 0.0
    """Joules of all frames, and of work that came too late to be one's."""
    tried: int = 0
    missed: int = 0
    cut: int = 0
    guarded: int = 0
    samples: int = 0
    """Samples that went up to be learned from, beside all frames."""
    sample_bytes: float = 0.0

    @property
    def balanced(self) -> bool:
        return self.sent == self.answered + sum(self.dropped.values()) + sum(self.failed.values())


class _Sums:
    __slots__ = ("bytes", "energy", "late", "latencies", "n", "provenances")

    def __init__(self) -> None:
        self.n = self.late = 0
        self.bytes = self.energy = 0.0
        self.latencies: deque[float] = deque(maxlen=4096)
        self.provenances: set[Provenance] = set()


class Ledger:
    """Counts what was taken in (`took`) and what became of it (`add`); memory is bounded whatever the run's length."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.bytes_up = self.energy = 0.0
        self.tried = self.missed = self.cut = self.guarded = 0
        self.samples, self.sample_bytes = 0, 0.0
        self._modes: dict[Mode, _Sums] = {}

    def took(self) -> None:
        """A source gave one more frame."""
        self.sent += 1

    def add(self, record: FrameRecord) -> None:
        """A frame's fate is known."""
        self.bytes_up += record.bytes_up
        self.energy += record.energy
        self.tried += record.learn and record.outcome == "answered"
        self.missed += record.missed
        self.cut += record.cut > 0
        self.guarded += record.guarded > 0
        if record.outcome == "dropped":
            self.dropped[record.reason] += 1
        elif record.outcome == "failed":
            self.failed[record.reason] += 1
        else:
            sums = self._modes.setdefault(record.mode, _Sums())
            sums.n += 1
            sums.late += record.late
            sums.bytes += record.bytes_up
            sums.energy += record.energy
            sums.latencies.append(record.latency)
            sums.provenances.add(record.provenance)

    def spent(self, joules: float) -> None:
        """Energy that belongs to no frame."""
        self.energy += joules

    def learned(self, size: float, joules: float) -> None:
        """A sample went up: its bytes and energy are no frame's. What went as a frame is in that frame's row, and not here."""
        self.samples += 1
        self.sample_bytes += size
        self.energy += joules

    def table(self) -> Table:
        modes = {mode: _row(sums) for mode, sums in sorted(self._modes.items())}
        answered = sum(s.n for s in self._modes.values())
        beside = (self.tried, self.missed, self.cut, self.guarded, self.samples, self.sample_bytes)
        return Table(self.sent, answered, dict(self.dropped), dict(self.failed), modes, self.bytes_up, self.energy, *beside)


def _row(sums: _Sums) -> ModeRow:
    ordered = sorted(sums.latencies)
    last = len(ordered) - 1
    return ModeRow(
        n=sums.n,
        late=sums.late,
        latency_p50=ordered[round(0.5 * last)],
        latency_p95=ordered[round(0.95 * last)],
        bytes=sums.bytes / sums.n,
        energy=sums.energy / sums.n,
        provenance=joint(sums.provenances),
    )
