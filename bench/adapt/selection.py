"""Which pictures to learn from, at equal bytes: the paper's two exclusions, the most doubtful, any; and everything.

    window uploads    CEMA's exclusions: doubt between a floor and a ceiling that moves
    entropy uploads   the most doubtful that the budget allows
    random uploads    any (`bench.adapt.long` runs it)
    upload all        answered, not learned from; at equal bytes the teacher answers a third, drawn blindly: what no learning and
                      no choosing gives, by the records of `upload all` and statistics, pair by pair

on shifts that constants are chosen by and on those that are reported. The published algorithm, and as its shipped configuration
has it, stand beside them with the bytes that they ask for, which nobody bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.adapt import record
from bench.adapt.choosing import SHIFTS
from bench.adapt.compared import Seeds, headroom, won
from bench.adapt.compared import rows as figures
from bench.adapt.data import Part
from bench.adapt.ground import SCALES
from bench.adapt.replays import SHARE, Replay, job, plain
from bench.jobs import Job, Size
from bench.report import Row, Target, left_out
from edgewise.adapt.recipe import Recipe

NAMES = {"random uploads": "random", "entropy uploads": "entropy", "window uploads": "window"}
PAPER = ("CEMA as published", "CEMA as shipped")
DOMAINS = ("gaussian_noise:5", "night:5")


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    scale = SCALES[size]
    each = scale.pictures("cifar10")
    if size == "quick":
        return [job(_asked("long.fog:5", "selection", "fog:5", ("window uploads", PAPER[0]), each, seed, size), 1, 4)]
    found = [job(_asked(f"long.{d}", "selection", d, tuple(NAMES)[1:], each, seed, size), 3, 3) for d in DOMAINS]
    if seed == 0:
        found += [job(_asked(f"long.{d}", "published", d, PAPER, each, seed, size), 4.5, 5) for d in DOMAINS]
        part = scale.pictures("cifar10", 0.4)
        found += [job(_asked(f"choosing.{d}", "selection", d, tuple(NAMES), part, seed, size, "choose"), 2, 1.9) for d in SHIFTS]
    return found


def _asked(
    case: str, group: str, shift: str, names: tuple[str, ...], each: int, seed: int, size: Size, part: Part = "report"
) -> Replay:
    return Replay(case, group, shift, plain(*names), each, seed, part=part, every=max(50, each // 20), size=size)


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    found = record.records(work)
    chosen, long = record.cases(found, "choosing."), record.cases(found, "long.")
    cases = {**{c: s for c, s in chosen.items() if "window uploads" in _names(s)}, **_with(long, ("window uploads", *PAPER))}
    lines: list[Row] = []
    for case, seeds in cases.items():
        lines += figures(case, seeds, (*NAMES, *PAPER) if case in chosen else (*tuple(NAMES)[1:], *PAPER))
        lines += _blind(case, seeds)
    return lines, [_default({c: s for c, s in chosen.items() if c in cases}, cases)]


def _blind(case: str, seeds: Seeds) -> list[Row]:
    room = headroom(seeds)
    if room is None:
        return []
    n = sum(one.about.n for one in seeds.values())
    return [
        Row(
            f"{case}, a third answered, drawn blindly", "points over statistics", 100 * SHARE * room, "", n, provenance="modelled"
        )
    ]


def _default(chosen: Mapping[str, Seeds], cases: Mapping[str, Seeds]) -> Target:
    """Whether the recipe's selection is the best of them on the shifts that choose."""
    name, want = "selection at equal bytes", "all in the table; the default is the best by the shifts that choose"
    means = {m: _mean(chosen, m) for m in NAMES}
    known = {m: v for m, v in means.items() if v is not None}
    if len(known) < len(NAMES):
        return left_out(name, want, "not every selection was replayed on the shifts that choose")
    best = max(known, key=lambda m: known[m])
    ours = next(m for m, called in NAMES.items() if called == Recipe().selection)
    got = ", ".join(f"{m} {100 * v:+.2f}" for m, v in known.items())
    reported = {m: _mean({c: s for c, s in cases.items() if c not in chosen}, m) for m in NAMES}
    got += "; reported: " + ", ".join(f"{m} {100 * v:+.2f}" for m, v in reported.items() if v is not None)
    return Target(
        name, want, got, best == ours, "" if best == ours else f"the default is {ours}, {best} was better by the choosers"
    )


def _mean(cases: Mapping[str, Seeds], method: str) -> float | None:
    gains = [gain.gain for seeds in cases.values() if (gain := won(seeds, method)) is not None]
    return sum(gains) / len(gains) if gains else None


def _names(seeds: Seeds) -> set[str]:
    return {name for one in seeds.values() for name in one.found.trails}


def _with(cases: Mapping[str, Seeds], names: tuple[str, ...]) -> dict[str, Seeds]:
    return {c: s for c, s in cases.items() if _names(s) & set(names)}
