"""How good answers are: cell F1, average precision of boxes, and intervals from a bootstrap by block.

F1 pools true and false cells over all frames (a frame without vehicles has no F1 of its own). Frames of one clip or one
rendered scene resemble each other, so the bootstrap draws whole blocks (Künsch 1989), not frames; with few blocks its
intervals are still too narrow, and a reader should look at their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Box
from edgewise.core.placement import Quality
from edgewise.data.boxes import overlaps


def counts(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """True positives, false positives and false negatives of each frame: (frame, rows, columns) twice → (frame, 3)."""
    axes = tuple(range(1, said.ndim))
    return np.stack([(said & true).sum(axes), (said & ~true).sum(axes), (~said & true).sum(axes)], axis=1)


def f1(table: NDArray[np.int64]) -> float:
    """Pooled F1 of a table of counts (frame, 3); 1 where there was nothing to find and nothing was said.

    >>> f1(np.array([[1, 0, 0], [1, 1, 1]]))
    0.6666666666666666
    """
    hit, wrong, missed = table.sum(0)
    return 1.0 if hit + wrong + missed == 0 else float(2 * hit / (2 * hit + wrong + missed))


def cell_quality(said: NDArray[np.bool_], true: NDArray[np.bool_], blocks: Sequence[object], seed: int = 0) -> Quality:
    """Cell F1 over frames with its 95 % interval; `blocks` names the block (scene, stretch of a clip) of each frame."""
    table = counts(said, true)
    low, high = bootstrap(table, blocks, f1, seed=seed)
    return Quality(round(f1(table), 4), round(low, 4), round(high, 4), len(table))


def bootstrap(
    rows: NDArray[np.int64],
    blocks: Sequence[object],
    statistic: Callable[[NDArray[np.int64]], float],
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of `statistic(rows)` when whole blocks are drawn again with replacement."""
    names = sorted(set(blocks), key=str)
    members = [np.flatnonzero([b == name for b in blocks]) for name in names]
    generator = np.random.default_rng(seed)
    values = [
        statistic(rows[np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])])
        for _ in range(draws)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def average_precision(said: Sequence[Sequence[Box]], true: Sequence[NDArray[np.float64]], overlap: float = 0.5) -> float:
    """Area under the precision envelope over recall, all frames ranked together (VOC 2010 rule); AP50 by default.

    `said` holds the boxes of each frame, `true` the corners (n, 4) of each frame. NaN where no box was there to find.
    """
    ranked: list[tuple[float, bool]] = []
    for found, corners in zip(said, true, strict=True):
        order = sorted(found, key=lambda b: -b.score)
        between = overlaps([[b.x0, b.y0, b.x1, b.y1] for b in order], corners)
        free = np.ones(len(corners), bool)
        for i, box in enumerate(order):
            best = int(np.argmax(np.where(free, between[i], -1.0))) if free.any() else -1
            hit = best >= 0 and bool(between[i, best] >= overlap)
            if hit:
                free[best] = False
            ranked.append((box.score, hit))
    total = sum(len(corners) for corners in true)
    if total == 0:
        return float("nan")
    hits = np.array([hit for _, hit in sorted(ranked, key=lambda r: -r[0])], float)
    if not len(hits):
        return 0.0
    found_so_far = np.cumsum(hits)
    precision = found_so_far / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    recall = found_so_far / total
    return float((envelope * np.diff(recall, prepend=0.0)).sum())
