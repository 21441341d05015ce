"""What a delta costs, and what being late costs: int8 against float32, and shipments that arrive 1, 8 or 64 batches later.

The same learning, from the same pictures; only how a delta is coded differs, so a difference of accuracy is that of rounding
(with the error carried into the next delta), and bytes down are those of real coded deltas.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from bench.adapt import record
from bench.adapt.compared import Seeds, won
from bench.adapt.compared import rows as figures
from bench.adapt.ground import SCALES
from bench.adapt.replays import Replay, Variant, job
from bench.jobs import Job, Size
from bench.report import Row, Target, left_out

SMALL, EXACT = "int8 deltas", "float32 deltas"
LATE = {"late by 8 batches": 8, "late by 64 batches": 64}
DOMAIN = "night:5"  # where most is learned, so that rounding has most to spoil
WITHIN, FEWER = 0.001, 3.6


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    each = SCALES[size].pictures("cifar10", 0.5)
    precise = {SMALL: Variant("random uploads"), EXACT: Variant("random uploads", {"precision": "float32"})}
    statistics = {"moving statistics": Variant("moving statistics")}
    shift = DOMAIN if size != "quick" else "fog:5"
    every = max(50, each // 20)
    found = [job(Replay("coded", "precision", shift, {**statistics, **precise}, each, seed, every=every, size=size), 2, 3.5)]
    if seed == 0 and size != "quick":
        late = {name: Variant("random uploads", delay=batches) for name, batches in LATE.items()}
        found.append(job(Replay("coded", "delay", shift, late, each, seed, every=every, size=size), 2, 5))
    return found


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    seeds = record.cases(record.records(work), "coded").get("coded", {})
    lines = figures("coded", seeds) if seeds else []
    name, want = "bytes: int8 against float32", "within 0.1 point, >= 3.6 × fewer a delta"
    gain, ratio = won(seeds, SMALL, EXACT), _ratio(seeds)
    if gain is None or ratio is None:
        return lines, [left_out(name, want, "no delta was shipped in this run" if seeds else "nothing was replayed")]
    lines.append(Row("coded, int8 against float32", "times fewer bytes a delta", ratio, "", gain.seeds))
    met = abs(gain.gain) <= WITHIN and ratio >= FEWER
    up, down = (
        fmean(getattr(one.found.trails[SMALL].tally, way) for one in seeds.values()) for way in ("bytes_up", "bytes_down")
    )
    got = f"{gain.words} points, {ratio:.2f} × fewer; {up / 1e3:,.0f} KB up, {down / 1e3:,.0f} KB down"
    why = f"two runs that differ in rounding go two ways: the interval is {100 * (gain.high - gain.low):.1f} points wide"
    return lines, [Target(name, want, got, met, "" if met else why)]


def _ratio(seeds: Seeds) -> float | None:
    """Bytes down for a delta, float32 over int8; None where one of them shipped none."""
    means = []
    for name in (EXACT, SMALL):
        tallies = [one.found.trails[name].tally for one in seeds.values() if name in one.found.trails]
        deltas = sum(t.deltas for t in tallies)
        if not deltas:
            return None
        means.append(sum(t.bytes_down for t in tallies) / deltas)
    return means[0] / means[1]
