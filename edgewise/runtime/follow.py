"""How normalisation statistics follow a stream: pure rules over values; `edgewise.runtime.tracked` runs them.

Two moving averages of what each layer takes in (adapt notes 2.3; the rest is ours):

    running   under the statistics in use                what the model may normalise with
    plain     under the source's own, seen now and then  says whether anything has changed: no loop can feed itself

    weight  = max(momentum(of all |B| stands for), 2|B| / (seen + 2|B|))   soon the newest, later a moving average
    away    = distance of `plain` from the source, mean over layers        nats a channel
    calm    = `calm` + `crowd` · concentration of recent answers on few labels
    share   = ramp of `away` from calm to twice calm, times 1 for the first layer, falling to `deep` at the last

While `away` stays below calm the model *is* the source, bit for bit, so clean pictures lose nothing (adapt notes trap 8). Early
layers see weather, late ones what there is: on a stream sorted by class, statistics of late layers are those of one class, and a
model normalised with them takes all classes for each other. So where recent answers are of few labels, late layers go home, and
more has to change before anything does. A model in the wrong weather, too, says the same of all: then early layers mend it first.

A camera that stays in one place never sees what the source saw, in any weather: a few scenes against all of them. There the first
samples make `normal`, and what counts is the change against them: away is their distance to `plain`, and what is added to the
source is the *difference* of the running means, and the ratio of variances, to the normal ones. It is taken for granted that a
camera is set up in weather that its model knows; one that begins `known` nats from the source is measured against the source.

An alarm, when what some layer of the earlier half sees in the newest frames differs from before by more than its spread allows,
lets the past count for a few samples only, and every frame is watched; settled, one in `every` is, and stands for all of them. An
alarm takes nothing for granted: `plain` begins at home again, so that the way home is as short as the way out. A mean of
watched frames is slow where one in many is watched, so one strange frame has the next ones watched as well, while their sum of
strangeness beyond what is `usual` stays above nothing (Page 1954): most often one is enough to clear it.

It does not know which model this is, nor time: it counts frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.moments import divergence, momentum

Vector = NDArray[np.float64]
EPSILON = 1e-5
_ENOUGH = 16  # samples that the source has to have seen before it says that something has changed


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """`rate`: weight of 50 samples; `calm`, `crowd`: nats a channel; `deep`: share of the last layer; `every`: one frame in so
    many is watched when settled; `look`: one in so many is shown to the source as well while away; `prior`: what the past weighs,
    in samples, at the start, after an alarm and on leaving home; `dense`: samples for which each frame is watched then; `settle`:
    samples that make up what is normal here (0: the source is), if they are less than `known` nats from the source; `alarm`, and
    `suspicion` (the next frame is watched too): squared deviations, of the mean of recent frames; `usual`, of one; `recent`:
    watched frames that are compared with the past; `memory`: answers whose labels are counted. The fast session is renewed where
    it is `renew` nats off, after `every`, twice, four times … so many runs, `spacing` at most."""

    rate: float = 0.01
    calm: float = 0.008
    crowd: float = 0.07
    deep: float = 0.5
    every: int = 64
    look: int = 256
    prior: float = 8
    dense: float = 128
    settle: float = 0
    known: float = 0.25
    alarm: float = 9.0
    suspicion: float = 6.0
    usual: float = 2.5
    recent: int = 8
    memory: int = 64
    renew: float = 0.002
    spacing: int = 1024


PLAIN = Rules()
CAMERA = Rules(settle=64)  # of one place, whose pictures are never like those of all the places that a model learned from


class Seen(Struct, frozen=True, eq=False):
    """A moving average: E[x], E[x²] (ΣC,) over `samples`."""

    mean: Vector
    second: Vector
    samples: float

    @property
    def variance(self) -> Vector:
        return np.maximum(self.second - self.mean**2, 0)


class Course(Struct, frozen=True, eq=False):
    """Where a stream has led: the averages, how far it is `away`, the part 0..1 of the way that is `gone` (0: the source itself),
    features of the earlier layers (2, C): their `slow` and `fast` mean and `spread`, how `odd` the newest are, and how `strange`
    the last ones by themselves; labels of recent answers."""

    running: Seen
    plain: Seen
    normal: Seen | None = None
    away: float = 0.0
    gone: float = 0.0
    slow: Vector | None = None
    fast: Vector | None = None
    spread: Vector | None = None
    compared: int = 0
    odd: float = 0.0
    strange: float = 0.0
    labels: Vector | None = None
    alarms: int = 0

    @property
    def concentration(self) -> float:
        """0 where recent answers are of all labels alike, 1 where they are of one; 0 where nobody told."""
        if self.labels is None or len(self.labels) < 2 or not self.labels.sum():
            return 0.0
        shares = self.labels / self.labels.sum()
        even = 1 / len(shares)
        return max(0.0, (float(shares @ shares) - even) / (1 - even))


class Source(Struct, frozen=True, eq=False):
    """What the model came with: mean and variance (ΣC,), and where each layer's channels lie."""

    mean: Vector
    variance: Vector
    slices: tuple[slice, ...]


