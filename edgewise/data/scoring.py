"""How good Answers are: against labels, or against the answers of another way to ask the same model, with an interval.

    classes   top-1 (and top-5): the share of pictures whose label comes first
    boxes     AP50, the mean over the classes that are there (and AP, over overlaps of 0.50 to 0.95); the area under the precision
              envelope over recall (VOC 2010). What lies in an ignored region is neither right nor wrong
    regions   mIoU: intersection over union of each class, pooled over the pictures, the mean over the classes that are there
    cells     the share of cells whose class is the same (against another model alone; mIoU beside it)
    raw       the share of samples whose largest output is the same; of outputs that are no vectors the share of values that moved
              by less than a tenth of their spread

Against another model its boxes above a threshold, its first class, its regions stand for the labels: then the figure is
agreement, whatever the truth. The interval (95 %) draws blocks again: pictures, or stretches of footage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Box
from edgewise.core.errors import InputError
from edgewise.data.boxes import overlaps
from edgewise.data.decoding import raw, regions

OVERLAPS = tuple(0.5 + 0.05 * i for i in range(10))
DRAWS = 300
TOLERANCE = 0.1  # of an output's spread
NOWHERE = 255  # a mask's "not to be scored"
Statistic = Callable[[Sequence[int]], float]


class Scored(Struct, frozen=True):
    """`value` of `metric` from `low` to `high` over `n` samples; `more` are further figures, such as AP beside AP50."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    more: dict[str, float] = {}


class Truth(Struct, frozen=True):
    """What is true of one sample: boxes and regions not to score, a class, or the class of each pixel (height, width)."""

    boxes: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()
    label: str = ""
    mask: NDArray[np.uint8] | None = None


def of_classes(said: Sequence[Answer], true: Sequence[Truth], blocks: Sequence[int], seed: int = 0) -> Scored:
    """Top-1 and top-5 of answers that have classes."""
    ranks = np.array([next((i for i, c in enumerate(a.classes) if c.label == t.label), 99) for a, t in zip(said, true)])
    return _scored(
        "top-1", lambda rows: float((ranks[list(rows)] == 0).mean()), blocks, seed, {"top-5": float((ranks < 5).mean())}
    )


def of_boxes(
    said: Sequence[Answer], true: Sequence[Truth], blocks: Sequence[int], seed: int = 0, one_class: bool = False
) -> Scored:
    """AP50 and AP of answers that have boxes; `one_class` lets every label stand for every other."""
    tables = [_matched(a.boxes, t, one_class) for a, t in zip(said, true, strict=True)]
    if not any(sum(table.true.values()) for table in tables):
        raise InputError("nothing can be scored", got=f"no box in the labels of {len(tables)} pictures", allowed="one or more")
    pooled = _Curves(tables)
    several = [pooled.mean_precision(range(len(tables)), k) for k in range(len(OVERLAPS))]
    return _scored("AP50", lambda rows: pooled.mean_precision(rows, 0), blocks, seed, {"AP": float(np.mean(several))})


def of_regions(said: Sequence[Answer], true: Sequence[Truth], blocks: Sequence[int], seed: int = 0) -> Scored:
    """mIoU of answers that have regions against masks, looked up at the middle of each cell."""
    both = [_confusion(regions.classes(a), _cells(t.mask, a)) for a, t in zip(said, true, strict=True)]
    tables: NDArray[np.int64] = np.stack(both)  # picture, (shared, either), class

    def mean(rows: Sequence[int]) -> float:
        shared, either = tables[list(rows)].sum(0)
        return float((shared[either > 0] / either[either > 0]).mean()) if (either > 0).any() else 0.0

    return _scored("mIoU", mean, blocks, seed)


def agreement(
    said: Sequence[Answer], other: Sequence[Answer], blocks: Sequence[int], threshold: float = 0.5, seed: int = 0
) -> Scored:
    """How far answers agree with those of the uncut model, which stand for the labels; boxes of it count from `threshold` on."""
    first = next((a for a in other if a.classes or a.regions or a.raw), None)
    if first is not None and first.classes:
        truths = [Truth(label=a.classes[0].label) for a in other]
        same = of_classes(said, truths, blocks, seed)
        return Scored("same top-1", same.value, same.low, same.high, same.n)
    if first is not None and first.regions:
        both = [(regions.classes(a), regions.classes(b)) for a, b in zip(said, other, strict=True)]
        same_cells = np.array([float((a == b).mean()) for a, b in both])
        pooled = of_regions(said, [Truth(mask=b) for _, b in both], blocks, seed).value
        return _scored("same cells", lambda rows: float(same_cells[list(rows)].mean()), blocks, seed, {"mIoU": pooled})
    if first is not None:
        alike = _alike([raw.outputs(a) for a in said], [raw.outputs(a) for a in other])
        return _scored("same outputs", lambda rows: float(alike[list(rows)].mean()), blocks, seed)
    boxed = [
        Truth(tuple(b for b in a.boxes if b.score >= threshold), tuple(b for b in a.boxes if b.score < threshold)) for a in other
    ]
    if not any(t.boxes for t in boxed):
        quiet = np.array([float(not any(b.score >= threshold for b in a.boxes)) for a in said])
        return _scored("also nothing", lambda rows: float(quiet[list(rows)].mean()), blocks, seed)
    return of_boxes(said, boxed, blocks, seed)


