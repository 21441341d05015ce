"""Affine codes of a few bits, or of a few levels a channel, and how they are packed into bytes.

    code = round((x − low_c) / step_c),  step_c = (high_c − low_c) / (2^bits − 1),  clipped to 0 … 2^bits − 1

so that the error inside the range is at most step_c / 2. A channel whose range is a point has step 0 and always gives `low`.

Codes are packed at 1, 2, 4 or 8 bits, the next one that holds them: an entropy coder of bytes takes up the slack, and a code that
straddled two bytes would spoil the statistics that it lives on. Ranges come with the bundle (fitted in training); this file
does not know how.

`Affine` has one width for all channels, `Levels` a number of levels for each of them (`edgewise.core.coding`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.errors import TensorError

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Affine:
    """Ranges of a bottleneck at `bits` (1 to 8) a code, ready to use: `low` and `step` are (channel, 1, 1)."""

    __slots__ = ("bits", "inverse", "levels", "low", "offset", "step")

    def __init__(self, bottleneck: Bottleneck, bits: int) -> None:
        channels = bottleneck.shape[0]
        if not 1 <= bits <= 8:
            raise TensorError("a code has an impossible width", got=f"{bits} bits", allowed="1 to 8")
        low, high = (np.asarray(v, dtype=np.float32).reshape(-1, 1, 1) for v in (bottleneck.low, bottleneck.high))
        with np.errstate(over="ignore", invalid="ignore"):
            span = high - low if low.shape == high.shape else np.array(np.nan, dtype=np.float32)
        if low.shape != (channels, 1, 1) or not np.isfinite(span).all() or (span < 0).any():
            raise TensorError(
                "the ranges of a bottleneck cannot be used",
                got=f"{low.size} low and {high.size} high values for {channels} channels",
                allowed="a finite low ≤ high for each channel",
            )
        self.bits, self.levels, self.low = bits, (1 << bits) - 1, low
        self.step = (span / self.levels).astype(np.float32)
        # Below float32's own resolution there are no steps; a channel that thin is a point.
        flat = self.step < np.maximum(1e-30, 1e-7 * np.maximum(abs(low), abs(high)))
        self.inverse = np.where(flat, 0, 1 / np.where(flat, 1, self.step)).astype(np.float32)
        self.offset = (0.5 - low * self.inverse).astype(np.float32)

    def quantise(self, values: Floats) -> Codes:
        """Codes of finite values (channel, height, width); what lies outside the range is clipped."""
        with np.errstate(over="ignore"):  # what becomes infinite is clipped
            scaled = values * self.inverse
            scaled += self.offset
        np.clip(scaled, 0.0, self.levels + 0.5, out=scaled)
        return scaled.astype(np.uint8)  # truncates: the half that rounds is in the offset

    def dequantise(self, codes: Codes, out: Floats | None = None) -> Floats:
        values = np.multiply(codes, self.step, out=out)
        values += self.low
        return values


class Levels:
    """The quantiser of a coding: code = round((x − low) / step), clipped to 0 … levels − 1; arrays are (channel, position).

    A channel of step 0, or of one that float32 cannot tell from 0 beside its low, has code 0 alone.
    """

    __slots__ = ("inverse", "low", "step", "top")

    def __init__(self, coding: Coding) -> None:
        self.low, self.step = (np.asarray(v, np.float32).reshape(-1, 1) for v in (coding.low, coding.step))
        self.top = np.maximum(np.asarray(coding.levels, np.float32) - 1, 0).reshape(-1, 1)
        flat = self.step < np.maximum(1e-30, 1e-7 * abs(self.low))
        self.inverse = np.where(flat, 0, 1 / np.where(flat, 1, self.step)).astype(np.float32)

    def quantise(self, values: Floats) -> Codes:
        """Codes of finite values; what lies outside the range of a channel is clipped."""
        with np.errstate(over="ignore"):  # what becomes infinite is clipped
            scaled = values - self.low
            scaled *= self.inverse
        scaled += np.float32(0.5)
        np.clip(scaled, 0.0, self.top + np.float32(0.5), out=scaled)
        return scaled.astype(np.uint8)  # truncates: the half that rounds was added

    def dequantise(self, codes: NDArray[np.integer], channels: NDArray[np.intp], out: Floats) -> None:
        """Values of the codes (…, channel, position) of these channels, into `out` of the same shape."""
        np.multiply(codes, self.step[channels], out=out, dtype=np.float32, casting="unsafe")
        out += self.low[channels]


def width(bits: int) -> int:
    """Bits that a code takes when packed: 1, 2, 4 or 8."""
    return 1 << (bits - 1).bit_length()


def packed_size(count: int, bits: int) -> int:
    """Bytes of `count` packed codes."""
    return -(-count * width(bits) // 8)


def pack(codes: Codes, bits: int) -> bytes:
    """Codes, flattened, the first in the highest bits."""
    flat, wide = codes.reshape(-1), width(bits)
    if wide == 8:
        return flat.tobytes()
    if wide == 1:
        return np.packbits(flat).tobytes()
    each = 8 // wide
    if flat.size % each:
        flat = np.concatenate((flat, np.zeros(-flat.size % each, dtype=np.uint8)))
    packed = flat[::each] << (8 - wide)
    for i in range(1, each):
        packed |= flat[i::each] << (8 - wide * (i + 1))
    return packed.tobytes()


def unpack(data: bytes | memoryview, count: int, bits: int) -> Codes:
    """`count` codes again; TensorError for a length or a code that `bits` cannot have."""
    wide = width(bits)
    if len(data) != packed_size(count, bits):
        raise TensorError("packed codes have the wrong length", got=len(data), allowed=packed_size(count, bits))
    packed = np.frombuffer(data, dtype=np.uint8)
    if wide == 8:
        codes = packed
    elif wide == 1:
        codes = np.unpackbits(packed, count=count)
    else:
        each, mask = 8 // wide, (1 << wide) - 1
        codes = np.empty(packed.size * each, dtype=np.uint8)
        for i in range(each):
            codes[i::each] = (packed >> (8 - wide * (i + 1))) & mask
        codes = codes[:count]
    if wide != bits and codes.size and int(codes.max()) >= 1 << bits:
        raise TensorError("a code is larger than its width", got=int(codes.max()), allowed=f"below {1 << bits}")
    return codes
