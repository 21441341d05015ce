"""From a detector's maps to boxes with keypoints and masks, several classes: threshold, suppression by class, masks in boxes.

The maps have suppressed non-peaks inside the graph already. A mask is a sum of prototypes by the coefficients of its box (YOLACT,
Bolya et al. 2019), looked at inside the box alone, at side × side places between the prototypes' own (bilinear, as two small
matrices for each box), and cut at 0, which is a probability of one half. Prototypes cover the picture exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Box
from edgewise.core.decoding import Things
from edgewise.core.errors import TensorError
from edgewise.data.boxes import overlaps

CANDIDATES = 200  # of a frame, the strongest; a hostile map must not cost a quadratic search
Array = NDArray[np.float32]


def answers(outputs: Mapping[str, NDArray[Any]], decoding: Things, labels: Sequence[str]) -> list[Answer]:
    """One Answer for each row of the batch.

    `score` (batch, label, rows, columns) in 0..1, `box` (batch, 4, rows, columns; x0 y0 x1 y1 as fractions), with keypoints
    `points` (batch, 2·keypoints, rows, columns; fractions), with masks `coefficients` (batch, k, rows, columns) and `prototypes`
    (batch, k, height, width). TensorError where one is missing, of another shape or not finite.
    """
    _check(outputs, decoding, labels)
    return [Answer(boxes=_boxes(outputs, frame, decoding, labels)) for frame in range(len(outputs["score"]))]


def bits(box: Box, side: int) -> NDArray[np.bool_]:
    """The mask of a box as (side, side), the inverse of the packing below; TensorError where it is of another side."""
    if len(box.mask) != (side * side + 7) // 8:
        raise TensorError("the mask of a box has another size", got=f"{len(box.mask)} bytes", allowed=f"{side} × {side} bits")
    return np.unpackbits(np.frombuffer(box.mask, np.uint8), count=side * side).astype(bool).reshape(side, side)


def _boxes(outputs: Mapping[str, Array], frame: int, decoding: Things, labels: Sequence[str]) -> tuple[Box, ...]:
    """The boxes of one frame, strongest first."""
    score = outputs["score"][frame]
    found = np.nonzero((score >= decoding.threshold) & (score > 0))
    order = np.argsort(-score[found], kind="stable")[:CANDIDATES]
    label, row, column = (axis[order] for axis in found)
    corners = np.clip(outputs["box"][frame][:, row, column].T, 0.0, 1.0)  # (candidate, 4)
    kept = _survivors(corners, label, decoding.overlap)
    label, row, column, corners = label[kept], row[kept], column[kept], corners[kept]
    points = np.zeros((len(kept), 0), np.float32)
    if decoding.keypoints:
        points = outputs["points"][frame][:, row, column].T
    masks = [b""] * len(kept)
    if decoding.mask and len(kept):
        coefficients = outputs["coefficients"][frame][:, row, column].T
        masks = _packed(outputs["prototypes"][frame], coefficients, corners, decoding.mask)
    numbers = np.column_stack([corners, score[label, row, column]]).astype(float).round(4).tolist()
    places = points.astype(float).round(4).tolist()
    return tuple(
        Box(*numbers[i], labels[k], tuple(places[i]), masks[i])  # type: ignore[call-arg]
        for i, k in enumerate(label.tolist())
    )


def _survivors(corners: Array, label: NDArray[np.int64], overlap: float) -> NDArray[np.int64]:
    """Greedy suppression within each class: indices of the boxes kept, strongest first."""
    hides = (overlaps(corners, corners) > overlap) & (label[:, None] == label[None])
    solid = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    kept: list[int] = []
    for i in np.flatnonzero(solid).tolist():
        if not hides[i, kept].any():
            kept.append(i)
    return np.array(kept, np.int64)


def _packed(prototypes: Array, coefficients: Array, corners: Array, side: int) -> list[bytes]:
    """The masks of boxes (n, 4) as packed bits; prototypes (k, height, width), coefficients (n, k)."""
    k, height, width = prototypes.shape
    whole = (coefficients @ prototypes.reshape(k, -1)).reshape(-1, height, width)
    down = _between(corners[:, 1], corners[:, 3], height, side)
    across = _between(corners[:, 0], corners[:, 2], width, side)
    inside = down @ whole @ across.transpose(0, 2, 1) > 0  # (n, side, side)
    return [row.tobytes() for row in np.packbits(inside.reshape(len(corners), -1), axis=1)]


def _between(low: Array, high: Array, count: int, side: int) -> Array:
    """Weights (n, side, count) that look up `side` places from `low` to `high` (n; fractions) between `count` samples."""
    place = low[:, None] + (high - low)[:, None] * ((np.arange(side, dtype=np.float32) + 0.5) / side)
    at = np.clip(place * count - 0.5, 0, count - 1)
    weights: Array = np.maximum(1 - np.abs(at[..., None] - np.arange(count, dtype=np.float32)), 0)
    return weights


def _check(outputs: Mapping[str, NDArray[Any]], decoding: Things, labels: Sequence[str]) -> None:
    """TensorError where the outputs are not those that the decoding reads."""
    needed = ["score", "box"] + ["points"] * (decoding.keypoints > 0)
    needed += ["coefficients", "prototypes"] * (decoding.mask > 0)
    lacking = [name for name in needed if name not in outputs]
    if lacking:
        raise TensorError("a detector lacks outputs that its bundle reads", got=", ".join(outputs), allowed=", ".join(needed))
    score = outputs["score"]
    if score.ndim != 4 or score.shape[1] != len(labels):
        allowed = f"(batch, {len(labels)}, rows, columns), a map for each label"
        raise TensorError("output 'score' of a detector has the wrong shape", got=score.shape, allowed=allowed)
    batch, _, *grid = score.shape
    wanted = {"box": (batch, 4, *grid), "points": (batch, 2 * decoding.keypoints, *grid)}
    if decoding.mask:
        prototypes = outputs["prototypes"]
        if prototypes.ndim != 4 or len(prototypes) != batch or 0 in prototypes.shape[2:]:
            raise TensorError(
                "output 'prototypes' of a detector has the wrong shape", got=prototypes.shape, allowed="(batch, k, height, width)"
            )
        wanted["coefficients"] = (batch, prototypes.shape[1], *grid)
    for name in needed:
        if name in wanted and outputs[name].shape != wanted[name]:
            raise TensorError(f"output {name!r} of a detector has the wrong shape", got=outputs[name].shape, allowed=wanted[name])
        if not np.isfinite(outputs[name]).all():
            raise TensorError(f"output {name!r} of a detector holds NaN or infinity", allowed="finite numbers")
