"""From pictures as they come up to what a model's first part takes: stretched to its size, in its layout and dtype.

    uint8   (n, height, width, 3)      the picture's bytes; scaling lies in the graph, as in the bundles of this project
    float32 (n, height, width, 3)      bytes / 255
    float32 (n, 3, height, width)      bytes / 255, channels first

It does not know means and deviations; those belong into the graph of whoever wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.artifact import Picture as Size
from edgewise.core.artifact import TensorSpec
from edgewise.core.errors import ModelError
from edgewise.data.preprocess import fit

Picture = NDArray[np.uint8]  # (height, width, 3), RGB
Prepare = Callable[[Sequence[Picture]], NDArray[Any]]  # pictures → inputs (n, …)


def prepared(spec: TensorSpec, size: Size | None = None) -> Prepare:
    """How pictures become the input `spec`; `size` where its height and width are free. ModelError where it takes no picture."""
    shape = spec.shape
    first = len(shape) == 4 and shape[1] == 3 and shape[3] != 3
    if (
        len(shape) != 4
        or spec.dtype not in ("uint8", "float32")
        or not (first or shape[3] == 3)
        or (first and spec.dtype == "uint8")
    ):
        raise ModelError(
            f"the input {spec.name!r} takes no picture",
            got=f"{spec.dtype} {shape}",
            allowed="uint8 or float32 (n, height, width, 3), float32 (n, 3, height, width)",
        )
    height, width = shape[2:4] if first else shape[1:3]
    if height is not None and width is not None:
        size = Size(width, height)
    if size is None:
        raise ModelError(f"the size of the input {spec.name!r} is not known", got=shape, allowed="a fixed height and width")
    wanted = size

    def prepare(pictures: Sequence[Picture]) -> NDArray[Any]:
        stacked = np.concatenate([fit(picture, wanted) for picture in pictures])
        if spec.dtype == "uint8":
            return stacked
        scaled = stacked.astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)) if first else scaled

    return prepare