def begun(source: Source, rules: Rules) -> Course:
    """The course of a stream of which nothing has been seen."""
    home = Seen(source.mean, source.variance + source.mean**2, rules.prior)
    return Course(home, home)


def weight(seen: Seen, samples: int, stands_for: int, rules: Rules) -> float:
    """What the next `samples`, which stand for so many, weigh in a moving average."""
    return max(momentum(stands_for, rules.rate), 2 * samples / (seen.samples + 2 * samples))


def dense(course: Course, rules: Rules) -> bool:
    """Whether every frame is watched: something moves, or may, or too little has been seen."""
    return course.running.samples < rules.dense or course.odd > rules.suspicion or course.strange > 0


def shares(course: Course, layers: int, rules: Rules) -> Vector:
    """The share of the running statistics by layer (layers,); all 0 at home."""
    last = rules.deep * max(0.0, 1 - 2 * course.concentration)
    return course.gone * np.linspace(1.0, last, layers)


def mixture(course: Course, source: Source, rules: Rules) -> tuple[Vector, Vector, Vector, Vector]:
    """Base and part of mean, base and part of variance (each ΣC,): what is normalised with is base + part · running."""
    share = np.repeat(shares(course, len(source.slices), rules), [at.stop - at.start for at in source.slices])
    if course.normal is None:
        return (1 - share) * source.mean, share, (1 - share) * source.variance, share
    scale = (source.variance + EPSILON) / (course.normal.variance + EPSILON)
    return source.mean - share * course.normal.mean, share, (1 - share) * source.variance, share * scale


def mixed(course: Course, source: Source, rules: Rules) -> tuple[Vector, Vector]:
    """Mean and variance (ΣC,) to normalise with; the source's own, bit for bit, at home."""
    if not course.gone:
        return source.mean, source.variance
    base_mean, part_mean, base_variance, part_variance = mixture(course, source, rules)
    return base_mean + part_mean * course.running.mean, base_variance + part_variance * course.running.variance


def told(course: Course, label: int | Sequence[int], labels: int, rules: Rules) -> Course:
    """The course after an answer with this label of so many, or after several, the newest last."""
    counts = np.zeros(labels) if course.labels is None or len(course.labels) != labels else course.labels
    said = np.atleast_1d(label)
    fading = (1 - 1 / rules.memory) ** np.arange(len(said) - 1, -1, -1)
    counts = counts * (1 - 1 / rules.memory) ** len(said) + np.bincount(said, fading, labels)
    return replace(course, labels=counts)


def observed(
    course: Course, moments: tuple[Vector, Vector], samples: int, stands_for: int, source: Source, rules: Rules
) -> Course:
    """The course after a batch of `samples`, whose `moments` (E[x], E[x²]) were taken under the statistics in use."""
    after = replace(course, running=_averaged(course.running, moments, samples, stands_for, rules))
    after = _alarmed(after, moments, source, rules)
    return looked(after, moments, samples, stands_for, source, rules) if not course.gone else after


