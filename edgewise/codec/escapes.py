"""Integers outside an alphabet, as bytes: 7 bits a byte, the lowest first, the sign in the lowest bit (LEB128 of zigzag).

They stand beside the coded symbols in the order of the symbols. Any int32 fits; one near the alphabet takes a byte. Vectorised,
because a frame of noise has as many of them as it has symbols.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise.codec import varint
from edgewise.core.errors import TensorError


def write(values: NDArray[np.int32]) -> bytes:
    """Bytes of int32 values (count,).

    >>> read(write(np.array([0, -1, 300], np.int32)), 3).tolist()
    [0, -1, 300]
    """
    return varint.write_many(((values << 1) ^ (values >> 31)).view(np.uint32).astype(np.uint64))


def read(data: bytes | memoryview, count: int) -> NDArray[np.int32]:
    """`count` values again; TensorError where `data` holds fewer, more or larger ones."""
    coded = varint.read_many(data, count)
    if coded is None or (count and int(coded.max()) >> 32):
        raise TensorError("symbols outside the alphabet are damaged", got=f"{len(data)} bytes for {count} of them")
    whole = coded.astype(np.uint32)
    return ((whole >> 1) ^ (0 - (whole & 1))).view(np.int32)
