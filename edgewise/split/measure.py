"""How far a model whose features were coded agrees with itself uncut: one figure a task, on outputs, before anything is decoded.

    classification   the share of samples whose largest output is the same (interval: Wilson)
    segmentation     the share of cells whose class is the same; mIoU of the two beside it
    detection        where the outputs' form is known (`edgewise.split.boxes`): mAP of one against the other, the mean of AP at
                     overlaps of 0.50 … 0.95; the uncut model's boxes above a threshold stand for labels, its weaker ones are
                     ignored
    anything else    the share of output values that moved by less than a tenth of the output's spread

Agreement is not accuracy: a model that is wrong and one that is wrong in the same way agree. Intervals other than Wilson's draw
the samples again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.artifact import Task
from edgewise.core.decoding import Decoding, Grid
from edgewise.core.placement import Quality
from edgewise.data import scoring
from edgewise.data.decoding import grid
from edgewise.split.boxes import Boxed, form_of

Outputs = Mapping[str, NDArray[Any]]
LEAST = {"same top-1": 0.99, "same cells": 0.99, "mAP": 0.98, "same values": 0.99}
TOLERANCE = 0.1
HIDDEN = 0.1  # score with which a box counts that has none
DRAWS = 200
_Z = 1.96


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """`value` of `metric` in 0..1 from `low` to `high` (95 %) over `n` samples; `more` are figures beside it."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    more: dict[str, float] = {}

    @property
    def quality(self) -> Quality:
        return Quality(round(self.value, 4), round(self.low, 4), round(self.high, 4), self.n)


class Measure(Protocol):
    """How outputs of a run are held against those of the uncut model, sample by sample.

    `between` is the figure that is told; `steady` one of the same meaning that scatters less on few samples, to search by;
    `vectors` gives outputs as arrays (sample, value) whose squared differences matter alike.
    """

    metric: str

    def between(self, said: Outputs, whole: Outputs, /) -> Agreement: ...

    def steady(self, said: Outputs, whole: Outputs, /) -> float: ...

    def vectors(self, outputs: Outputs, /) -> list[NDArray[np.float64]]: ...


def measure_for(task: Task, decoding: Decoding, shapes: Mapping[str, tuple[int, ...]], size: tuple[int, int] | None) -> Measure:
    """The measure of a task; `shapes` are those of the outputs without batch, `size` the height and width of the picture."""
    if isinstance(decoding, Grid):
        return Boxes(GridForm(decoding))
    if task == "classification":
        return Classes(next(iter(shapes)))
    if task == "segmentation":
        return Cells(next(iter(shapes)))
    form = form_of(shapes, size) if size is not None and task == "detection" else None
    return Values() if form is None else Boxes(form)


class Classes:
    """The same first class, of the only or first output (batch, class)."""

    metric = "same top-1"

    def __init__(self, output: str) -> None:
        self.output = output

    def between(self, said: Outputs, whole: Outputs) -> Agreement:
        a, b = (x[self.output].reshape(len(x[self.output]), -1).argmax(1) for x in (said, whole))
        return _wilson(self.metric, int((a == b).sum()), len(a))

    def steady(self, said: Outputs, whole: Outputs) -> float:
        """The share expected where any sample's error could meet any sample's lead. Few samples have few small leads, and one of
        nearly nothing would decide alone: the smallest fifth counts as spread evenly from 0 on."""
        a, b = (x[self.output].reshape(len(x[self.output]), -1).astype(np.float64) for x in (said, whole))
        order = np.argsort(b, axis=1)[:, ::-1]
        rows = np.arange(len(b))
        lead = b[rows, order[:, 0]] - b[rows, order[:, 1]]
        moved = a[rows, order[:, 0]] - a[rows, order[:, 1]] - lead
        small = len(lead) // 5
        leads = np.sort(lead)
        leads[:small] = leads[small] * (np.arange(small) + 0.5) / max(small, 1)
        expected = float((np.concatenate([moved, -moved])[:, None] + leads > 0).mean())
        seen = float((a.argmax(1) == order[:, 0]).mean())
        return min(expected, seen + 1.5 / len(b))

    def vectors(self, outputs: Outputs) -> list[NDArray[np.float64]]:
        """Scores without their mean, which no argmax sees."""
        values = outputs[self.output].reshape(len(outputs[self.output]), -1).astype(np.float64)
        return [values - values.mean(1, keepdims=True)]


