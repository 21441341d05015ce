"""The books of a page: what became of every frame, by device, mode and reason, so that the sum can be checked.

sent = answered + dropped (by reason) + failed (by reason). The left side is what the device says that it took from its
camera; the right side is counted here. Reasons are words of devices, so how many
of them are kept apart is bounded; the rest is counted together.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edgewise.core.answer import FrameRecord
from edgewise.core.measurement import Provenance, joint
from edgewise.core.placement import MODES
from edgewise.web.quantiles import Sketch

MOST_REASONS = 16
OTHER = "other reasons"


class Counts(Struct, frozen=True):
    """Frames by fate. `late` ones are answered ones over their deadline.

    Beside the sum: frames `tried` although the filter saw nothing, those in which something was found (`missed`), and frames
    in layers that were `cut` for the link's sake or `guarded` by their bound of bytes.
    """

    answered: int = 0
    late: int = 0
    dropped: dict[str, int] = {}
    failed: dict[str, int] = {}
    tried: int = 0
    missed: int = 0
    cut: int = 0
    guarded: int = 0

    @property
    def total(self) -> int:
        return self.answered + sum(self.dropped.values()) + sum(self.failed.values())

    def plus(self, other: Counts) -> Counts:
        return Counts(
            self.answered + other.answered,
            self.late + other.late,
            _added(self.dropped, other.dropped),
            _added(self.failed, other.failed),
            self.tried + other.tried,
            self.missed + other.missed,
            self.cut + other.cut,
            self.guarded + other.guarded,
        )


class Row(Struct, frozen=True):
    """One device in one mode over the whole run; bytes and joules are sums over all its frames, whatever their fate."""

    node: str
    mode: str
    answered: int
    late: int
    dropped: int
    failed: int
    latency_p50: float | None
    latency_p95: float | None
    bytes_up: int
    bytes_down: int
    energy: float
    provenance: Provenance


class _Cell:
    """The running sums behind a Row."""

    def __init__(self) -> None:
        self.outcomes = {"answered": 0, "dropped": 0, "failed": 0}
        self.late = self.bytes_up = self.bytes_down = 0
        self.energy = 0.0
        self.provenances: set[Provenance] = set()
        self.latency = Sketch()

    def add(self, record: FrameRecord) -> None:
        self.outcomes[record.outcome] += 1
        self.bytes_up += record.bytes_up
        self.bytes_down += record.bytes_down
        self.energy += record.energy if math.isfinite(record.energy) else 0.0
        self.provenances.add(record.provenance)
        if record.outcome == "answered":
            self.late += record.late
            self.latency.add(record.latency)

    def row(self, node: str, mode: str) -> Row:
        return Row(
            node,
            mode,
            self.outcomes["answered"],
            self.late,
            self.outcomes["dropped"],
            self.outcomes["failed"],
            self.latency.quantile(0.5),
            self.latency.quantile(0.95),
            self.bytes_up,
            self.bytes_down,
            self.energy,
            joint(self.provenances),
        )


class Tally:
    """The books of one device."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._answered = self._late = 0
        self._tried = self._missed = self._cut = self._guarded = 0
        self._reasons: dict[str, dict[str, int]] = {"dropped": {}, "failed": {}}
        self._cells: dict[str, _Cell] = {}

    def add(self, record: FrameRecord) -> None:
        self._tried += record.learn and record.outcome == "answered"
        self._missed += record.missed
        self._cut += record.cut > 0
        self._guarded += record.guarded > 0
        if record.outcome == "answered":
            self._answered += 1
            self._late += record.late
        else:
            reasons = self._reasons[record.outcome]
            reason = record.reason or "no reason given"
            if reason not in reasons and len(reasons) >= MOST_REASONS:
                reason = OTHER
            reasons[reason] = reasons.get(reason, 0) + 1
        self._cells.setdefault(record.mode, _Cell()).add(record)

    @property
    def total(self) -> int:
        return self._answered + sum(self._reasons["dropped"].values()) + sum(self._reasons["failed"].values())

    def counts(self) -> Counts:
        fates = self._answered, self._late, dict(self._reasons["dropped"]), dict(self._reasons["failed"])
        return Counts(*fates, self._tried, self._missed, self._cut, self._guarded)

    def rows(self) -> tuple[Row, ...]:
        return tuple(self._cells[mode].row(self.node, mode) for mode in MODES if mode in self._cells)


def _added(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    """
    >>> _added({"expired": 1}, {"expired": 2, "superseded": 3})
    {'expired': 3, 'superseded': 3}
    """
    total = dict(a)
    for reason, n in b.items():
        total[reason] = total.get(reason, 0) + n
    return total
