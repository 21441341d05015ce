"""From the output maps of a detector of one class to an Answer: threshold, greedy suppression of overlapping boxes, packed cells.

The maps have suppressed non-peaks inside the graph already (a score that is no local maximum is 0), so few candidates are
left and plain numpy is quick. One class word serves all boxes: the maps carry no class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Box
from edgewise.core.decoding import Grid
from edgewise.core.errors import TensorError
from edgewise.data.boxes import overlaps

CANDIDATES = 200  # A frame of 920 cells holds far fewer vehicles; a hostile map must not cost a quadratic search.


def answers(outputs: Mapping[str, NDArray[np.float32]], decoding: Grid, labels: Sequence[str]) -> list[Answer]:
    """One Answer for each row of the batch.

    `score` (batch, 1, height, width), `box` (batch, 4, height, width; x0, y0, x1, y1 in 0..1), `occupied`
    (batch, 1, rows, columns) in 0..1.
    """
    score, box, occupied = outputs["score"], outputs["box"], outputs["occupied"]
    batch = score.shape[0]
    wanted = {
        "score": (batch, 1, *score.shape[2:]),
        "box": (batch, 4, *score.shape[2:]),
        "occupied": (batch, 1, decoding.rows, decoding.columns),
    }
    for name, shape in wanted.items():
        if outputs[name].shape != shape:
            raise TensorError(f"output {name!r} of the detector has the wrong shape", got=outputs[name].shape, allowed=shape)
        if not np.isfinite(outputs[name]).all():
            raise TensorError(f"output {name!r} of the detector holds NaN or infinity", allowed="finite numbers")
    packed = np.packbits(occupied.reshape(batch, -1) >= decoding.cell_threshold, axis=1)
    return [
        Answer(boxes=boxes, rows=decoding.rows, columns=decoding.columns, cells=packed[row].tobytes())
        for row, boxes in enumerate(_boxes(score[:, 0], box, decoding, labels[0]))
    ]


def cells(answer: Answer) -> NDArray[np.bool_]:
    """The occupied cells of an answer as (rows, columns), the inverse of the packing above."""
    count = answer.rows * answer.columns
    bits = np.unpackbits(np.frombuffer(answer.cells, np.uint8), count=count)
    return bits.astype(bool).reshape(answer.rows, answer.columns)


def _boxes(score: NDArray[np.float32], box: NDArray[np.float32], decoding: Grid, label: str) -> Iterator[tuple[Box, ...]]:
    """The boxes of each frame of a batch, strongest first; numpy is asked once for all of them, which is what makes it quick."""
    frame, rows, columns = np.nonzero(score >= decoding.threshold)
    scores = score[frame, rows, columns]
    order = np.lexsort((-scores, frame))
    frame, scores = frame[order], scores[order]
    corners = np.clip(box[frame, :, rows[order], columns[order]], 0.0, 1.0)  # (candidate, 4)
    rounded = np.column_stack([corners, scores]).astype(float).round(4).tolist()
    counts = np.minimum(np.bincount(frame, minlength=len(score)), CANDIDATES)
    begins = np.searchsorted(frame, np.arange(len(score)))
    stacked = np.zeros((len(score), int(counts.max(initial=0)), 4), np.float32)  # (frame, candidate, 4); what is over is a point
    for row, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        stacked[row, :count] = corners[begin : begin + count]
    for begin, hides, solid in zip(begins.tolist(), *_hides(stacked, decoding.overlap), strict=True):
        kept = _survivors(hides, solid)
        yield tuple(Box(x0, y0, x1, y1, value, label) for x0, y0, x1, y1, value in (rounded[begin + i] for i in kept))


def suppress(corners: NDArray[np.float32], overlap: float) -> list[int]:
    """Greedy non-maximum suppression: indices of the boxes kept, strongest first; `corners` come strongest first."""
    return _survivors(*_hides(corners, overlap))


def _hides(corners: NDArray[np.float32], overlap: float) -> tuple[list[Any], list[Any]]:
    """Which boxes (…, candidate, 4) hide which, and which have an area; as lists, for a vehicle count is no work for numpy."""
    solid = (corners[..., 2] > corners[..., 0]) & (corners[..., 3] > corners[..., 1])
    return (overlaps(corners, corners) > overlap).tolist(), solid.tolist()


def _survivors(hides: list[list[bool]], solid: list[bool]) -> list[int]:
    kept: list[int] = []
    for i, row in enumerate(hides):
        if solid[i] and not any(row[j] for j in kept):
            kept.append(i)
    return kept
