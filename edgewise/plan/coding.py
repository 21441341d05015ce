"""What it takes to code a picture or a tensor for the link, before anyone has run it: bytes of a JPEG, seconds of a coder.

Bytes of a JPEG of quality q and n pixels:  600 + a(q) · n^0.87

fitted to 60 openly licensed COCO photographs at 128² to 640×360 (the median picture; within 6 % at these sizes; of single
pictures the 95th percentile is 1.6 times as large). Seconds are per pixel or value, measured once with this package's own codecs
on one core of an x86 server, and scaled by how much slower the device runs a model. Both are modelled: measure your own pictures
before you rely on them. A tensor is counted raw, float32 or one byte a value: what an entropy coder saves depends on training.
"""

from __future__ import annotations

import math

JPEG_LEVELS = (30, 50, 75, 90)
_HEADER, _POWER = 600.0, 0.87
_DENSITY = {30: 0.393, 50: 0.533, 75: 0.797, 90: 1.36}  # a(q), bytes
SPREAD = 1.6  # 95th percentile of bytes over the median
ENCODE, DECODE = 2.7e-9, 4.1e-9  # s a pixel of JPEG
FIT = 1.2e-9  # s a pixel of the camera's picture, to scale it down for a model
QUANTISE, RESTORE = 6.5e-9, 3.5e-9  # s a value of an affine code of one byte, in its container
RANS_FRAME = (3.6e-4, 4.8e-4)  # s of a frame of the entropy coder, to bytes and back, whatever is in it
RANS_SYMBOL = (1.1e-8, 2.0e-8)  # s a symbol beyond that (2,523 to 401,408 symbols, 16 and 256 levels; within a fifth)
UNSURE = 2.0  # the upper bound of a coder's time over its estimate


def jpeg_bytes(width: int, height: int, quality: int) -> float:
    """Bytes of the median photograph as a JPEG; qualities between the fitted ones are interpolated.

    >>> round(jpeg_bytes(224, 224, 75), -2)
    10400.0
    """
    return _HEADER + _density(quality) * math.pow(width * height, _POWER)


def rans_seconds(values: float, sent: float) -> tuple[float, float]:
    """Seconds to quantise `values` and code the `sent` symbols of them, and to decode and dequantise them again."""
    encode, decode = (frame + symbol * sent for frame, symbol in zip(RANS_FRAME, RANS_SYMBOL, strict=True))
    return encode + QUANTISE * values, decode + RESTORE * values


def _density(quality: int) -> float:
    levels = sorted(_DENSITY)
    if quality <= levels[0] or quality >= levels[-1]:
        return _DENSITY[levels[0] if quality <= levels[0] else levels[-1]]
    high = next(q for q in levels if q >= quality)
    low = max(q for q in levels if q <= quality)
    if low == high:
        return _DENSITY[low]
    share = (quality - low) / (high - low)
    return math.exp((1 - share) * math.log(_DENSITY[low]) + share * math.log(_DENSITY[high]))
