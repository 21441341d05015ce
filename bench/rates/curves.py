"""Curves of accuracy over bytes, made of Records: bytes at equal accuracy, BD-rate, and intervals over pictures.

A curve is the front of a method's points: a point that costs more bytes than another and is not more often right counts for
nothing. Between two points the logarithm of bytes is linear in accuracy; outside of them nothing is said, but bounds where they
go against the claim: the method that is to be smaller may be charged its first point where its accuracy is more than was asked,
and the one that is to be larger its last point where it never gets there. An estimate that rests on such an end says so, and so
does one on a stretch where a curve is flat.

    saving(a, b)   exp(mean over the accuracies of ln(bytes_a / bytes_b)) − 1        −0.72: a needs 72 % fewer bytes
    BD-rate        the same over all accuracies that both reach (Bjøntegaard 2001, with straight pieces instead of a cubic)

Intervals are 95 % of a paired bootstrap: pictures are drawn with replacement, and all methods, the teacher too, are scored on the
same drawing (2.5th to 97.5th percentile). They hold what other pictures would change, not what another training would: records
of several seeds are averaged picture by picture, and `spread` says how far seeds lie apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.rates.record import Record
from edgewise.core.errors import ConfigError

Floats = NDArray[np.float64]
DRAWS, SEED = 1000, 41
STEPS = 21  # accuracies over which a saving is averaged
FLAT = 0.005  # of accuracy per doubling of bytes: less is a flat stretch
MOST_LOST = 0.1  # of the drawings may say nothing before the interval says nothing either


class Curve(Struct, frozen=True):
    """`right` and `bytes` (points, pictures), averaged over `seeds[i]` seeds of `points[i]`."""

    name: str
    points: tuple[str, ...]
    right: Floats
    bytes: Floats
    seeds: tuple[int, ...]

    @property
    def accuracy(self) -> Floats:
        return np.asarray(self.right.mean(1))

    @property
    def mean_bytes(self) -> Floats:
        return np.asarray(self.bytes.mean(1))


class Estimate(Struct, frozen=True):
    """`value` with its interval, None where nothing can be said; `note` says why, or what stands behind it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


def curve(name: str, records: Sequence[Record]) -> Curve:
    """The curve of records of one method, task and data; ConfigError where they are not of the same pictures, or where the seeds
    of one point were not trained for the same epochs."""
    points = sorted({r.about.point for r in records})
    lengths = {len(r.right) for r in records} | {len(r.bytes) for r in records}
    if not records or len(lengths) != 1:
        raise ConfigError(
            "records make no curve", got=f"{len(records)} of {name} over {sorted(lengths)} pictures", allowed="one set"
        )
    grouped = [[r for r in records if r.about.point == p] for p in points]
    for point, found in zip(points, grouped, strict=True):
        trained = {r.about.seed: r.about.epochs for r in found}
        if any(e != found[0].about.epochs for e in trained.values()):
            got = "; ".join(f"seed {s}: {', '.join(f'{n} {e:g}' for n, e in epochs.items())}" for s, epochs in trained.items())
            raise ConfigError(
                f"seeds of {name} {point} have different epochs and are not averaged",
                got=got,
                allowed="the same epochs in every seed",
                hint="Remove the records of the odd ones and run their jobs again.",
            )
    return Curve(
        name,
        tuple(points),
        np.array([np.mean([r.right for r in g], axis=0) for g in grouped]),
        np.array([np.mean([r.bytes for r in g], axis=0) for g in grouped]),
        tuple(len(g) for g in grouped),
    )


def drawings(pictures: int, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """(1 + draws, pictures) shares by which pictures count: all alike first, then drawn with replacement."""
    counted = np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1 / pictures), draws)
    return np.vstack([np.ones(pictures), counted]) / pictures


