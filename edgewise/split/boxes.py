"""The raw outputs of detectors as boxes, where their form can be told from their shapes.

    maps      (5 + classes, height, width) each: offsets of the centre in its cell, logarithms of the size in strides, object,
    classes rows      one (rows, 5 + classes) with as many rows as strides 8, 16, 32 have cells: the same, already through a
    sigmoid (YOLOX) columns   one (4 + classes, columns), likewise: centre and size in px of the input, scores of classes (YOLOv8)
    blended   one (5 + classes, height, width): object, box by tanh and sigmoid, classes in 0..1 (FastestDet)

It is a guess, made only to hold one run of a model against another: both are read in the same way, so that a wrong guess about a
unit is wrong for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Box
from edgewise.data.boxes import overlaps

Floats = NDArray[np.float64]
STRIDES = (8, 16, 32)
THRESHOLD, OVERLAP, MOST = 0.3, 0.6, 100


class Boxed(Protocol):
    """`rows` gives corners (batch, row, 4; fractions) and scores (batch, row, class) of everything that could be a box.

    `answers` gives the boxes of each sample, those below `threshold` too, down to half of it.
    """

    threshold: float

    def rows(self, outputs: Mapping[str, NDArray[Any]], /) -> tuple[Floats, Floats]: ...

    def answers(self, outputs: Mapping[str, NDArray[Any]], /) -> list[Answer]: ...


class Form:
    """A form whose boxes are its rows, suppressed greedily."""

    threshold = THRESHOLD

    def rows(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        raise NotImplementedError

    def answers(self, outputs: Mapping[str, NDArray[Any]]) -> list[Answer]:
        return _found(*self.rows(outputs), self.threshold)


def form_of(shapes: Mapping[str, tuple[int, ...]], size: tuple[int, int]) -> Boxed | None:
    """The form of outputs with these `shapes` (without batch) for pictures of `size` (height, width); None where it is
    unknown.
    """
    cells = sum((-(-size[0] // s)) * (-(-size[1] // s)) for s in STRIDES)
    if len(shapes) == 1:
        (name, shape), *_ = shapes.items()
        if len(shape) == 2 and shape[0] == cells and shape[1] > 5:
            return Rows(name, size)
        if len(shape) == 2 and shape[1] == cells and shape[0] > 4:
            return Columns(name, size)
        if len(shape) == 3 and shape[0] > 5:
            return Blended(name)
    if len(shapes) > 1 and all(len(s) == 3 and s[0] > 5 for s in shapes.values()) and len({s[0] for s in shapes.values()}) == 1:
        return Maps(tuple(shapes), size)
    return None


class Maps(Form):
    """Several maps of logits, one a stride."""

    def __init__(self, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self._names, self._size = names, size

    def rows(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        parts = []
        for name in self._names:
            raw = outputs[name].astype(np.float64)
            batch, values, height, width = raw.shape
            rows = raw.reshape(batch, values, -1).transpose(0, 2, 1)
            scores = _sigmoid(rows[..., 4:5]) * _sigmoid(rows[..., 5:])
            parts.append((_cells(rows[..., :4], height, width, self._size[0] / height, self._size), scores))
        return np.concatenate([p[0] for p in parts], 1), np.concatenate([p[1] for p in parts], 1)


class Rows(Form):
    """One table of cells of three strides."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self._name, self._size = name, size

    def rows(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        rows = outputs[self._name].astype(np.float64)
        parts, begin = [], 0
        for stride in STRIDES:
            height, width = -(-self._size[0] // stride), -(-self._size[1] // stride)
            parts.append(_cells(rows[:, begin : begin + height * width, :4], height, width, stride, self._size))
            begin += height * width
        return np.concatenate(parts, 1), rows[..., 4:5] * rows[..., 5:]


class Columns(Form):
    """One table of decoded boxes, a column each."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self._name, self._size = name, size

    def rows(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        rows = outputs[self._name].astype(np.float64).transpose(0, 2, 1)
        centre, half = rows[..., :2], rows[..., 2:4] / 2
        corners = np.concatenate([centre - half, centre + half], -1) / np.array([self._size[1], self._size[0]] * 2)
        return corners, rows[..., 4:]


class Blended(Form):
    """FastestDet's map; its scores are object^0.6 · class^0.4."""

    def __init__(self, name: str) -> None:
        self._name = name

    def rows(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        raw = outputs[self._name].astype(np.float64)
        batch, values, height, width = raw.shape
        rows = raw.reshape(batch, values, -1).transpose(0, 2, 1)
        y, x = np.divmod(np.arange(height * width), width)
        centre = np.stack([(x + np.tanh(rows[..., 1])) / width, (y + np.tanh(rows[..., 2])) / height], -1)
        half = _sigmoid(rows[..., 3:5]) / 2
        scores = np.clip(rows[..., :1], 0, 1) ** 0.6 * np.clip(rows[..., 5:], 0, 1) ** 0.4
        return np.concatenate([centre - half, centre + half], -1), scores


def _cells(raw: Floats, height: int, width: int, stride: float, size: tuple[int, int]) -> Floats:
    """Corners (batch, cell, 4) in fractions, from offsets in cells and logarithms of sizes in strides."""
    y, x = np.divmod(np.arange(height * width), width)
    centre = (raw[..., :2] + np.stack([x, y], -1)) * stride
    half = np.exp(np.clip(raw[..., 2:], -8, 8)) * stride / 2
    corners: Floats = np.concatenate([centre - half, centre + half], -1) / np.array([size[1], size[0]] * 2)
    return corners


def _found(corners: Floats, scores: Floats, threshold: float) -> list[Answer]:
    """Answers from corners (batch, row, 4) and scores (batch, row, class): the best class of a row, greedy suppression in it."""
    best, label = scores.max(-1), scores.argmax(-1)
    answers = []
    for row in range(len(corners)):
        some = np.flatnonzero(best[row] >= threshold / 2)
        some = some[np.argsort(-best[row][some], kind="stable")][: 4 * MOST]
        boxes = np.clip(corners[row][some], 0.0, 1.0)
        between = overlaps(boxes, boxes)
        kept: list[int] = []
        for i in range(len(some)):
            solid = boxes[i, 2] > boxes[i, 0] and boxes[i, 3] > boxes[i, 1]
            if solid and not any(between[i, j] > OVERLAP and label[row][some[i]] == label[row][some[j]] for j in kept):
                kept.append(i)
        answers.append(Answer(tuple(_box(boxes[i], best[row][some[i]], label[row][some[i]]) for i in kept[:MOST])))
    return answers


def _box(corners: Floats, score: float, label: int) -> Box:
    x0, y0, x1, y1 = (float(v) for v in corners)
    return Box(x0, y0, x1, y1, float(score), str(label))


def _sigmoid(x: Floats) -> Floats:
    values: Floats = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return values