def _scored(metric: str, statistic: Statistic, blocks: Sequence[int], seed: int, more: dict[str, float] | None = None) -> Scored:
    """The statistic over all, with its interval when whole blocks are drawn again."""
    names = np.unique(np.asarray(blocks))
    members = [np.flatnonzero(np.asarray(blocks) == n) for n in names]
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        drawn.append(statistic(rows.tolist()))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    value = statistic(range(len(blocks)))
    return Scored(metric, value, float(low), float(high), len(blocks), {k: round(v, 6) for k, v in (more or {}).items()})


class _Matched(Struct):
    """One picture: for each label its boxes' scores and whether they hit, at every overlap (box, overlap); and how many are
    true.
    """

    scores: dict[str, NDArray[np.float64]]
    hits: dict[str, NDArray[np.bool_]]
    true: dict[str, int]


def _matched(boxes: Sequence[Box], truth: Truth, one_class: bool) -> _Matched:
    """Greedy, the surest box first; each true box is hit once."""
    name = (lambda b: "") if one_class else (lambda b: b.label)
    found = _Matched({}, {}, {})
    for label in {name(b) for b in (*boxes, *truth.boxes)}:
        ours = sorted((b for b in boxes if name(b) == label), key=lambda b: -b.score)
        theirs = [b for b in truth.boxes if name(b) == label]
        between = overlaps(_corners(ours), _corners(theirs))
        apart = [b for b in truth.ignored if name(b) == label]
        aside = overlaps(_corners(ours), _corners(apart)).max(1, initial=0.0) >= 0.5 if ours else np.zeros(0, bool)
        hits = np.zeros((len(ours), len(OVERLAPS)), bool)
        for k, least in enumerate(OVERLAPS):
            free = np.ones(len(theirs), bool)
            for i in range(len(ours)):
                best = int(np.argmax(np.where(free, between[i], -1.0))) if free.any() else -1
                if best >= 0 and between[i, best] >= least:
                    hits[i, k], free[best] = True, False
        kept = hits[:, 0] | ~aside
        found.scores[label] = np.array([b.score for b in ours])[kept] if ours else np.zeros(0)
        found.hits[label], found.true[label] = hits[kept], len(theirs)
    return found


class _Curves:
    """The boxes of all pictures by label, each with its picture, surest first: a drawing of pictures is a drawing of weights."""

    def __init__(self, tables: Sequence[_Matched]) -> None:
        self.pictures = len(tables)
        labels = sorted({label for t in tables for label, n in t.true.items() if n})
        self.rows: list[tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]] = []
        for label in labels:
            scores = [t.scores.get(label, np.zeros(0)) for t in tables]
            order = np.argsort(-np.concatenate(scores), kind="stable")
            of = np.repeat(np.arange(len(tables)), [len(s) for s in scores])[order]
            hits = np.concatenate([t.hits.get(label, np.zeros((0, len(OVERLAPS)), bool)) for t in tables])[order]
            self.rows.append((of, hits, np.array([t.true.get(label, 0) for t in tables])))

    def mean_precision(self, drawn: Sequence[int], overlap: int) -> float:
        """The mean over labels that are true somewhere in the drawn pictures."""
        times = np.bincount(np.asarray(drawn), minlength=self.pictures)
        found = []
        for of, hits, true in self.rows:
            total = int(true @ times)
            if not total:
                continue
            weight = times[of]
            right = np.cumsum(weight * hits[:, overlap])
            said = np.cumsum(weight)
            precision = np.divide(right, said, out=np.zeros(len(said)), where=said > 0)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            found.append(float((envelope * np.diff(right / total, prepend=0.0)).sum()) if len(of) else 0.0)
        return float(np.mean(found)) if found else float("nan")


def _corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    return np.array([[b.x0, b.y0, b.x1, b.y1] for b in boxes], float).reshape(-1, 4)


def _cells(mask: NDArray[np.uint8] | None, answer: Answer) -> NDArray[np.uint8]:
    """The mask at the middle of each of the answer's cells."""
    if mask is None:
        raise InputError("a picture has no mask to score regions by", allowed="a mask for each picture")
    height, width = mask.shape
    rows = (2 * np.arange(answer.rows) + 1) * height // (2 * answer.rows)
    columns = (2 * np.arange(answer.columns) + 1) * width // (2 * answer.columns)
    cells: NDArray[np.uint8] = mask[rows[:, None], columns]
    return cells


def _confusion(said: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Cells in which both and cells in which either say a class: (2, 256)."""
    scored = true != NOWHERE
    a, b = said[scored], true[scored]
    shared = np.bincount(a[a == b], minlength=256)
    either = np.bincount(a, minlength=256) + np.bincount(b, minlength=256) - shared
    return np.stack([shared, either])


def _alike(said: Sequence[dict[str, NDArray[Any]]], other: Sequence[dict[str, NDArray[Any]]]) -> NDArray[np.float64]:
    """How much of each sample's outputs is the same, the mean over outputs: see `raw` above."""
    found = []
    for name in other[0]:
        ours, theirs = (np.stack([outputs[name] for outputs in those]).astype(np.float64) for those in (said, other))
        if theirs[0].size == theirs.shape[-1]:
            flat = (x.reshape(len(x), -1).argmax(1) for x in (ours, theirs))
            found.append(np.equal(*flat).astype(np.float64))
        else:
            moved = np.abs(ours - theirs).reshape(len(theirs), -1)
            found.append((moved <= TOLERANCE * max(float(theirs.std()), 1e-12)).mean(1))
    return np.asarray(np.mean(found, axis=0))