def front(accuracy: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Accuracies, rising, and ln(bytes) of the points that no other beats.

    >>> a, b = front(np.array([0.7, 0.9, 0.8]), np.array([100.0, 200.0, 300.0]))
    >>> a.tolist(), np.exp(b).round().tolist()
    ([0.7, 0.9], [100.0, 200.0])
    """
    order = np.lexsort((-accuracy, size))
    a, b = accuracy[order], np.log(size[order])
    best = np.maximum.accumulate(np.concatenate([[-np.inf], a[:-1]]))
    return a[a > best], b[a > best]


def gap(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> float | None:
    """Mean of ln(bytes) of a front less that of another, over the scores that both reach; None where they share no range.

    >>> a = np.array([0.2, 0.4])
    >>> round(float(np.exp(gap((a, np.log([50.0, 200.0])), (a, np.log([100.0, 400.0]))))), 6)
    0.5
    """
    if not len(one[0]) or not len(other[0]):  # no score is a number
        return None
    low, high = max(one[0][0], other[0][0]), min(one[0][-1], other[0][-1])
    if not high > low:
        return None
    at = np.linspace(low, high, STEPS)
    return float(np.mean(np.interp(at, *one) - np.interp(at, *other)))


def bytes_at(one: Curve, teacher: Record, drop: float, weights: Floats) -> Estimate:
    """Mean bytes at the teacher's accuracy less `drop` (0.02: two points)."""

    def log(share: Floats) -> float | None:
        return _at(one, share, float(share @ teacher.right) - drop)

    found = _estimate(log, weights, np.exp)
    if found.value is None:
        reach = one.accuracy - (teacher.accuracy - drop)
        side = "its points are all better than that" if reach.min() > 0 else "no point of it is that good"
        return Estimate(None, note=f"{side} ({one.accuracy.min():.1%} … {one.accuracy.max():.1%})")
    return _noted(found, _flat(one, teacher.accuracy - drop))


def saving(one: Curve, other: Curve, teacher: Record, drops: tuple[float, float], weights: Floats) -> Estimate:
    """Bytes of `one` against `other`, less 1, where accuracy is the teacher's less `drops[1]` to less `drops[0]`."""
    below = np.linspace(drops[1], drops[0], STEPS)
    bounds: list[str] = []

    def log(share: Floats) -> float | None:
        top = float(share @ teacher.right)
        return _mean_gap(one, other, share, top - below, bounds)

    found = _estimate(log, weights, lambda v: np.exp(v) - 1)
    middle = teacher.accuracy - (drops[0] + drops[1]) / 2
    return _noted(found, *sorted(set(bounds)), _flat(one, middle), _flat(other, middle))


def against(one: Curve, other: Curve, point: str, weights: Floats) -> Estimate:
    """Bytes of `one`, where it is as often right as the `point` of `other`, against the bytes of that point, less 1."""
    at = other.points.index(point)
    bounds: list[str] = []

    def log(share: Floats) -> float | None:
        mine = _at(one, share, float(share @ other.right[at]), first=True, bounds=bounds)
        return None if mine is None else mine - float(np.log(share @ other.bytes[at]))

    return _noted(_estimate(log, weights, lambda v: np.exp(v) - 1), *sorted(set(bounds)))


def bd_rate(one: Curve, other: Curve, weights: Floats) -> Estimate:
    """Bytes of `one` against `other`, less 1, over the accuracies that both reach."""

    def log(share: Floats) -> float | None:
        return gap(*(front(c.right @ share, c.bytes @ share) for c in (one, other)))

    found = _estimate(log, weights, lambda v: np.exp(v) - 1)
    (a, b) = one.accuracy, other.accuracy
    both = f"from {max(a.min(), b.min()):.1%} to {min(a.max(), b.max()):.1%}"
    return _noted(found, both) if found.value is not None else Estimate(None, note="the curves have no accuracy in common")


def accuracy_at(one: Curve, size: float, weights: Floats) -> Estimate:
    """Accuracy at so many bytes, between two points of the curve."""

    def there(share: Floats) -> float | None:
        a, b = front(one.right @ share, one.bytes @ share)
        return float(np.interp(np.log(size), b, a)) if b[0] <= np.log(size) <= b[-1] else None

    return _estimate(there, weights, lambda v: v)


def spread(records: Sequence[Record]) -> dict[str, tuple[int, float, float, float, float]]:
    """By point: how many seeds, mean and standard deviation (0 for one seed) of accuracy, then of bytes."""
    found = {}
    for point in sorted({r.about.point for r in records}):
        accuracy = np.array([r.accuracy for r in records if r.about.point == point])
        size = np.array([r.mean_bytes for r in records if r.about.point == point])
        n = len(accuracy)
        deviation = (float(accuracy.std(ddof=1)), float(size.std(ddof=1))) if n > 1 else (0.0, 0.0)
        found[point] = (n, float(accuracy.mean()), deviation[0], float(size.mean()), deviation[1])
    return found


def _at(
    one: Curve, share: Floats, target: float, first: bool = False, last: bool = False, bounds: list[str] | None = None
) -> float | None:
    """ln(bytes) at an accuracy, None outside; `first` and `last` allow the ends as bounds, noted in `bounds`."""
    a, b = front(one.right @ share, one.bytes @ share)
    if a[0] <= target <= a[-1]:
        return float(np.interp(target, a, b))
    if (target < a[0] and first) or (target > a[-1] and last):
        if bounds is not None and np.ptp(share) == 0:
            bounds.append(f"a bound: {one.name} is charged its {'first' if target < a[0] else 'last'} point")
        return float(b[0] if target < a[0] else b[-1])
    return None


def _mean_gap(one: Curve, other: Curve, share: Floats, targets: Floats, bounds: list[str]) -> float | None:
    gaps = []
    for target in targets:
        mine = _at(one, share, float(target), first=True, bounds=bounds)
        theirs = _at(other, share, float(target), last=True, bounds=bounds)
        if mine is None or theirs is None:
            return None
        gaps.append(mine - theirs)
    return float(np.mean(gaps))


def _estimate(log: object, weights: Floats, shown: object) -> Estimate:
    """The value on all pictures, the interval over drawings; a value without an interval where too many drawings say nothing."""
    assert callable(log) and callable(shown)
    whole = log(weights[0])
    if whole is None:
        return Estimate(None, note="outside of the curves")
    found = [v for v in (log(w) for w in weights[1:]) if v is not None]
    lost = len(weights) - 1 - len(found)
    if len(weights) < 2 or lost > MOST_LOST * (len(weights) - 1):
        return Estimate(float(shown(whole)), note=f"no interval: {lost} of {len(weights) - 1} drawings leave the curves")
    low, high = np.quantile(found, (0.025, 0.975))
    note = f"{lost} of {len(weights) - 1} drawings leave the curves" if lost else ""
    return Estimate(float(shown(whole)), float(shown(low)), float(shown(high)), note)


def _flat(one: Curve, target: float) -> str:
    """A sentence where the curve rises by less than FLAT per doubling of bytes around an accuracy."""
    a, b = front(one.accuracy, one.mean_bytes)
    if len(a) < 2 or not a[0] <= target <= a[-1]:
        return ""
    k = min(int(np.searchsorted(a, target, "right")), len(a) - 1)
    slope = (a[k] - a[k - 1]) / (b[k] - b[k - 1]) * np.log(2)
    return f"{one.name} is flat there: {100 * slope:.2f} points per doubling of bytes" if slope < FLAT else ""


def _noted(found: Estimate, *notes: str) -> Estimate:
    return Estimate(found.value, found.low, found.high, "; ".join(n for n in (found.note, *notes) if n))
