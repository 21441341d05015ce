"""The outputs of a model as they are, and back: for a task that edgewise knows nothing of.

Floats travel as float16, within 2⁻¹¹ of their value; what is too large for it becomes its largest. Integers and bits stay as
they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from edgewise.core.answer import Answer
from edgewise.core.errors import TensorError

LARGEST = 64 << 20  # bytes that the outputs of one sample may unpack to


def answers(outputs: Mapping[str, NDArray[Any]]) -> list[Answer]:
    """One Answer for each row of the batch, which is the first dimension of every output."""
    batches = {name: value.shape[0] if value.ndim else 0 for name, value in outputs.items()}
    if len(set(batches.values())) != 1 or not all(value.ndim for value in outputs.values()):
        raise TensorError("the outputs of a model share no batch", got=batches, allowed="the same first dimension in each")
    packed = {name: _packed(name, value) for name, value in outputs.items()}
    return [
        Answer(raw=zlib.compress(safetensors.numpy.save({n: np.ascontiguousarray(v[row]) for n, v in packed.items()}), 1))
        for row in range(next(iter(batches.values())))
    ]


def outputs(answer: Answer) -> dict[str, NDArray[Any]]:
    """The outputs of one sample by name, without the batch; TensorError where an answer holds none."""
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(answer.raw, LARGEST)
        if not inflate.eof:
            raise TensorError("the outputs in an answer are truncated or too large", allowed=f"{LARGEST} bytes")
        found: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except (zlib.error, SafetensorError, KeyError) as error:
        raise TensorError("the outputs in an answer cannot be read", got=error) from None
    return found


def _packed(name: str, value: NDArray[Any]) -> NDArray[Any]:
    if value.dtype.kind != "f":
        return value
    if not np.isfinite(value).all():
        raise TensorError(f"output {name!r} holds NaN or infinity", allowed="finite numbers")
    largest = float(np.finfo(np.float16).max)
    small: NDArray[np.float16] = np.clip(value, -largest, largest).astype(np.float16)
    return small
