"""Night, day, night: what was learned in the first night is there again at the beginning of the second.

A recurring stream of two domains, clean pictures between two nights. Judged are frames of the second night from when 50 samples
of it have gone up, against the end of the first; statistics alone, on the same frames, say what is the stream's doing.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np

from bench.adapt import record
from bench.adapt.compared import rows as figures
from bench.adapt.ground import SCALES
from bench.adapt.replays import SHARE, Replay, job, plain
from bench.jobs import Job, Size
from bench.report import Row, Target, left_out
from edgewise.adapt.replay import STATISTICS, Replayed

CASE, LEARNING = "recurring", "random uploads"
SHIFTS = "night:5,clean"
SAMPLES, WITHIN = 50, 0.01
PART = 0.25  # of a visit: its end


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    each = SCALES[size].pictures("cifar10", 0.4)
    asked = Replay(
        CASE, "memory", SHIFTS, plain(STATISTICS, LEARNING), each, seed, order="recurring", rounds=2, every=50, size=size
    )
    return [job(asked, 3.5, 3.2)]


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    seeds = record.cases(record.records(work), CASE).get(CASE, {})
    name, want = "recurring shift, second visit", "within 1 point of the end of the first after <= 50 samples"
    if not seeds:
        return [], [left_out(name, want, "nothing was replayed")]
    found = [(visits(one.found, LEARNING), visits(one.found, STATISTICS)) for one in seeds.values()]
    first, second = (fmean(pair[0][k] for pair in found) for k in (0, 1))
    still = fmean(pair[1][1] - pair[1][0] for pair in found)
    n = sum(round(PART * len(one.found.rows(0)) / 2) for one in seeds.values())
    error = 196 * (2 * first * (1 - first) / n) ** 0.5
    lines = [
        *figures(CASE, seeds),
        Row(CASE, "accuracy, end of the first visit", 100 * first, "%", n),
        Row(CASE, f"accuracy, second visit after {SAMPLES} samples", 100 * second, "%", n),
        Row(CASE, "second over first, statistics alone", 100 * still, "", n),
    ]
    known = sum("is known" in e.why or "stored is best" in e.why for one in seeds.values() for e in one.found.events)
    lines.append(Row(CASE, "domains that were known again", known, "", len(seeds)))
    met = second - first >= -WITHIN
    got = f"{100 * (second - first):+.1f} ± {error:.1f} points; statistics alone {100 * still:+.1f}"
    return lines, [
        Target(name, want, got, met, "" if met else "the second visit begins from what its newest pictures rank first")
    ]


def visits(found: Replayed, method: str) -> tuple[float, float]:
    """Accuracy at the end of the first visit of the first domain, and at the beginning of the second, after so many samples."""
    places = found.rows(0)
    half = len(places) // 2
    length = max(1, round(PART * half))
    begins = _after(found, int(places[half]))
    right = found.trails[method].right
    later = places[half:][places[half:] >= begins][:length]
    later = later if len(later) else places[-length:]
    return float(np.mean(right[places[half - length : half]])), float(np.mean(right[later]))


def _after(found: Replayed, start: int) -> int:
    """The place after which SAMPLES samples went up since `start`; where no timeline says it, by the budget's share."""
    noted = [(m.seen, m.uploaded[LEARNING]) for m in found.timeline if LEARNING in m.uploaded]
    before = max((sent for seen, sent in noted if seen <= start), default=0)
    return next((seen for seen, sent in noted if seen > start and sent - before >= SAMPLES), start + round(SAMPLES / SHARE))
