"""How normalisation statistics follow a stream: pure rules over values; `edgewise.runtime.tracked` runs them.

    weight = max(momentum(of all |B| stands for), |B| / (seen + |B|))     a plain mean, then a moving average (adapt notes 2.3)
    share = (1 − ω)·ramp(d)   d: distance of the first layer from the source; 0 below `calm`, 1 above `moved` (ours)
    alarm                     the newest first layers differ from the running ones by more than their spread allows (ours)

The first layer decides, because what it sees does not depend on any statistics in use: no loop can feed itself. While it stays
near the source the model *is* the source, bit for bit, so clean pictures lose nothing ("nothing changed", adapt notes trap 8). A
domain moves the first layer far; a class hardly does.

After an alarm the past counts for a few samples only, and every frame is watched; settled, one frame in `every` is, and stands
for all of them.

It does not know which model this is, nor time: it counts frames.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.moments import momentum

Vector = NDArray[np.float64]
EPSILON = 1e-5


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """`rate`: weight of 50 samples; `source`: ω; `calm`, `moved`: nats a channel; `every`: one frame in so many is watched when
    settled; `prior`, `restart`: samples that the past counts for at the start and after an alarm; `dense`: samples for which every
    frame is watched then; `alarm`: squared deviations; `recent`: watched frames that are compared with the past. The fast session
    is renewed where it is `renew` nats off, after `every`, twice, four times … so many runs, `spacing` at most."""

    rate: float = 0.02
    source: float = 0.1
    calm: float = 0.03
    moved: float = 0.1
    every: int = 16
    prior: float = 16
    restart: float = 32
    dense: float = 128
    alarm: float = 8.0
    recent: int = 8
    renew: float = 0.002
    spacing: int = 1024


PLAIN = Rules()


class Course(Struct, frozen=True, eq=False):
    """Where a stream has led: running E[x], E[x²] (ΣC,), samples `seen` since the last alarm, the `share` of them in use, `away`
    the distance of the first layer, `slow`, `spread` and `fast` mean of its features, and how many `alarms` there were."""

    mean: Vector
    second: Vector
    seen: float
    share: float = 0.0
    away: float = 0.0
    slow: Vector | None = None
    spread: Vector | None = None
    fast: Vector | None = None
    watched: int = 0
    alarms: int = 0


def begun(mean: Vector, variance: Vector, rules: Rules) -> Course:
    """The course of a stream of which nothing has been seen: the source's own statistics."""
    return Course(mean.astype(np.float64), variance + mean.astype(np.float64) ** 2, rules.prior)


def weight(course: Course, samples: int, stands_for: int, rules: Rules) -> float:
    """What the next `samples`, which stand for so many, weigh in the running moments."""
    return max(momentum(stands_for, rules.rate), samples / (course.seen + samples))


def dense(course: Course, rules: Rules) -> bool:
    """Whether every frame is watched: something moves, or too little has been seen."""
    return course.seen < rules.dense


def observed(
    course: Course, mean: Vector, second: Vector, samples: int, stands_for: int, first: tuple[Vector, Vector], rules: Rules
) -> Course:
    """The course after a watched batch of `samples`, whose moments are `mean` and `second` (ΣC,).

    `first` = the source's mean and variance of the first layer, which the first channels are of.
    """
    w = weight(course, samples, stands_for, rules)
    after = replace(
        course,
        mean=course.mean + w * (mean - course.mean),
        second=course.second + w * (second - course.second),
        seen=course.seen + samples,
        watched=course.watched + 1,
    )
    return judged(_alarmed(after, mean, second, first, rules), first, rules)


def _alarmed(course: Course, mean: Vector, second: Vector, first: tuple[Vector, Vector], rules: Rules) -> Course:
    """With the features of the newest frame in the slow and the fast mean; the past forgotten where they do not fit together."""
    now = features(mean[: len(first[0])], second[: len(first[0])], first)
    if course.slow is None or course.fast is None or course.spread is None:
        return replace(course, slow=now, fast=now, spread=np.zeros_like(now))
    pace, slow_pace = 1 / rules.recent, max(1 / course.watched, 1 / (16 * rules.recent))
    fast = course.fast + pace * (now - course.fast)
    apart = now - course.slow
    slow, spread = course.slow + slow_pace * apart, (1 - slow_pace) * (course.spread + slow_pace * apart**2)
    moved = replace(course, slow=slow, fast=fast, spread=spread)
    if course.watched < 2 * rules.recent:
        return moved
    expected = spread * (pace / (2 - pace)) + 1e-3
    if float(np.mean((fast - slow) ** 2 / expected)) < rules.alarm:
        return moved
    return replace(moved, seen=min(course.seen, rules.restart), slow=fast, watched=1, alarms=course.alarms + 1)


def judged(course: Course, first: tuple[Vector, Vector], rules: Rules) -> Course:
    """With the distance of the first layer, and the share of the running statistics that it calls for."""
    size = len(first[0])
    mean, second = course.mean[:size], course.second[:size]
    away = apart(first, (mean, np.maximum(second - mean**2, 0)))
    ramp = min(1.0, max(0.0, (away - rules.calm) / (rules.moved - rules.calm)))
    return replace(course, away=away, share=(1 - rules.source) * ramp)


def apart(old: tuple[Vector, Vector], new: tuple[Vector, Vector]) -> float:
    """The distance of two (mean, variance) over all layers, nats a channel."""
    spread = old[1] + EPSILON
    ratio = (new[1] + EPSILON) / spread
    return float(0.5 * np.mean((new[0] - old[0]) ** 2 / spread + ratio - 1 - np.log(ratio)))


def features(mean: Vector, second: Vector, first: tuple[Vector, Vector]) -> Vector:
    """What a frame's first layer looks like beside the source's: shifts in its deviations, and logarithms of spreads (2·C,)."""
    spread = first[1] + EPSILON
    ratio = (np.maximum(second - mean**2, 0) + EPSILON) / spread
    return np.concatenate([(mean - first[0]) / np.sqrt(spread), 0.5 * np.log(ratio)])
