"""What records of several seeds say together: gains on the same pictures, shares of head-room, bytes for an extra right answer.

    gain       mean over seeds of the paired gain; its error is the larger of what the pictures and what the seeds make of it
    head-room  accuracy of the teacher on every picture less that of statistics alone, on the same pictures
    share      gain over statistics / head-room

Intervals are 95 %. What a domain's head-room is decides by which target it is judged, not its name: `ROOMS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev

import numpy as np
from msgspec import Struct

from bench.adapt.record import Record
from bench.report import Row, Target, left_out
from edgewise.adapt.replay import STATISTICS, TEACHER, WIDE, Replayed

Seeds = Mapping[int, Record]
MIDDLE, LARGE = (0.08, 0.12), 0.20  # head-room of the targets
NEAR = (0.06, 0.20)  # what stands in for the middle where no domain has it
ROOMS = {"middle": "head-room 8 to 12 points", "large": "head-room 20 points and more"}


class Won(Struct, frozen=True):
    """`gain` as a share, from `low` to `high`; `n` pictures in all, of `seeds`."""

    gain: float
    low: float
    high: float
    n: int
    seeds: int

    @property
    def words(self) -> str:
        """In points."""
        return f"{100 * self.gain:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"

    def row(self, case: str, metric: str) -> Row:
        """In points."""
        return Row(case, metric, 100 * self.gain, "", self.n, 100 * self.low, 100 * self.high)


def won(seeds: Seeds, method: str, over: str = STATISTICS, domain: int | None = None, part: float = 1.0) -> Won | None:
    """The gain of a method, in one domain or all, on the last `part` of it; None where one of the two is in no record."""
    here = [one.found for one in seeds.values() if {method, over} <= set(one.found.trails)]
    found = [one.gain(method, over, _rows(one, domain, part)) for one in here]
    if not found:
        return None
    gain = fmean(p.gain for p in found)
    error = math.sqrt(sum(p.error**2 for p in found)) / len(found)
    if len(found) > 1:
        error = max(error, stdev(p.gain for p in found) / math.sqrt(len(found)))
    return Won(gain, gain - WIDE * error, gain + WIDE * error, sum(p.n for p in found), len(found))


def accuracy(seeds: Seeds, method: str, domain: int | None = None, part: float = 1.0) -> float | None:
    """The mean over seeds; None where the method is in no record."""
    found = [
        float(one.found.trails[method].right[_rows(one.found, domain, part)].mean())
        for one in seeds.values()
        if method in one.found.trails
    ]
    return fmean(found) if found else None


def headroom(seeds: Seeds, domain: int | None = None, part: float = 1.0) -> float | None:
    """What a teacher asked about every picture adds to statistics."""
    found = won(seeds, TEACHER, STATISTICS, domain, part)
    return None if found is None else found.gain


def room_rows(case: str, seeds: Seeds) -> list[Row]:
    """The head-room in points; no row where nothing says it."""
    room = headroom(seeds)
    n = sum(one.about.n for one in seeds.values())
    return [] if room is None else [Row(case, "head-room over statistics", 100 * room, "", n)]


def uploaded(seeds: Seeds, method: str, after: int = 0) -> float | None:
    """The share of pictures that went up, of those after the first `after`; the largest of the seeds."""
    shares = []
    for one in seeds.values():
        if method not in one.found.trails:
            continue
        tally = one.found.trails[method].tally
        before = [m for m in one.found.timeline if m.seen <= after and method in m.uploaded]
        seen, sent = (before[-1].seen, before[-1].uploaded[method]) if after and before else (0, 0)
        shares.append((tally.uploaded - sent) / max(tally.seen - seen, 1))
    return max(shares) if shares else None


def rows(case: str, seeds: Seeds, methods: Sequence[str] = ()) -> list[Row]:
    """For each method accuracy, gain over statistics, uploads, bytes both ways, deltas, bytes for an extra right answer."""
    found: list[Row] = []
    names = list(dict.fromkeys(n for one in seeds.values() for n in one.found.trails if not methods or n in methods))
    for name in names:
        of = [one.found for one in seeds.values() if name in one.found.trails]
        shares = [float(r.trails[name].right.mean()) for r in of]
        n = sum(len(r.number) for r in of)
        label = f"{case}, {name}"
        found.append(Row(label, "accuracy", 100 * fmean(shares), "%", n, 100 * min(shares), 100 * max(shares)))
        gain = won(seeds, name) if name != STATISTICS else None
        if gain is not None:
            found.append(gain.row(label, "points over statistics"))
        tallies = [r.trails[name].tally for r in of]
        if any(t.uploaded for t in tallies):
            found.append(Row(label, "uploaded", 100 * fmean(t.uploaded_share for t in tallies), "%", n))
            found.append(Row(label, "bytes up", fmean(t.bytes_up for t in tallies), "bytes", len(of)))
            found.append(Row(label, "bytes down", fmean(t.bytes_down for t in tallies), "bytes", len(of)))
            found += _price(label, name, of)
        if any(t.deltas for t in tallies):
            found.append(Row(label, "deltas", fmean(t.deltas for t in tallies), "", len(of)))
        if any(t.backward for t in tallies):
            found.append(Row(label, "backward passes on the device", fmean(t.backward for t in tallies), "", len(of)))
        found.append(Row(label, "processor time a picture", fmean(r.trails[name].seconds / len(r.number) for r in of), "s", n))
    return found


def _price(label: str, name: str, of: Sequence[Replayed]) -> list[Row]:
    """Bytes of both ways for each answer that is right beyond those of statistics; no row where there is none."""
    known = [r for r in of if STATISTICS in r.trails]
    extra = sum(float(r.trails[name].right.sum() - r.trails[STATISTICS].right.sum()) for r in known)
    sent = sum(r.trails[name].tally.bytes_up + r.trails[name].tally.bytes_down for r in known)
    return [Row(label, "bytes for an extra right answer", sent / extra, "bytes", len(known))] if extra >= 1 else []


def of_room(cases: Mapping[str, Seeds], room: str) -> dict[str, Seeds]:
    """The cases whose head-room is `middle` or `large`; where none is in the middle, those near it."""
    rooms = {case: headroom(seeds) for case, seeds in cases.items()}
    low, high = (LARGE, math.inf) if room == "large" else MIDDLE
    chosen = {c: cases[c] for c, h in rooms.items() if h is not None and low <= h <= high}
    if not chosen and room == "middle":
        chosen = {c: cases[c] for c, h in rooms.items() if h is not None and NEAR[0] <= h < NEAR[1]}
    return chosen


def judged(
    name: str, want: str, room: str, cases: Mapping[str, Seeds], said: Callable[[Seeds], tuple[str, bool] | None], why: str
) -> Target:
    """A target over the cases of a room: `said` of each, what was got and whether that is enough; None: it has no say."""
    full = f"{name}, {ROOMS[room]}"
    found = {case: one for case, seeds in of_room(cases, room).items() if (one := said(seeds)) is not None}
    if not found:
        seen = ", ".join(f"{c} {100 * h:.1f}" for c, s in cases.items() if (h := headroom(s)) is not None)
        return left_out(full, want, f"no domain of this run has it ({seen or 'nothing was replayed'})")
    got = "; ".join(f"{case}: {words}, head-room {100 * (headroom(cases[case]) or 0):.1f}" for case, (words, _) in found.items())
    met = all(good for _, good in found.values())
    return Target(full, want, got, met, "" if met else why)


def _rows(found: Replayed, domain: int | None, part: float) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    if domain is not None:
        return found.rows(domain, part)
    places = np.arange(len(found.number))
    return places[len(places) - max(1, round(part * len(places))) :]
