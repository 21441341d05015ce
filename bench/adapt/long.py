"""Long streams of one domain: what learning adds to statistics, what the cascade adds, both together, and when it is given up.

    random uploads   learning alone, from what is drawn blindly within the budget        against    moving statistics
    cascade          the teacher's answers on the most doubtful frames, no learning                 (the same, without it)
    ours             both, at the same budget of bytes
    upload all       the teacher on every frame: the head-room

CIFAR-10 through gaussian noise, fog and night, and clean, where there is nothing to win; gaussian noise with a teacher that is
the device's own model; Imagenette through fog and night. A stream that is longer than there are pictures shows them again with
new noise. (Protocol: adapt notes, long runs, §1 and §7.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.adapt import record
from bench.adapt.compared import Seeds, accuracy, headroom, judged, room_rows, uploaded, won
from bench.adapt.compared import rows as figures
from bench.adapt.ground import SCALES
from bench.adapt.models import Data
from bench.adapt.replays import SHARE, Replay, job, plain
from bench.jobs import Job, Size
from bench.report import Row, Target, left_out
from edgewise.adapt.replay import OURS, STATISTICS

DOMAINS = ("gaussian_noise:5", "fog:5", "night:5")
CORE = ("none", STATISTICS, "upload all", "random uploads", "cascade", OURS)
LEARNING = "random uploads"
OTHERS = {"fog:5": (*CORE[:4], OURS), "night:5": (*CORE[:3], OURS)}  # of Imagenette
MINUTES = 4  # of 10,000 pictures of CIFAR
LESS = 0.65  # of them, where there is nothing to win
TOO_MANY = 0.005  # of the share of uploads, for the pictures with which a stream ends
LAST = 0.2
WITHIN = 5000  # pictures, after which a stream without head-room sends next to nothing


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    scale = SCALES[size]
    each = scale.pictures("cifar10")
    shifted = DOMAINS if size != "quick" else ("fog:5",)
    found = [job(_asked(f"long.{d}", d, CORE, each, seed, size), MINUTES, 1 + 0.1 * i) for i, d in enumerate(shifted)]
    less = scale.pictures("cifar10", LESS)
    found.append(job(_asked("long.clean", "clean", CORE, less, seed, size), LESS * MINUTES, 1.3))
    alike = (*CORE[:4], OURS)
    found.append(job(_asked("self.gaussian_noise:5", "gaussian_noise:5", alike, less, seed, size, teacher="self"), 2.3, 1.4))
    if "imagenette" in scale.each and seed == 0:
        wide = scale.pictures("imagenette")
        asked = {d: _asked(f"imagenette.{d}", d, names, wide, seed, size, "imagenette") for d, names in OTHERS.items()}
        found += [job(one, 2.2 * len(one.methods) - 2, 3) for one in asked.values()]
    return found


def _asked(
    case: str, shift: str, names: Sequence[str], each: int, seed: int, size: Size, data: Data = "cifar10", teacher: str = "taught"
) -> Replay:
    every = max(50, each // 20)
    return Replay(case, "core", shift, plain(*names), each, seed, data, teacher=teacher, every=every, size=size)


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """A row for everything, and the targets of learning, of the last fifth, of the cascade, and of no head-room."""
    found = record.records(work)
    shifted = {c: s for front in ("long.", "imagenette.") for c, s in record.cases(found, front).items()}
    none = {**{c: s for c, s in shifted.items() if c.endswith("clean")}, **record.cases(found, "self.")}
    shifted = {c: s for c, s in shifted.items() if c not in none}
    lines: list[Row] = []
    for case, seeds in {**shifted, **none}.items():
        lines += figures(case, seeds, CORE)
        lines += room_rows(case, seeds)
        last = won(seeds, LEARNING, part=LAST)  # where it has learned longest
        lines += [last.row(f"{case}, {LEARNING}", "points over statistics, last fifth")] if last is not None else []
    return lines, [*_learning(shifted), *_last(shifted), *_both(shifted), _nothing(none)]


def _learning(cases: Mapping[str, Seeds]) -> list[Target]:
    name, why = "learning over the same statistics", _why(cases)
    return [
        judged(name, ">= +1.0 points, lower bound > 0", "middle", cases, partial(_gained, least=0.01, surely=True), why),
        judged(name, ">= +7 points", "large", cases, partial(_gained, least=0.07), why),
    ]


def _gained(seeds: Seeds, least: float, surely: bool = False) -> tuple[str, bool] | None:
    gain = won(seeds, LEARNING)
    return None if gain is None else (gain.words, gain.gain >= least and (gain.low > 0 or not surely))


def _last(cases: Mapping[str, Seeds]) -> list[Target]:
    name, why = "learning, last fifth of the stream", _why(cases)
    return [
        judged(name, f">= {least:.0%} of head-room", room, cases, partial(_at_last, least=least), why)
        for room, least in (("middle", 0.25), ("large", 0.5))
    ]


def _at_last(seeds: Seeds, least: float) -> tuple[str, bool] | None:
    gain, whole = won(seeds, LEARNING, part=LAST), headroom(seeds, part=LAST)
    return None if gain is None or not whole else (f"{gain.gain / whole:.0%}", gain.gain / whole >= least)


def _both(cases: Mapping[str, Seeds]) -> list[Target]:
    name = "cascade and learning together"
    why = "the most doubtful frames are answered, and doubt finds wrong ones as well as the model knows itself"
    return [
        judged(name, f">= {least:.0%} of head-room at <= 33 % uploads", room, cases, partial(_together, least=least), why)
        for room, least in (("middle", 0.75), ("large", 0.65))
    ]


def _together(seeds: Seeds, least: float) -> tuple[str, bool] | None:
    gain, whole, sent = won(seeds, OURS), headroom(seeds), uploaded(seeds, OURS)
    if gain is None or not whole or sent is None:
        return None
    return f"{gain.gain / whole:.0%} at {sent:.0%} sent", gain.gain / whole >= least and sent <= SHARE + TOO_MANY


def _nothing(cases: Mapping[str, Seeds]) -> Target:
    """Clean pictures, and a teacher that knows no more than the device."""
    name, want = "no head-room: clean, and the model as its own teacher", ">= -0.3 points, <= 3 % uploads after 5,000 pictures"
    said, met = [], True
    for case, seeds in cases.items():
        length = min(one.about.n for one in seeds.values())
        after = min(WITHIN, length // 2)
        for method in (LEARNING, OURS):
            gain, sent = won(seeds, method), uploaded(seeds, method, after)
            if gain is None or sent is None:
                continue
            met &= gain.gain >= -0.003 and sent <= 0.03
            said.append(f"{case}, {method}: {100 * gain.gain:+.2f}, {sent:.1%} after {after:,}")
    if not said:
        return left_out(name, want, "nothing was replayed")
    return Target(name, want, "; ".join(said), met, "" if met else "the watch needs audits to give up, and learns while it waits")


def _why(cases: Mapping[str, Seeds]) -> str:
    """What a miss is explained by: how long the streams were, and what there was to win."""
    length = min((one.about.n for s in cases.values() for one in s.values()), default=0)
    none = [accuracy(s, STATISTICS) or 0.0 for s in cases.values()]
    if length < 10_000:
        return f"streams of {length:,} pictures; learning shows after some 2,000"
    return f"scales and shifts alone, from statistics at {100 * min(none):.0f} to {100 * max(none):.0f} %"
