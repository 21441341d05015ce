"""The classification rows and targets of the benchmark: every method on the same pictures, made from records alone.

Ours has two curves. `lean` leaves the encoder untouched by labels: one bitstream for any tail. `lean-task` teaches the encoder
too in stage 2: a bitstream for this task alone. A rule says which of them a target counts, never the outcome at that target:
`lean-task` against codecs, in bytes of a frame and against BottleFit and CR+BQ, which know the task too; `lean` where that was
not run, or, against points of others and in bytes of a frame, where no point of `lean-task` is as accurate as asked (in bytes
the other's figure stands beside it in any case); `lean` against Entropic Student, whose encoder is frozen in stage 2 as well,
with the same epochs. Entropic Student has the narrow widths 48/32/24; what the published ones change in bytes is said beside it.

The design of our head was chosen by trials on the first TRIALS held-out pictures. The targets against codecs are therefore given
a second time without these.

Savings are bytes at equal accuracy with paired intervals (`curves`); a method that was not run leaves its target out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench.rates import picture
from bench.rates.curves import (
    Curve,
    Estimate,
    Floats,
    against,
    bd_rate,
    bytes_at,
    curve,
    drawings,
    saving,
    spread,
)
from bench.rates.entropic import WIDE
from bench.rates.record import Record, records
from bench.report import Row, Target, left_out

TEACHER = ("teacher", "device")
GENERAL, TASK, ENTROPIC = "lean", "lean-task", "entropic"
BETWEEN = (0.015, 0.025)  # of accuracy below the teacher
CODECS = (
    ("jpeg", "JPEG, whole file, tail as is", -0.80),
    ("jpeg-tuned", "JPEG, whole file, tuned tail", -0.72),
    ("jpeg-shared-tuned", "JPEG, shared tables, tuned tail", -0.65),
    ("webp-tuned", "WebP, whole file, tail tuned on WebP", -0.70),
)
FRAMES = ((0.025, 230), (0.02, 320), (0.01, 650))  # accuracy below the teacher, bytes
TRIALS = 1000  # held-out pictures, the first of the drawn order, that trials of our head were judged on
PAPER = {
    ENTROPIC: "10 + 10",
    WIDE: "10 + 10",
    "bottlefit": "10 + 10",
    "bottlefit-coded": "10 + 10",
}  # epochs of stage 1 and 2 in the papers
SHORT = "as far as the epochs of this run carry; see config"


class Field(Struct, frozen=True):
    """All curves of one task and its teacher, with the drawings that all of them share."""

    teacher: Record
    grouped: Mapping[str, list[Record]]
    curves: Mapping[str, Curve]
    weights: Floats

    def sending(self) -> list[str]:
        """Methods of which every point sends something: those that answer on the device have no bytes to compare."""
        return [name for name, one in self.curves.items() if one.mean_bytes.min() > 0]

    def ours(self) -> list[Curve]:
        """Our curves that there are, the general one first."""
        return [self.curves[m] for m in (GENERAL, TASK) if m in self.curves]

    def counted(self) -> str:
        """The one of ours that targets of this task alone count."""
        return TASK if TASK in self.curves else GENERAL

    def trained(self, *names: str) -> str:
        """Epochs of these methods, from the least to the most that a point of them has had."""
        said = []
        for name in names:
            stages: dict[str, list[float]] = {}
            for one in self.grouped[name]:
                for stage, epochs in one.about.epochs.items():
                    stages.setdefault(stage, []).append(epochs)
            spans = {s: f"{min(e):g}" if min(e) == max(e) else f"{min(e):g}–{max(e):g}" for s, e in stages.items()}
            said += [f"{name} {', '.join(f'{s} {e}' for s, e in spans.items())}"] if spans else []
        return f"epochs: {'; '.join(said)}" if said else "no epochs: nothing of it was trained"


def field(kept: Sequence[Record], draws: int = 1000) -> Field | None:
    """The classification records of the teacher's data; None without a teacher."""
    teacher = next((r for r in kept if (r.about.method, r.about.point) == TEACHER and r.about.seed == 0), None)
    if teacher is None:
        return None
    alike = [r for r in kept if (r.about.task, r.about.data) == (teacher.about.task, teacher.about.data)]
    grouped: dict[str, list[Record]] = {}
    for one in alike:
        grouped.setdefault(one.about.method, []).append(one)
    curves = {name: curve(name, found) for name, found in grouped.items()}
    return Field(teacher, grouped, curves, drawings(len(teacher.right), draws))


