"""Constants are chosen here: on shifts that share no family with those that are reported, and on pictures that report nothing.

    rate       step size to begin with                3e-4, 1e-3, 3e-3           (learning alone)
    steps      for each 32 uploads                    1, 2                       (learning alone)
    cascade    share of frames that are answered      0.15, 0.25, 0.30           (ours; the rest of the budget teaches)

Which selection is best at equal bytes stands in `bench.adapt.selection`. What is chosen is written into the Recipe's defaults and
`bench.adapt.replays.CHOSEN` by a person, who looks at these rows; nothing takes it from here.
"""

from __future__ import annotations

from pathlib import Path

from bench.adapt import record
from bench.adapt.compared import room_rows, won
from bench.adapt.ground import SCALES
from bench.adapt.replays import Replay, Variant, job, plain
from bench.jobs import Job, Size
from bench.report import Row, Target
from edgewise.adapt.replay import OURS, STATISTICS

SHIFTS = ("blur:5", "rain:5")
RATES, STEPS, CASCADES = (3e-4, 1e-3, 3e-3), (1, 2), (0.15, 0.25, 0.30)


def variants() -> dict[str, Variant]:
    """Everything that is tried, by the name that it has in the table; one of each group is what there is now."""
    tried = {f"rate {rate:g}": Variant("random uploads", {"rate": rate}) for rate in RATES}
    tried |= {f"steps {count}": Variant("random uploads", {"steps": count}) for count in STEPS[1:]}
    return tried | {f"cascade {share:g}": Variant(OURS, {"cascade": share}) for share in CASCADES}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    if seed or size == "quick":
        return []
    each = SCALES[size].pictures("cifar10", 0.4)
    methods = {**plain(STATISTICS, "upload all"), **variants()}
    return [
        job(Replay(f"choosing.{s}", "constants", s, methods, each, part="choose", every=each // 4, size=size), 5.5, 1.8)
        for s in SHIFTS
    ]


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """What each constant was worth on each shift that chooses; no target."""
    lines: list[Row] = []
    for case, seeds in record.cases(record.records(work), "choosing.").items():
        lines += room_rows(case, seeds)
        gains = {name: won(seeds, name) for name in variants()}
        lines += [gain.row(case, f"points over statistics, {name}") for name, gain in gains.items() if gain is not None]
    return lines, []
