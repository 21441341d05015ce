"""How good a detector of things is, in its three tasks: average precision of boxes, of masks and of keypoints, with intervals.

Each task has its own likeness of what was said to what is true: IoU of boxes, IoU of masks by pixels, object keypoint
similarity. AP is the mean over likenesses of 0.50 to 0.95 in steps of 0.05 and over classes, as COCO scores it, of the area under
the precision envelope (VOC 2010 rule; COCO reads 101 points of it). `50` is AP at 0.50 alone.

Object keypoint similarity (COCO): the mean over keypoints of exp(−d² / (2 s² k²)), s² the area of the true box. COCO has a k for
each joint of a body, 0.05 to 0.21; all corners of a cuboid here have k = 0.15 (ours). Corners outside the picture are not
scored; nor are things that have none inside. Intervals draw whole scenes again, for their frames resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Box
from edgewise.core.placement import Quality
from edgewise.data.boxes import FRAME, overlaps
from edgewise.data.decoding.things import bits

LEVELS = np.arange(50, 100, 5) / 100
SPREAD = 0.15  # k of object keypoint similarity
TASKS = ("box", "mask", "points")


class Scene(Struct, frozen=True):
    """What is true of one picture: `boxes` (n, 4; fractions), `label` of each, `mask` (rows, columns) says which thing each pixel
    shows, by the `number` (n) of each box, `points` (n, 8, 2; fractions). Without masks or points these stay empty; the
    picture's `size` (px) is there for distances."""

    boxes: NDArray[np.float64]
    label: tuple[str, ...]
    mask: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
    number: NDArray[np.int64] = np.zeros(0, np.int64)
    points: NDArray[np.float64] = np.zeros((0, 0, 2))
    size: tuple[int, int] = FRAME


def scores(answers: Sequence[Answer], truth: Sequence[Scene], side: int = 28) -> dict[str, float]:
    """AP and AP50 of each task that the truth has: `box`, `box50`, `mask`, `mask50`, `points`, `points50`; 0..1."""
    weights = np.ones(len(truth))
    return {name: round(value, 4) for name, value in _all(_ranked(answers, truth, side), weights).items()}


def intervals(
    answers: Sequence[Answer], truth: Sequence[Scene], blocks: Sequence[object], side: int = 28, draws: int = 300, seed: int = 0
) -> dict[str, Quality]:
    """The same with 95 % intervals, whole `blocks` (one name a picture) drawn again."""
    ranked = _ranked(answers, truth, side)
    drawn = [_all(ranked, weights) for weights in resampled(blocks, draws, seed)]
    found = {}
    for name, value in _all(ranked, np.ones(len(truth))).items():
        low, high = np.nanquantile([one[name] for one in drawn], (0.025, 0.975))
        found[name] = Quality(round(value, 4), round(float(low), 4), round(float(high), 4), len(truth))
    return found


def differences(
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
    truth: Sequence[Scene],
    blocks: Sequence[object],
    side: int = 28,
    draws: int = 300,
    seed: int = 0,
) -> dict[str, Quality]:
    """Ours less theirs on the same pictures, with paired 95 % intervals: each drawing of blocks scores both."""
    mine, others = _ranked(ours, truth, side), _ranked(theirs, truth, side)
    drawn = []
    for weights in [np.ones(len(truth)), *resampled(blocks, draws, seed)]:
        a, b = _all(mine, weights), _all(others, weights)
        drawn.append({name: a[name] - b[name] for name in a})
    found = {}
    for name, value in drawn[0].items():
        low, high = np.nanquantile([one[name] for one in drawn[1:]], (0.025, 0.975))
        found[name] = Quality(round(value, 4), round(float(low), 4), round(float(high), 4), len(truth))
    return found


def drawn(
    answers: Sequence[Answer], truth: Sequence[Scene], weights: Sequence[NDArray[np.float64]], side: int = 28
) -> list[dict[str, float]]:
    """The scores, not rounded, once for each of the `weights` (picture), which say how often each picture counts."""
    ranked = _ranked(answers, truth, side)
    return [_all(ranked, one) for one in weights]


def resampled(blocks: Sequence[object], draws: int, seed: int) -> list[NDArray[np.float64]]:
    """How often each picture is there when whole blocks are drawn with replacement: `draws` arrays (picture)."""
    names = sorted(set(blocks), key=str)
    member = np.array([names.index(block) for block in blocks])
    generator = np.random.default_rng(seed)
    counts = (np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(draws))
    return [count[member].astype(float) for count in counts]


def mask_overlaps(said: Sequence[Box], scene: Scene, side: int) -> NDArray[np.float64]:
    """IoU by pixels of each mask said with each true one: (said, true)."""
    rows, columns = scene.mask.shape
    most = int(scene.number.max(initial=0)) + 1
    areas = np.bincount(scene.mask.ravel(), minlength=max(most, 256))[scene.number]
    found = np.zeros((len(said), len(scene.number)))
    for i, box in enumerate(said):
        x, inside_x = _steps(box.x0, box.x1, columns, side)
        y, inside_y = _steps(box.y0, box.y1, rows, side)
        painted = bits(box, side)[y[:, None], x[None]]
        shared = np.bincount(scene.mask[inside_y, inside_x][painted], minlength=256)[scene.number]
        either = painted.sum() + areas - shared
        found[i] = np.divide(shared, either, out=np.zeros(len(areas)), where=either > 0)
    return found


