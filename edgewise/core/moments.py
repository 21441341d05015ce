"""Moments of what normalisation layers see: mean and variance by channel, their moving average, their distance, their bytes.

    μ ← (1 − m)·μ + m·μ_B,  E[x²] likewise     m = 1 − (1 − rate)^(|B|/50): what |B| samples weigh, however they are grouped
    μ* = ω·μ_source + (1 − ω)·μ, σ²* likewise  what a layer normalises with
    d  = ½·mean over channels of (μ − μ_s)²/σ²_s + r − 1 − ln r,  r = σ²/σ²_s     nats a channel: the divergence of two Gaussians

(adapt notes 2.3; the second moment instead of the variance is ours.) A variance that is averaged over batches lacks what lies
*between* the batches: with batches of one sample the spread of the samples' means is gone, and the model is normalised too
strongly. The average of x² has it whatever the batch. Distances are those of the key of adapt notes 2.6, in units that do not
depend on the model.

On the wire statistics are float16, each vector times a power of two of its own so that its largest value fills the range; both
sides know the layers, so no name travels, only a checksum over names and widths.

It does not know which model the moments are of, nor whether they are good for it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import TensorError

Vector = NDArray[np.float32]
Wide = NDArray[np.float64]
MOST_LAYERS, MOST_CHANNELS = 4096, 1 << 20
GROUP = 50  # samples that a rate of the moving average is told for
_HEAD = struct.Struct("<BHI")  # version, layers, checksum of the layout
_VERSION = 1
_SCALES = struct.Struct("<hh")  # powers of two of mean and variance
_HALF = np.dtype("<f2")
_TOP = 15  # 2^15 < 65,504, the largest float16


class Moments(Struct, frozen=True, eq=False):
    """`mean` and `variance` (channels,), float32, of the input of one normalisation layer over batch and place."""

    mean: Vector
    variance: Vector

    @property
    def second(self) -> Wide:
        """E[x²] (channels,)."""
        return self.variance.astype(np.float64) + self.mean.astype(np.float64) ** 2


Statistics = dict[str, Moments]  # path of the layer, as in parameter paths (`head.body.0.1`) → its moments


def momentum(samples: float, rate: float = 0.02) -> float:
    """What `samples` new ones weigh in a moving average that gives 50 of them the weight `rate`.

    >>> old = (1 - momentum(10)) ** 5
    >>> round(1 - old, 6) == round(momentum(50), 6) == 0.02
    True
    """
    return float(1 - (1 - rate) ** (samples / GROUP))


def moved(running: Moments, new: Moments, weight: float) -> Moments:
    """The moving average after `new` moments of that `weight` (0: nothing, 1: all); moments of x and x² are averaged."""
    mean = (1 - weight) * running.mean.astype(np.float64) + weight * new.mean
    second = (1 - weight) * running.second + weight * new.second
    return Moments(mean.astype(np.float32), np.maximum(second - mean**2, 0).astype(np.float32))


def mixed(source: Moments, running: Moments, share: float) -> Moments:
    """`share` of the running moments and the rest of the source's, μ and σ² each by itself; exactly the source's at 0."""
    if share <= 0:
        return source
    if share >= 1:
        return running
    return Moments(
        (source.mean + np.float32(share) * (running.mean - source.mean)).astype(np.float32),
        (source.variance + np.float32(share) * (running.variance - source.variance)).astype(np.float32),
    )


def distance(source: Moments, running: Moments, epsilon: float = 1e-5) -> float:
    """How far `running` has moved from `source`: nats a channel, 0 where they are equal. `epsilon` is added to variances."""
    old, new = ((one.mean.astype(np.float64), one.variance.astype(np.float64)) for one in (source, running))
    return float(0.5 * np.mean(divergence(old, new, epsilon)))


def divergence(old: tuple[Wide, Wide], new: tuple[Wide, Wide], epsilon: float = 1e-5) -> Wide:
    """Twice the nats of each channel (channels,) from one (mean, variance) to another."""
    spread = old[1] + epsilon
    ratio = (new[1] + epsilon) / spread
    nats: Wide = (new[0] - old[0]) ** 2 / spread + ratio - 1 - np.log(ratio)
    return nats


def far(source: Statistics, running: Statistics) -> float:
    """The mean `distance` over the layers of `source`; TensorError where the two are not of one model."""
    if widths(source) != widths(running):
        raise TensorError("two statistics are not of one model", got=_said(widths(running)), allowed=_said(widths(source)))
    return float(np.mean([distance(one, running[path]) for path, one in source.items()])) if source else 0.0


def widths(statistics: Statistics) -> dict[str, int]:
    """The layout of statistics: path → channels."""
    return {path: len(one.mean) for path, one in statistics.items()}


def packed(statistics: Statistics) -> bytes:
    """Statistics as float16: 7 bytes, then 4 bytes and 4 a channel for each layer, in the order of paths.

    TensorError where a value is no number, a variance is negative or two vectors of a layer are not alike.
    """
    out = [_HEAD.pack(_VERSION, len(statistics), _checksum(widths(statistics)))]
    for path in sorted(statistics):
        one = _checked(path, statistics[path])
        scales, halves = zip(*(_half(vector) for vector in (one.mean, one.variance)), strict=True)
        out += [_SCALES.pack(*scales), *halves]
    return b"".join(out)


def packed_size(layout: Mapping[str, int]) -> int:
    """Bytes of packed statistics of this layout."""
    return _HEAD.size + sum(_SCALES.size + 4 * channels for channels in layout.values())


def unpacked(data: bytes | memoryview, layout: Mapping[str, int]) -> Statistics:
    """The statistics in `data` of a model with this `layout` (path → channels); TensorError where they are none of it."""
    if len(layout) > MOST_LAYERS or sum(layout.values()) > MOST_CHANNELS:
        raise TensorError(
            "a model has too many normalisation layers",
            got=f"{len(layout)} layers, {sum(layout.values())} channels",
            allowed=f"{MOST_LAYERS} and {MOST_CHANNELS}",
        )
    if len(data) != packed_size(layout):
        raise TensorError("statistics have not the bytes of their model", got=f"{len(data)}", allowed=f"{packed_size(layout)}")
    version, layers, checksum = _HEAD.unpack_from(data)
    if (version, layers, checksum) != (_VERSION, len(layout), _checksum(layout)):
        raise TensorError(
            "statistics are of another model",
            got=f"form {version}, {layers} layers, layout {checksum:08x}",
            allowed=f"form {_VERSION}, {len(layout)} layers, layout {_checksum(layout):08x}",
        )
    at = _HEAD.size
    found: Statistics = {}
    for path in sorted(layout):
        channels, scales = layout[path], _SCALES.unpack_from(data, at)
        at += _SCALES.size
        vectors = []
        for scale in scales:
            half = np.frombuffer(data, _HALF, channels, at).astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                vectors.append(np.ldexp(half, scale).astype(np.float32))
            at += 2 * channels
        found[path] = _checked(path, Moments(*vectors))
    return found


def _checked(path: str, one: Moments) -> Moments:
    if one.mean.ndim != 1 or one.mean.shape != one.variance.shape:
        raise TensorError(
            f"the moments of {path} are not alike", got=f"{one.mean.shape} and {one.variance.shape}", allowed="(channels,) twice"
        )
    if not (np.isfinite(one.mean).all() and np.isfinite(one.variance).all() and (one.variance >= 0).all()):
        raise TensorError(
            f"the moments of {path} are no numbers", got="NaN, infinity or a negative variance", allowed="finite, variance ≥ 0"
        )
    return one


def _half(vector: Vector) -> tuple[int, bytes]:
    """A power of two, and the vector divided by it in float16."""
    largest = float(np.abs(vector).max(initial=0.0))
    scale = int(np.frexp(largest)[1]) - _TOP if largest else 0
    return scale, np.ldexp(vector.astype(np.float64), -scale).astype(_HALF).tobytes()


def _checksum(layout: Mapping[str, int]) -> int:
    return zlib.crc32(_said(layout).encode())


def _said(layout: Mapping[str, int]) -> str:
    return ",".join(f"{path}:{layout[path]}" for path in sorted(layout))
