"""BottleFit's targets, from records alone: bytes against JPEG, the upper bound of the loss, the head's size, and early exits.

A point meets the bytes and the loss together or not at all: of the points that send at least 77.1 % less than the JPEG of q75,
the one with the lowest upper bound of the loss is told. It is chosen on the even pictures and told on the odd ones: the best of
many bounds on the same pictures would be none. The loss is that against the teacher on the same pictures, its interval 95 % of a
paired bootstrap. Early exits are compared at the bytes of that point, on the odd pictures too: their accuracy there, between two
thresholds, and never less than that of an exit which sends nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct

from bench.rates.bottlefit import CODED, METHOD
from bench.rates.compared import Field, field, part
from bench.rates.curves import accuracy_at
from bench.rates.exits import FEATURES, JPEG
from bench.rates.record import records
from bench.report import Row, Target, left_out

LESS, LOSS, SMALLER = 0.771, 0.006, 80
NAMES = (
    "BottleFit, bytes less than the 128-px JPEG of q75",
    "BottleFit, upper bound of the loss",
    "BottleFit, head smaller than the autoencoder's in the middle, and than the whole model",
    "BottleFit against SPINN-type exits, loss at equal bytes",
)
REASON = (
    "a small teacher on small pictures: every value that crosses counts for more; fewer epochs of stage 2 than the paper's 10"
)
EVEN, ODD = slice(0, None, 2), slice(1, None, 2)  # pictures that choose the point, and that it is told on


class Judged(Struct, frozen=True):
    """A point of BottleFit: `less` of the JPEG's bytes, the loss against the teacher with its 95 % interval, its head."""

    name: str
    bytes: float
    less: float
    loss: float
    low: float
    high: float
    parameters: int


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """Rows and targets of what is there."""
    every = records(work)
    found = field(every)
    reference = None if found is None else next(iter(found.grouped.get("jpeg-reference", ())), None)
    if found is None or reference is None or not (METHOD in found.curves or CODED in found.curves):
        return [], [
            left_out(n, "see the docs", "there are no records of BottleFit, of the teacher, or of the JPEG") for n in NAMES
        ]
    judged = _all(found)
    made = [
        Row(one.name, "loss against the teacher", 100 * one.loss, "points", 0, 100 * one.low, 100 * one.high) for one in judged
    ]
    made += [Row(one.name, "less than the JPEG of q75", 100 * one.less, "%") for one in judged]
    chooses, tells = field(part(every, EVEN)), field(part(every, ODD))
    assert chooses is not None and tells is not None
    candidates = _all(chooses)
    small = [one for one in candidates if one.less >= LESS] or candidates
    chosen = min(small, key=lambda one: one.high).name
    best = next(one for one in _all(tells) if one.name == chosen)
    size = tells.grouped["jpeg-reference"][0].mean_bytes
    trained = tells.trained(chosen.partition(" ")[0])
    targets = [
        Target(
            NAMES[0], f">= {LESS:.1%}", f"{best.less:.1%}, {best.bytes:.0f} B for {size:.0f} B ({best.name})",
            best.less >= LESS, "" if best.less >= LESS else REASON,
        ),
        Target(
            NAMES[1], f"<= {100 * LOSS:.1f} points",
            f"{100 * best.high:.2f} points: {100 * best.loss:.2f} [{100 * best.low:.2f}, {100 * best.high:.2f}] "
            f"({best.name}, chosen on the even pictures, told on the odd; {trained})",
            best.high <= LOSS, "" if best.high <= LOSS else REASON,
        ),
        _head(best, reference.about.more),
        _exits(tells, best),
    ]  # fmt: skip
    return made, targets


def _all(found: Field) -> list[Judged]:
    """Every point of BottleFit on the pictures of that field."""
    reference = found.grouped["jpeg-reference"][0].mean_bytes
    return [one for method in (METHOD, CODED) if method in found.curves for one in _judged(found, method, reference)]


def _judged(found: Field, method: str, reference: float) -> list[Judged]:
    one = found.curves[method]
    lost = (found.teacher.right - one.right) @ found.weights.T  # (points, 1 + draws)
    low, high = np.quantile(lost[:, 1:], (0.025, 0.975), axis=1)
    heads = {r.about.point: r.about.parameters for r in found.grouped[method]}
    return [
        Judged(
            f"{method} {p}", float(size), 1 - float(size) / reference, float(lost[i, 0]), float(low[i]), float(high[i]), heads[p]
        )
        for i, (p, size) in enumerate(zip(one.points, one.mean_bytes, strict=True))
    ]


def _head(best: Judged, figures: dict[str, float]) -> Target:
    ratios = {name: figures[name] / best.parameters for name in ("middle", "whole") if name in figures}
    if len(ratios) < 2:
        return left_out(NAMES[2], f">= {SMALLER} ×", "the JPEG's record has not the sizes of the networks")
    met = min(ratios.values()) >= SMALLER
    reason = (
        f"the middle of ResNet-10 is {figures['middle']:,.0f} parameters in, and the first convolution has the published 64 "
        "filters all the same; ResNet-152's is in the claims of paper 8"
    )
    got = f"{ratios['middle']:.0f} × than the autoencoder's head, {ratios['whole']:.0f} × than the whole model ({best.name})"
    return Target(NAMES[2], f">= {SMALLER} ×", got, met, "" if met else reason)


def _exits(found: Field, best: Judged) -> Target:
    """Exits at the bytes of BottleFit's point. One that answers everything on the device sends nothing and is cheap enough at any
    price: the best of those (on all pictures) is the floor. Without it, and where all points cost more, a method of exits is not
    compared."""
    said, worse, without = [], [], []
    for method in (FEATURES, JPEG):
        if method not in found.curves:
            continue
        one = found.curves[method]
        alone = [r.about.more["exit alone"] for r in found.grouped[method] if "exit alone" in r.about.more]
        between = accuracy_at(one, best.bytes, found.weights).value
        cheap = one.accuracy[one.mean_bytes <= best.bytes].tolist()
        reached = [*cheap, *alone, *([] if between is None else [between])]
        if not reached:
            without.append(f"{method} has no point of {best.bytes:.0f} B or fewer: its smallest is {one.mean_bytes.min():.0f} B")
            continue
        loss = found.teacher.accuracy - max(reached)
        said.append(f"{method} {100 * loss:.2f}" + (" (an exit alone, 0 B)" if alone and max(reached) == max(alone) else ""))
        worse.append(loss > best.loss)
    if not said:
        return left_out(NAMES[3], "< theirs", "; ".join(without) or "there are no records of early exits")
    met = all(worse)
    reason = "" if met else "an exit whose doubtful pictures go as JPEG lets the teacher itself answer them"
    return Target(
        NAMES[3],
        "< theirs",
        "; ".join([f"{100 * best.loss:.2f} points against {', '.join(said)} at {best.bytes:.0f} B", *without]),
        met,
        reason,
    )