def part(kept: Sequence[Record], pictures: slice) -> list[Record]:
    """Records of some of the pictures alone."""
    return [Record(r.about, r.right[pictures], r.bytes[pictures]) for r in kept]


def rows(work: Path) -> tuple[list[Row], list[Target], dict[str, bytes]]:
    """Rows, targets and the figure of accuracy over bytes."""
    kept = records(work)
    found = field(kept)
    if found is None:
        names = [*(f"against {words}" for _, words, _ in CODECS), "bytes of a whole frame"]
        return [], [left_out(n, "see the docs", "there is no record of the teacher") for n in names], {}
    made = [row for name in found.curves for row in _points(found, name)]
    made += [row for name, kept in found.grouped.items() for row in _seeds(name, kept)]
    targets: list[Target] = []
    for judge in (_codecs, _frames, _entropic, _others):
        more, judged = judge(found)
        made += more
        targets += judged
    more, judged = _unseen(kept, len(found.teacher.right))
    made += more
    targets += judged
    return made, targets, {"": picture.drawn(found.curves, found.teacher)}


def epochs(work: Path) -> dict[str, dict[str, object]]:
    """By method: its epochs by point and seed, those in the paper, and its seeds; for the config of a result."""
    found: dict[str, dict[str, object]] = {}
    for one in records(work):
        a = one.about
        entry = found.setdefault(a.method, {"epochs": {}, "seeds": [], "paper": PAPER.get(a.method, "")})
        kept = entry["epochs"]
        assert isinstance(kept, dict)
        kept.setdefault(a.point, {})[str(a.seed)] = a.epochs
        seeds = entry["seeds"]
        assert isinstance(seeds, list)
        if a.seed not in seeds:
            seeds.append(a.seed)
    return found


def _points(at: Field, name: str) -> list[Row]:
    """Accuracy with its interval, mean bytes with their 5th and 95th percentile, and the head's parameters."""
    one, made = at.curves[name], []
    drawn = one.right @ at.weights[1:].T  # (points, draws)
    for i, point in enumerate(one.points):
        case, n = f"{name} {point}", one.right.shape[1]
        low, high = np.quantile(drawn[i], (0.025, 0.975))
        made.append(Row(case, "accuracy", 100 * float(one.right[i].mean()), "%", n, 100 * float(low), 100 * float(high)))
        least, most = np.quantile(one.bytes[i], (0.05, 0.95))
        made.append(Row(case, "bytes of a frame", float(one.bytes[i].mean()), "bytes", n, float(least), float(most)))
        about = next(r.about for r in at.grouped[name] if r.about.point == point)
        if about.parameters:
            made.append(Row(case, "parameters of the head", about.parameters, ""))
    return made


def _seeds(name: str, kept: Sequence[Record]) -> list[Row]:
    """Mean and standard deviation over seeds, where a point has several."""
    made = []
    for point, (n, accuracy, off, size, away) in spread(kept).items():
        if n > 1:
            case = f"{name} {point}, {n} seeds"
            made.append(Row(case, "accuracy", 100 * accuracy, "%", n, 100 * (accuracy - off), 100 * (accuracy + off)))
            made.append(Row(case, "bytes of a frame", size, "bytes", n, size - away, size + away))
    return made


def _codecs(at: Field) -> tuple[list[Row], list[Target]]:
    """Ours against each codec at the teacher's accuracy less 1.5 to 2.5 points, and BD-rates."""
    made, targets = [], []
    for method, words, want in CODECS:
        name = f"ours against {words}, teacher -1.5 … -2.5 points"
        if method not in at.curves or not at.ours():
            targets.append(left_out(name, f"{want:.0%} bytes", _missing(at, method)))
            continue
        other = at.curves[method]
        found = {one.name: saving(one, other, at.teacher, BETWEEN, at.weights) for one in at.ours()}
        rates = {one.name: bd_rate(one, other, at.weights) for one in at.ours()}
        for one in at.ours():
            made += _row(f"{one.name} against {method}", "bytes at equal accuracy", found[one.name])
            made += _row(f"{one.name} against {method}", "BD-rate", rates[one.name])
        targets.append(_below(name, want, at, method, found, rates))
    for method in at.sending():
        if method not in {m for m, _, _ in CODECS} | {one.name for one in at.ours()}:
            for one in at.ours():
                made += _row(f"{one.name} against {method}", "BD-rate", bd_rate(one, at.curves[method], at.weights))
    return made, targets