class Cells:
    """The same class in a cell, of an output (batch, class, rows, columns)."""

    metric = "same cells"

    def __init__(self, output: str) -> None:
        self.output = output

    def between(self, said: Outputs, whole: Outputs) -> Agreement:
        a, b = (x[self.output].argmax(1).reshape(len(x[self.output]), -1) for x in (said, whole))
        same = (a == b).mean(1)
        low, high = _drawn(same)
        ious = []
        for c in range(whole[self.output].shape[1]):
            either = int(((a == c) | (b == c)).sum())
            if either:
                ious.append(int(((a == c) & (b == c)).sum()) / either)
        return Agreement(self.metric, float(same.mean()), low, high, len(a), {"mIoU": round(float(np.mean(ious)), 6)})

    def steady(self, said: Outputs, whole: Outputs) -> float:
        return self.between(said, whole).value

    def vectors(self, outputs: Outputs) -> list[NDArray[np.float64]]:
        return _flat(outputs)


class Values:
    """Output values that moved by less than a tenth of the spread of their output."""

    metric = "same values"

    def between(self, said: Outputs, whole: Outputs) -> Agreement:
        found = []
        for name, b in whole.items():
            other = b.astype(np.float64)
            moved = np.abs(said[name].astype(np.float64) - other).reshape(len(b), -1)
            found.append((moved <= TOLERANCE * max(float(other.std()), 1e-12)).mean(1))
        each = np.mean(found, axis=0)
        low, high = _drawn(each)
        return Agreement(self.metric, float(each.mean()), low, high, len(each))

    def steady(self, said: Outputs, whole: Outputs) -> float:
        return self.between(said, whole).value

    def vectors(self, outputs: Outputs) -> list[NDArray[np.float64]]:
        return _flat(outputs)


class Boxes:
    """mAP of the boxes of one against those of the other; `coarse` counts an overlap of 0.50 alone."""

    def __init__(self, form: Boxed, coarse: bool = False) -> None:
        self.form, self._coarse = form, coarse
        self.metric = "AP50" if coarse else "mAP"

    def between(self, said: Outputs, whole: Outputs) -> Agreement:
        ours, theirs = self.form.answers(said), self.form.answers(whole)
        sure = self.form.threshold
        truths = [
            scoring.Truth(tuple(b for b in a.boxes if b.score >= sure), tuple(b for b in a.boxes if b.score < sure))
            for a in theirs
        ]
        if not any(t.boxes for t in truths):
            quiet = [float(not any(b.score >= sure for b in a.boxes)) for a in ours]
            return _wilson("also nothing", int(sum(quiet)), len(quiet))
        found = scoring.of_boxes(ours, truths, list(range(len(ours))))
        if self._coarse:
            return Agreement(self.metric, found.value, found.low, found.high, found.n, {"mAP": found.more["AP"]})
        value = found.more["AP"]
        # the interval is that of AP50, moved to the mean over overlaps
        low, high = (min(1.0, max(0.0, v + value - found.value)) for v in (found.low, found.high))
        return Agreement(self.metric, value, low, high, found.n, {"AP50": round(found.value, 6)})

    def steady(self, said: Outputs, whole: Outputs) -> float:
        return self.between(said, whole).value

    def vectors(self, outputs: Outputs) -> list[NDArray[np.float64]]:
        """Scores, and corners as far as their scores count: a box that nobody would see may be anywhere."""
        corners, scores = self.form.rows(outputs)
        seen = corners * (scores.max(-1, keepdims=True) + HIDDEN)
        return [x.reshape(len(x), -1) for x in (scores, seen)]


class GridForm:
    """Outputs `score`, `box` and `occupied` of a grid detector."""

    def __init__(self, decoding: Grid) -> None:
        from msgspec.structs import replace

        self.threshold = decoding.threshold
        self._decoding = replace(decoding, threshold=decoding.threshold / 2)

    def rows(self, outputs: Outputs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        score, box = (outputs[n].astype(np.float64) for n in ("score", "box"))
        return box.reshape(*box.shape[:2], -1).transpose(0, 2, 1), score.reshape(len(score), -1, 1)

    def answers(self, outputs: Outputs) -> list[Answer]:
        return grid.answers(outputs, self._decoding, ("thing",))


def _flat(outputs: Outputs) -> list[NDArray[np.float64]]:
    return [v.reshape(len(v), -1).astype(np.float64) for v in outputs.values()]


def _wilson(metric: str, same: int, n: int) -> Agreement:
    """A share with Wilson's interval."""
    p, z2 = same / n, _Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * ((p * (1 - p) + z2 / (4 * n)) / n) ** 0.5 / (1 + z2 / n)
    return Agreement(metric, p, max(0.0, middle - half), min(1.0, middle + half), n)


def _drawn(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a mean when samples are drawn again."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
