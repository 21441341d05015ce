"""The bytes of a coded sequence: final states as short as they are, words, escapes.

    length of the escapes    LEB128
    lengths                  2 bits for each lane but the first, four a byte, the lowest first: bytes of its high part, less one
    low parts                the lowest b bits of each of those states, in whole bytes, little-endian
    high parts               what is above them, 1 to 4 bytes each
    first state              as many bytes as are left over
    words                    32 bits each, the one written last at the end
    escapes                  `edgewise.codec.escapes`

How many words there are follows from the length of the whole, so that nothing is said twice.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.tables import leb128
from edgewise.core.errors import TensorError

Wide = NDArray[np.uint64]
_QUARTERS = np.array([0, 2, 4, 6], np.uint8)
_FOUR = np.arange(4, dtype=np.uint8)


class Payload(Struct, frozen=True):
    """What bytes hold: states (lanes,), words (count,), both uint64, and the bytes of the escapes."""

    states: Wide
    words: Wide
    escapes: bytes


def join(states: Wide, words: NDArray[np.uint32], escapes: bytes, base: int) -> bytes:
    """Bytes of states in [2^base, 2^(base + 32)), base 24 or 32."""
    low = base // 8
    rows = states.astype("<u8").view(np.uint8).reshape(-1, 8)
    first = int(states[0])
    high = rows[1:, low : low + 4]
    sizes = 4 - (high[:, ::-1] != 0).argmax(axis=1).astype(np.uint8)
    fields = np.zeros(-(-high.shape[0] // 4) * 4, np.uint8)
    fields[: high.shape[0]] = sizes - 1
    lengths = np.bitwise_or.reduce(fields.reshape(-1, 4) << _QUARTERS, axis=1)
    return b"".join(
        (
            leb128(len(escapes)),
            lengths.tobytes(),
            rows[1:, :low].tobytes(),
            high[sizes[:, None] > _FOUR].tobytes(),
            first.to_bytes((first.bit_length() + 7) // 8, "little"),
            words.astype("<u4").tobytes(),
            escapes,
        )
    )


def part(data: bytes | memoryview, lanes: int, base: int, most: int) -> Payload:
    """States, words and escapes of `join` again, `most` words or fewer; TensorError where the lengths do not work out."""
    raw = np.frombuffer(data, np.uint8)
    tail, at = _from_leb128(raw)
    low, others = base // 8, lanes - 1
    rows = np.zeros((lanes, 8), np.uint8)
    fields = raw[at : at + -(-others // 4)]
    at += -(-others // 4)
    end = raw.size - tail
    if at + others * (low + 1) + low + 1 > end:
        raise _wrong(raw.size)
    sizes = (fields[:, None] >> _QUARTERS & 3).reshape(-1)[:others] + 1
    highs = int(sizes.sum())
    rows[1:, :low] = raw[at : at + others * low].reshape(others, low)
    at += others * low
    left = end - at - highs
    first = left if left < low + 5 else (left - low - 1) % 4 + low + 1
    count = (left - first) // 4
    if left < low + 1 or count > most:
        raise _wrong(raw.size)
    rows[1:, low : low + 4][sizes[:, None] > _FOUR] = raw[at : at + highs]
    at += highs
    rows[0, :first] = raw[at : at + first]
    at += first
    words = raw[at : at + 4 * count].view("<u4")
    return Payload(rows.view("<u8").reshape(-1).astype(np.uint64), words.astype(np.uint64), raw[end:].tobytes())


def _from_leb128(raw: NDArray[np.uint8]) -> tuple[int, int]:
    """A length of at most 35 bits, and where it ends."""
    value = 0
    for i, byte in enumerate(raw[:5].tolist()):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, i + 1
    raise _wrong(raw.size)


def _wrong(size: int) -> TensorError:
    return TensorError("coded symbols are truncated, overlong or damaged", got=f"{size} bytes")