def keypoint_likeness(said: Sequence[Box], scene: Scene) -> NDArray[np.float64]:
    """Object keypoint similarity of each box's points with each true thing's: (said, true)."""
    size = np.array(scene.size, float)
    points = np.array([b.points for b in said], float).reshape(len(said), 1, scene.points.shape[1], 2) * size
    true = scene.points[None] * size
    area = ((scene.boxes[:, 2:] - scene.boxes[:, :2]) * size).prod(1)
    apart = ((points - true) ** 2).sum(-1)  # (said, true, keypoint)
    alike = np.exp(-apart / (2 * np.maximum(area, 1e-9)[None, :, None] * SPREAD**2))
    inside = _inside(scene)
    likeness: NDArray[np.float64] = (alike * inside).sum(-1) / np.maximum(inside.sum(-1), 1)
    return likeness


def matches(likeness: NDArray[np.float64], levels: NDArray[np.float64] = LEVELS) -> NDArray[np.bool_]:
    """Whether each thing said (n, surest first) finds a true one that is free, at each level: (n, level)."""
    hits = np.zeros((likeness.shape[0], len(levels)), bool)
    if not likeness.shape[1]:
        return hits
    for k, least in enumerate(levels):
        free = np.ones(likeness.shape[1], bool)
        for i, row in enumerate(likeness):
            best = int(np.argmax(np.where(free, row, -1.0)))
            if free[best] and row[best] >= least:
                hits[i, k], free[best] = True, False
    return hits


class _Ranked(Struct, frozen=True):
    """All that was said for one task and class, surest first: its picture (n), hits (n, level); true ones of each picture."""

    picture: NDArray[np.int64]
    hits: NDArray[np.bool_]
    true: NDArray[np.int64]


def _ranked(answers: Sequence[Answer], truth: Sequence[Scene], side: int) -> dict[str, list[_Ranked]]:
    if len(answers) != len(truth):
        raise ValueError(f"{len(answers)} answers for {len(truth)} pictures")
    labels = sorted({label for scene in truth for label in scene.label})
    masks = any(scene.mask.size for scene in truth)
    points = any(scene.points.size for scene in truth)
    tasks = [task for task in TASKS if {"box": True, "mask": masks, "points": points}[task]]
    return {task: [_of_class(answers, truth, task, label, side) for label in labels] for task in tasks}


def _of_class(answers: Sequence[Answer], truth: Sequence[Scene], task: str, label: str, side: int) -> _Ranked:
    picture, scores, hits, true = [], [], [], []
    for number, (answer, scene) in enumerate(zip(answers, truth, strict=True)):
        said = sorted((b for b in answer.boxes if b.label == label), key=lambda b: -b.score)
        chosen = np.array([name == label for name in scene.label], bool)
        if task == "points":
            aside = chosen & ~_inside(scene).any(-1)
            likeness = keypoint_likeness(said, scene)
            ignored = matches(likeness * 0 + overlaps(_corners(said), scene.boxes) * aside)[:, 0]
            said, likeness = [b for b, out in zip(said, ignored) if not out], likeness[~ignored]
            chosen = chosen & ~aside
        elif task == "mask":
            likeness = mask_overlaps(said, scene, side)
        else:
            likeness = overlaps(_corners(said), scene.boxes)
        picture += [number] * len(said)
        scores += [b.score for b in said]
        hits.append(matches(likeness[:, chosen]))
        true.append(int(chosen.sum()))
    order = np.argsort(-np.array(scores), kind="stable")
    return _Ranked(np.array(picture, np.int64)[order], np.concatenate(hits)[order], np.array(true))


def _all(ranked: dict[str, list[_Ranked]], weights: NDArray[np.float64]) -> dict[str, float]:
    found: dict[str, float] = {}
    for task, classes in ranked.items():
        curves = np.array([_precision(one, weights) for one in classes])
        mean = np.nanmean(curves, axis=0) if len(curves) and not np.isnan(curves).all() else np.full(len(LEVELS), np.nan)
        found |= {task: float(mean.mean()), f"{task}50": float(mean[0])}
    return found


def _precision(one: _Ranked, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision at each level, pictures counted by their weight; NaN where nothing was there to find."""
    total = float((one.true * weights).sum())
    if total == 0:
        return np.full(len(LEVELS), np.nan)
    weight = weights[one.picture][:, None]
    found = np.cumsum(one.hits * weight, axis=0)  # (n, level)
    precision = found / np.maximum(np.cumsum(weight, axis=0), 1e-12)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    steps = np.diff(found / total, axis=0, prepend=0.0)
    area: NDArray[np.float64] = (envelope * steps).sum(0)
    return area


def _inside(scene: Scene) -> NDArray[np.bool_]:
    """Which true keypoints lie in the picture: (thing, keypoint)."""
    inside: NDArray[np.bool_] = np.all((scene.points >= 0) & (scene.points <= 1), axis=-1)
    return inside


def _corners(boxes: Sequence[Box]) -> list[list[float]]:
    return [[b.x0, b.y0, b.x1, b.y1] for b in boxes]


def _steps(low: float, high: float, count: int, side: int) -> tuple[NDArray[np.int64], slice]:
    """For the pixels of `count` whose middles lie between `low` and `high`: the cell of a mask each shows, and their slice."""
    first, last = int(np.ceil(low * count - 0.5)), int(np.ceil(high * count - 0.5))
    first, last = max(first, 0), min(max(last, first), count)
    place = ((np.arange(first, last) + 0.5) / count - low) / max(high - low, 1e-9)
    return np.clip(place * side, 0, side - 1).astype(np.int64), slice(first, last)