def looked(course: Course, moments: tuple[Vector, Vector], samples: int, stands_for: int, source: Source, rules: Rules) -> Course:
    """The course after a batch whose moments were taken under the source's own statistics."""
    plain = _averaged(course.plain, moments, samples, stands_for, rules)
    if rules.settle and course.normal is None and course.alarms == 0 and not course.gone:
        away = apart((source.mean, source.variance), (plain.mean, plain.variance), source.slices)
        if plain.samples < rules.prior + rules.settle or away < rules.known:
            settled = plain if plain.samples >= rules.prior + rules.settle else None
            return replace(course, plain=plain, away=away, normal=settled)
    normal = (source.mean, source.variance) if course.normal is None else (course.normal.mean, course.normal.variance)
    away = apart(normal, (plain.mean, plain.variance), source.slices)
    calm = rules.calm + rules.crowd * course.concentration
    gone = min(1.0, max(0.0, away / calm - 1)) if plain.samples >= rules.prior + _ENOUGH else course.gone
    running = course.running
    if gone and not course.gone:  # what was seen of late layers was seen under other statistics
        running = replace(running, samples=min(running.samples, rules.prior))
    return replace(course, plain=plain, running=running, away=away, gone=gone)


def _averaged(seen: Seen, moments: tuple[Vector, Vector], samples: int, stands_for: int, rules: Rules) -> Seen:
    w = weight(seen, samples, stands_for, rules)
    mean, second = seen.mean + w * (moments[0] - seen.mean), seen.second + w * (moments[1] - seen.second)
    return Seen(mean, second, seen.samples + samples)


def _alarmed(course: Course, moments: tuple[Vector, Vector], source: Source, rules: Rules) -> Course:
    """With the newest features in the slow and the fast mean; the past forgotten where they do not fit together."""
    layers = source.slices[: -(-len(source.slices) // 2)]
    now = features(moments, source, layers[-1].stop)
    if course.slow is None or course.fast is None or course.spread is None:
        return replace(course, slow=now, fast=now, spread=np.zeros_like(now), compared=1)
    compared, pace = course.compared + 1, 1 / rules.recent
    slowly = max(1 / compared, 1 / (16 * rules.recent))
    fast, off = course.fast + pace * (now - course.fast), now - course.slow
    slow, spread = course.slow + slowly * off, (1 - slowly) * (course.spread + slowly * off**2)
    after = replace(course, slow=slow, fast=fast, spread=spread, compared=compared, odd=0.0, strange=0.0)
    if compared < 2 * rules.recent or course.running.samples < rules.dense:
        return after
    single = float(_by_layer(off**2 / (course.spread + 1e-3), layers).mean(0).max())
    strange = max(0.0, course.strange + min(single - rules.usual, rules.usual))
    apart = (fast - slow) ** 2 / (spread * (pace / (2 - pace)) + 1e-3)
    odd = float(_by_layer(apart, layers).max())
    if odd < rules.alarm:
        return replace(after, odd=odd, strange=strange)
    running = replace(course.running, samples=min(course.running.samples, rules.prior))
    home = begun(source, rules).plain if course.normal is None else replace(course.normal, samples=rules.prior)
    return replace(after, running=running, plain=home, slow=fast, compared=1, alarms=course.alarms + 1)


def apart(old: tuple[Vector, Vector], new: tuple[Vector, Vector], slices: tuple[slice, ...]) -> float:
    """The distance of two (mean, variance), the mean over layers: nats a channel."""
    return float(0.5 * _by_layer(divergence(old, new, EPSILON), slices).mean())


def _by_layer(values: Vector, slices: Sequence[slice]) -> Vector:
    """The means of values (…, ΣC) over each layer's channels: (…, layers)."""
    starts = [at.start for at in slices]
    return np.add.reduceat(values, starts, axis=-1) / np.diff([*starts, slices[-1].stop])


def features(moments: tuple[Vector, Vector], source: Source, stop: int) -> Vector:
    """What a batch looks like to the first layers beside the source: shifts in deviations, logarithms of spreads (2, C)."""
    mean, second = moments[0][:stop], moments[1][:stop]
    spread = source.variance[:stop] + EPSILON
    ratio = (np.maximum(second - mean**2, 0) + EPSILON) / spread
    return np.stack([(mean - source.mean[:stop]) / np.sqrt(spread), 0.5 * np.log(ratio)])