def _unseen(kept: Sequence[Record], pictures: int) -> tuple[list[Row], list[Target]]:
    """Ours on the pictures that no trial of its design was judged on, and the targets against codecs there."""
    asked = {TEACHER[0], GENERAL, TASK, *(method for method, _, _ in CODECS)}
    some = part([r for r in kept if r.about.method in asked], slice(TRIALS, None))
    at = field(some) if pictures > TRIALS else None
    if at is None or not at.ours():
        return [], []
    where = f", pictures {TRIALS + 1:,} … {pictures:,}, which no trial of the design saw"
    made = [row for one in at.ours() for row in _points(at, one.name)]
    more, targets = _codecs(at)
    made += more
    return (
        [msgspec.structs.replace(row, case=row.case + where) for row in made],
        [msgspec.structs.replace(target, name=target.name + where) for target in targets],
    )


def _frames(at: Field) -> tuple[list[Row], list[Target]]:
    """Bytes of a whole frame of ours (and of every other method) at three accuracies."""
    made, targets = [], []
    for drop, limit in FRAMES:
        name = f"ours, bytes of a whole frame at teacher -{100 * drop:g} points"
        found = {n: bytes_at(one, at.teacher, drop, at.weights) for n, one in at.curves.items() if n in at.sending()}
        for method, one in found.items():
            made += _row(method, f"bytes at teacher -{100 * drop:g} points", one, "bytes")
        own = {one.name: _smaller(one, at, found[one.name], drop) for one in at.ours()}
        if not own:
            targets.append(left_out(name, f"<= {limit} B", _missing(at, GENERAL)))
            continue
        counted = at.counted() if own[at.counted()].value is not None or GENERAL not in own else GENERAL
        value, note = own[counted].value, own[counted].note
        got = "; ".join(f"{n} {_spoken(own[n], 'B')}" for n in sorted(own, key=lambda n: n != counted))
        if value is None:
            targets.append(Target(name, f"<= {limit} B", got, False, f"{counted}, which counts by rule: {note}"))
        else:
            targets.append(Target(name, f"<= {limit} B", got, value <= limit, "" if value <= limit else f"{SHORT}. {note}"))
    return made, targets


def _smaller(one: Curve, at: Field, found: Estimate, drop: float) -> Estimate:
    """A curve whose points are all better than what was asked is charged its first: a bound."""
    if found.value is not None or one.accuracy.min() < at.teacher.accuracy - drop:
        return found
    first = float(one.mean_bytes.min())
    return Estimate(first, note=f"a bound: its smallest point already answers {one.accuracy[one.mean_bytes.argmin()]:.1%}")


def _entropic(at: Field) -> tuple[list[Row], list[Target]]:
    """Entropic Student against JPEG with a tuned tail; ours, its encoder frozen too, against Entropic Student.

    Records are of the narrow widths. What the published ones need, where their two points are, is said with it."""
    made, targets = [], []
    pairs: tuple[tuple[str, str, str, float], ...] = (
        (ENTROPIC, "jpeg-tuned", "Entropic Student against JPEG with a tuned tail", -0.40),
    )
    pairs += ((GENERAL, ENTROPIC, "ours against Entropic Student at equal epochs, both encoders frozen in stage 2", -0.30),)
    for mine, theirs, name, want in pairs:
        missing = next((m for m in (mine, theirs) if m not in at.curves), None)
        if missing:
            targets.append(left_out(name, f"{want:.0%} bytes", _missing(at, missing)))
            continue
        one, other = at.curves[mine], at.curves[theirs]
        found = saving(one, other, at.teacher, BETWEEN, at.weights)
        rate = bd_rate(one, other, at.weights)
        made += _row(f"{mine} against {theirs}", "bytes at equal accuracy", found)
        made += _row(f"{mine} against {theirs}", "BD-rate", rate)
        widths = f"Entropic Student of the narrow widths 48, 32, 24; {_published(at, mine if theirs == ENTROPIC else theirs)}"
        said = f"; {widths}; {at.trained(mine, theirs)}"
        judged = found if found.value is not None else rate
        note = "" if found.value is not None else " (BD-rate: not both reach teacher -1.5 … -2.5 points)"
        if judged.value is None:
            targets.append(left_out(name, f"{want:.0%} bytes", f"{found.note}; {judged.note}"))
        else:
            met = judged.value <= want
            targets.append(
                Target(name, f"{want:.0%} bytes", _spoken(judged) + note + said, met, "" if met else f"{SHORT}. {judged.note}")
            )
    return made, targets


