"""The bytes of a coded sequence: final states as short as they are, words, escapes.

    length of the escapes    LEB128
    low parts                the lowest b bits of every state but the first, whole bytes, little-endian
    high parts               what is above: for each 5 bits, where its highest bit stands; then for each the bits below that one
    first state              as many bytes as are left over
    words                    32 bits each, the one written last at the end
    escapes                  `edgewise.codec.escapes`

Bits fill bytes from the lowest. How many words there are follows from the length of the whole, so that nothing is said twice.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec import varint
from edgewise.core.errors import TensorError

Wide = NDArray[np.uint64]
_POWERS = np.uint64(1) << np.arange(32, dtype=np.uint64)
_FIVE, _BITS = np.arange(5, dtype=np.uint8), np.arange(32, dtype=np.uint8)


class Payload(Struct, frozen=True):
    """What bytes hold: states (lanes,), words (count,), both uint64, and the bytes of the escapes."""

    states: Wide
    words: Wide
    escapes: bytes


def join(states: Wide, words: NDArray[np.uint32], escapes: bytes, base: int) -> bytes:
    """Bytes of states in [2^base, 2^(base + 32)), base 24 or 32."""
    low, first = base // 8, int(states[0])
    rows = states[1:].astype("<u8").view(np.uint8).reshape(-1, 8)
    tops = np.searchsorted(_POWERS, states[1:] >> np.uint64(base), side="right").astype(np.uint8) - 1
    high = np.unpackbits(rows[:, low : low + 4], axis=1, bitorder="little")
    bits = np.concatenate(((tops[:, None] >> _FIVE & 1).reshape(-1), high[tops[:, None] > _BITS]))
    return b"".join(
        (
            varint.write(len(escapes)),
            rows[:, :low].tobytes(),
            np.packbits(bits, bitorder="little").tobytes(),
            first.to_bytes((first.bit_length() + 7) // 8, "little"),
            words.astype("<u4").tobytes(),
            escapes,
        )
    )


def part(data: bytes | memoryview, lanes: int, base: int, most: int) -> Payload:
    """States, words and escapes of `join` again, `most` words or fewer; TensorError where the lengths do not work out."""
    raw = np.frombuffer(data, np.uint8)
    escaped = varint.read(data)
    if escaped is None:
        raise _wrong(raw.size)
    tail, at = escaped
    low, others, end = base // 8, lanes - 1, raw.size - tail
    fields = raw[at + others * low :][: -(-5 * others // 8)]
    if fields.size * 8 < 5 * others:
        raise _wrong(raw.size)
    tops = (np.unpackbits(fields, bitorder="little")[: 5 * others].reshape(-1, 5) << _FIVE).sum(axis=1, dtype=np.uint8)
    size = -(-(5 * others + int(tops.sum())) // 8)
    left = end - at - others * low - size
    first = left if left < low + 5 else (left - low - 1) % 4 + low + 1
    count = (left - first) // 4
    if left < low + 1 or count > most:
        raise _wrong(raw.size)
    rows = np.zeros((lanes, 8), np.uint8)
    rows[1:, :low] = raw[at : at + others * low].reshape(others, low)
    at += others * low
    high = np.zeros((others, 32), np.uint8)
    below = tops[:, None] > _BITS
    high[below] = np.unpackbits(raw[at : at + size], bitorder="little")[5 * others :][: np.count_nonzero(below)]
    high[np.arange(others), tops] = 1
    rows[1:, low : low + 4] = np.packbits(high, axis=1, bitorder="little")
    at += size
    rows[0, :first] = raw[at : at + first]
    at += first
    words = raw[at : at + 4 * count].view("<u4")
    return Payload(rows.view("<u8").reshape(-1).astype(np.uint64), words.astype(np.uint64), raw[end:].tobytes())


def _wrong(size: int) -> TensorError:
    return TensorError("coded symbols are truncated, overlong or damaged", got=f"{size} bytes")
