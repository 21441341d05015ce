"""Whole numbers of any size in as many bytes as they need: 7 bits a byte, the lowest first, the highest bit for more (LEB128).

One at a time for lengths, many together for the escapes of a frame of noise. What a reader cannot read is None: what that means
is said by who asked. It does not know what the numbers count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST = 5  # bytes of a number below 2^35
_SHIFTS = np.arange(0, 7 * LONGEST, 7, dtype=np.uint64)


def write(value: int) -> bytes:
    """The shortest bytes of a number of 0 or more.

    >>> write(300).hex(), read(write(300))
    ('ac02', (300, 2))
    """
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def read(data: bytes | memoryview, at: int = 0, longest: int = LONGEST) -> tuple[int, int] | None:
    """The number that begins at `at` and where it ends; None where no byte of `longest` ends it."""
    value, shift = 0, 0
    for byte in data[at : at + longest]:
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
    return None


def write_many(values: NDArray[np.uint64]) -> bytes:
    """The bytes of numbers (count,) below 2^35, one after another.

    >>> read_many(write_many(np.array([0, 127, 300], np.uint64)), 3).tolist()
    [0, 127, 300]
    """
    groups = values[:, None] >> _SHIFTS  # (count, LONGEST)
    more = groups > 127
    there = np.concatenate((np.ones_like(more[:, :1]), more[:, :-1]), axis=1)
    return ((groups & np.uint64(127)) | (more.astype(np.uint64) << np.uint64(7))).astype(np.uint8)[there].tobytes()


def read_many(data: bytes | memoryview, count: int) -> NDArray[np.uint64] | None:
    """`count` numbers (count,) again; None where `data` holds fewer or more of them, or one longer than LONGEST."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if ends.size != count or (int(ends[-1]) + 1 if count else 0) != raw.size:
        return None
    if not count:
        return np.zeros(0, np.uint64)
    starts = np.concatenate((np.zeros(1, np.intp), ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > LONGEST:
        return None
    place = np.arange(raw.size) - np.repeat(starts, lengths)
    values: NDArray[np.uint64] = np.add.reduceat((raw & 127).astype(np.uint64) << _SHIFTS[place], starts)
    return values
