"""From a map of scores to the class of each cell of a picture, and back from an Answer to the map.

Cells are looked up at their middle, the nearest score: to smooth the scores first costs more than it changes at the sizes that
segmentation nets give (an eighth or quarter of the picture).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.decoding import Regions
from edgewise.core.errors import TensorError

MOST_CLASSES = 256


def answers(outputs: Mapping[str, NDArray[Any]], decoding: Regions, labels: Sequence[str]) -> list[Answer]:
    """One Answer for each row of the output: scores (batch, class, height, width) or numbers of classes (batch, height, width).

    A map of one channel is the logit of class 1 against class 0.
    """
    if decoding.output not in outputs:
        raise TensorError("a model has not the output that its bundle reads", got=", ".join(outputs), allowed=decoding.output)
    found = outputs[decoding.output]
    if found.ndim not in (3, 4) or not found.size:
        raise TensorError(f"output {decoding.output!r} is no map", got=found.shape, allowed="(batch, class, height, width)")
    seen = middles(found, decoding)  # (batch, …, rows, columns)
    if not np.isfinite(seen).all():
        raise TensorError(f"output {decoding.output!r} holds NaN or infinity", allowed="finite numbers")
    if seen.ndim == 4:
        seen = seen[:, 0] > 0 if seen.shape[1] == 1 else seen.argmax(axis=1)
    if seen.min() < 0 or seen.max() >= MOST_CLASSES:
        raise TensorError("a map has classes that no answer holds", got=f"{seen.min()} to {seen.max()}", allowed="0 to 255")
    return [Answer(rows=decoding.rows, columns=decoding.columns, regions=zlib.compress(one.tobytes(), 6)) for one in _bytes(seen)]


def middles(maps: NDArray[Any], decoding: Regions) -> NDArray[Any]:
    """Maps (…, height, width) where the answer looks: at the middle of its cells (…, rows, columns)."""
    height, width = maps.shape[-2:]
    rows = (2 * np.arange(decoding.rows) + 1) * height // (2 * decoding.rows)
    columns = (2 * np.arange(decoding.columns) + 1) * width // (2 * decoding.columns)
    found: NDArray[Any] = maps[..., rows[:, None], columns]
    return found


def classes(answer: Answer) -> NDArray[np.uint8]:
    """The number of the class of each cell (rows, columns), the inverse of the above; TensorError where an answer has none."""
    count = answer.rows * answer.columns
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(answer.regions, count + 1)
    except zlib.error as error:
        raise TensorError("the regions of an answer cannot be inflated", got=error) from None
    if len(data) != count or not inflate.eof or inflate.unused_data:
        raise TensorError("the regions of an answer do not fill its cells", got=f"{len(data)} bytes", allowed=count)
    return np.frombuffer(data, np.uint8).reshape(answer.rows, answer.columns)


def _bytes(maps: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(maps, np.uint8)