def _published(at: Field, other: str) -> str:
    """What the published widths of Entropic Student need, against the narrow ones and against `other`."""
    if WIDE not in at.curves:
        return f"the published 96, 48, 24 have no records ({WIDE} was not run)"
    wide = at.curves[WIDE]
    against_narrow = bd_rate(wide, at.curves[ENTROPIC], at.weights) if ENTROPIC in at.curves else Estimate(None, note="not run")
    pair = (wide, at.curves[other]) if other.startswith("jpeg") else (at.curves[other], wide)
    rate = bd_rate(*pair, at.weights)
    return (
        f"the published 96, 48, 24 ({len(wide.points)} points, BD-rates): against the narrow ones {_spoken(against_narrow)}, "
        f"{pair[0].name} against {pair[1].name} {_spoken(rate)}"
    )


def _others(at: Field) -> tuple[list[Row], list[Target]]:
    """Ours against every point of BottleFit and of CR+BQ with our coder, at that point's accuracy.

    Met where ours is smaller at all of them: at a point that is more accurate than our best nothing can be compared, and the
    target says how many points it has been compared at."""
    made, targets = [], []
    for start, words in (
        ("bottlefit-coded", "BottleFit + our coder"),
        ("bottlefit", "BottleFit as published"),
        ("cr-bq", "CR+BQ + our coder"),
    ):
        methods = [m for m in at.curves if m == start or (start == "cr-bq" and m.startswith(("cr", "ghnd")))]
        name = f"ours against {words}, bytes at equal accuracy"
        if not methods or not at.ours():
            targets.append(left_out(name, "< 0 %", _missing(at, start)))
            continue
        found = {}
        for other, point in ((at.curves[m], p) for m in methods for p in at.curves[m].points):
            for mine in reversed(at.ours()):  # the general one where the other says nothing
                one = against(mine, other, point, at.weights)
                if one.value is not None:
                    break
            found[point] = one
            made += _row(f"{mine.name} against {other.name} {point}", "bytes at equal accuracy", one)
        best = max(one.accuracy.max() for one in at.ours())
        names = [one.name for one in at.ours()]
        known = {p: e.value for p, e in found.items() if e.value is not None}
        larger = [p for p, value in known.items() if value >= 0]
        beyond = [p for p in found if p not in known]
        span = f"{min(known.values()):.0%} … {max(known.values()):.0%} " if known else ""
        got = f"{span}over {len(known)} of {len(found)} points; {at.trained(*names, *methods)}"
        reasons = [f"smaller than ours: {', '.join(larger)}"] if larger else []
        if beyond:
            reasons.append(f"more accurate than our best ({best:.1%}), not compared: {', '.join(beyond)}")
        targets.append(Target(name, "< 0 % at every point", got, not reasons, "; ".join(reasons)))
    return made, targets


def _below(name: str, want: float, at: Field, other: str, found: Mapping[str, Estimate], rates: Mapping[str, Estimate]) -> Target:
    """A target of bytes against a codec: one of ours counts, the other is printed."""
    counted = at.counted()
    printed = "; ".join(f"BD-rate of {n} {_spoken(e)}" for n, e in rates.items() if e.value is not None)
    value, note = found[counted].value, found[counted].note
    if value is None:
        notes = "; ".join(f"{n}: {e.note}" for n, e in found.items())
        return left_out(name, f"{want:.0%} bytes", f"{notes}. {printed}")
    got = "; ".join(f"{n} {_spoken(found[n])}" for n in sorted(found, key=lambda n: n != counted))
    trained = at.trained(*(one.name for one in at.ours()), other)
    met = value <= want
    return Target(name, f"{want:.0%} bytes", f"{got}; {printed}; {trained}", met, "" if met else f"{SHORT}. {note}")


def _row(case: str, metric: str, found: Estimate, unit: str = "%") -> list[Row]:
    """A row of an estimate, none where nothing could be said."""
    if found.value is None:
        return []
    scale = 100 if unit == "%" else 1
    low, high = (None if v is None else scale * v for v in (found.low, found.high))
    return [Row(case + (f" ({found.note})" if found.note else ""), metric, scale * found.value, unit, 1, low, high)]


def _spoken(found: Estimate, unit: str = "%") -> str:
    if found.value is None:
        return f"– ({found.note})"
    scale, form = (100, ".0f") if unit == "%" else (1, ",.0f")
    between = "" if found.low is None or found.high is None else f" [{scale * found.low:{form}}, {scale * found.high:{form}}]"
    return f"{scale * found.value:{form}} {unit}{between}" + (f" ({found.note})" if found.note and found.low is None else "")


def _missing(at: Field, method: str) -> str:
    return f"this run has no records of {method if at.ours() else GENERAL}"
