"""Integers outside an alphabet, as bytes: 7 bits a byte, the lowest first, the sign in the lowest bit (LEB128 of zigzag).

They stand beside the coded symbols in the order of the symbols. Any int32 fits; one near the alphabet takes a byte. Vectorised,
because a frame of noise has as many of them as it has symbols.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import TensorError

_SHIFTS = np.arange(0, 35, 7, dtype=np.uint64)


def write(values: NDArray[np.int32]) -> bytes:
    """Bytes of int32 values (count,).

    >>> read(write(np.array([0, -1, 300], np.int32)), 3).tolist()
    [0, -1, 300]
    """
    coded = ((values << 1) ^ (values >> 31)).view(np.uint32).astype(np.uint64)
    groups = coded[:, None] >> _SHIFTS  # (count, 5)
    more = groups > 127
    there = np.concatenate((np.ones_like(more[:, :1]), more[:, :-1]), axis=1)
    return ((groups & np.uint64(127)) | (more.astype(np.uint64) << np.uint64(7))).astype(np.uint8)[there].tobytes()


def read(data: bytes | memoryview, count: int) -> NDArray[np.int32]:
    """`count` values again; TensorError where `data` holds fewer, more or larger ones."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if ends.size != count or (int(ends[-1]) + 1 if count else 0) != raw.size:
        raise _wrong(raw.size, count)
    if not count:
        return np.zeros(0, np.int32)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > _SHIFTS.size:
        raise _wrong(raw.size, count)
    place = np.arange(raw.size) - np.repeat(starts, lengths)
    coded = np.add.reduceat((raw & 127).astype(np.uint64) << _SHIFTS[place], starts)
    if int(coded.max()) >> 32:
        raise _wrong(raw.size, count)
    whole = coded.astype(np.uint32)
    return ((whole >> 1) ^ (0 - (whole & 1))).view(np.int32)


def _wrong(size: int, count: int) -> TensorError:
    return TensorError("symbols outside the alphabet are damaged", got=f"{size} bytes for {count} of them")
