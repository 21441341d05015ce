"""From features of calibration samples to the integers of a Coding: ranges, steps, levels, order and tables.

All channels get one slope of rate against distortion. With S_c the sensitivity of the answer to noise in channel c
(`edgewise.split.sensitivity`) and an entropy coder behind a uniform quantiser, noise costs S_c·Δ²/12 a value and a bit takes 6 dB
of it, so that the sum of S_c·error_c + λ·bits_c is least at

    Δ_c = t / √S_c          λ = 2 ln 2 · t² / 12

(Gish and Pierce 1968): one number t holds the whole allocation, and is found by trying. A channel for which

    S_c · (variance_c − error_c) < λ · entropy_c

is not worth its bits: it is not sent, and decoded as its mean. A channel that a ReLU made begins at 0, exactly; another one has
its mean as a reconstruction point. Levels reach a tenth of the range beyond the
values of all calibration samples, for levels that hardly come cost hardly a bit, but a clipped value costs an answer; of more
than 256 the outermost go.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.fitted import evenly, tabled
from edgewise.core.coding import MOST_LEVELS, Coding

CLIPPED = 0.9999  # quantile that 256 levels hold in any case
MARGIN = 0.1  # of the range, added at either end: other samples reach further
_UNSEEN = 4  # a code that calibration did not see counts as so many times less than one that it saw once
Floats = NDArray[np.float32]
_ROUNDS_TO_ZERO = 1e-12


class Channels(Struct, frozen=True):
    """What calibration saw of each channel, in float64: `mean`, `variance`, the least and the largest value of all samples with a
    margin (`low`, `high`), and between which quantiles nearly all lie (`inner`, `outer`); `values` (channel, n) of some samples.
    Where `lattice` is above 0 all values are multiples of it (`edgewise.split.turn`), and no finer step is of use.
    """

    values: Floats
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    inner: NDArray[np.float64]
    outer: NDArray[np.float64]
    lattice: NDArray[np.float64]


def channels(features: Floats, axis: int, some: int | None = None, lattice: NDArray[np.float64] | None = None) -> Channels:
    """Statistics of features (sample, *shape) with channels along `axis` of the shape; `values` are those of `some` samples."""
    others = tuple(a for a in range(features.ndim) if a != axis + 1)
    least, most = features.min(others).astype(np.float64), features.max(others).astype(np.float64)
    part = features[:some]
    values = np.ascontiguousarray(np.moveaxis(part, axis + 1, 0).reshape(features.shape[axis + 1], -1))
    inner, outer = np.quantile(values, (1 - CLIPPED, CLIPPED), axis=1).astype(np.float64)
    mean, variance = values.mean(1, dtype=np.float64), values.var(1, dtype=np.float64)
    margin = MARGIN * (most - least)
    exact = least == 0  # a ReLU's
    low, start = np.where(exact, 0.0, least - margin), np.where(exact, 0.0, inner)
    none = np.zeros(len(mean)) if lattice is None else lattice
    return Channels(values, mean, variance, low, most + margin, start, outer, none)


class Grid(Struct, frozen=True):
    """A quantiser before it has tables: `low`, `step` (float64 of float32 values) and `levels` of each channel, entropy in
    bits."""

    low: NDArray[np.float64]
    step: NDArray[np.float64]
    levels: NDArray[np.int64]
    bits: NDArray[np.float64]
    error: NDArray[np.float64]


def grid(seen: Channels, sensitivity: NDArray[np.float64], t: float) -> Grid:
    """The quantiser at t: see the module's text."""
    count = len(seen.mean)
    low, step = np.zeros(count), np.zeros(count)
    levels = np.zeros(count, np.int64)
    bits, error = np.zeros(count), seen.variance.copy()
    slope = 2 * math.log(2) * t**2 / 12
    for c in range(count):
        low[c] = seen.mean[c]
        span = seen.outer[c] - seen.inner[c]
        if sensitivity[c] <= 0 or span <= _ROUNDS_TO_ZERO:
            continue
        width = max(t / math.sqrt(sensitivity[c]), span / (MOST_LEVELS - 2))
        if width < 2 * seen.lattice[c]:
            width = seen.lattice[c]
            start = width * math.floor(seen.low[c] / width)
            n = min(MOST_LEVELS, math.ceil((seen.high[c] - start) / width) + 1)
        elif seen.low[c] == 0:
            start, n = 0.0, min(MOST_LEVELS, math.ceil(seen.high[c] / width - 0.5) + 1)
        else:
            start, n = _around(seen, c, width)
        if n < 2:
            continue
        codes = quantised(seen.values[c], np.float32(start), np.float32(width), n)
        counts = np.bincount(codes, minlength=n)
        share = counts[counts > 0] / counts.sum()
        entropy = float(-(share * np.log2(share)).sum())
        noise = float(np.square(seen.values[c] - (np.float32(start) + np.float32(width) * codes)).mean())
        if sensitivity[c] * (seen.variance[c] - noise) <= slope * entropy:
            continue
        low[c], step[c], levels[c], bits[c], error[c] = np.float32(start), np.float32(width), n, entropy, noise
    return Grid(low, step, levels, bits, error)


def _around(seen: Channels, c: int, width: float) -> tuple[float, int]:
    """Start and number of levels with one at the mean; where all would be too many, as many of the outer ones as fit go."""
    below, above = (max(0, math.ceil(d / width - 0.5)) for d in (seen.mean[c] - seen.low[c], seen.high[c] - seen.mean[c]))
    over = below + above + 1 - MOST_LEVELS
    if over > 0:
        least, most = (max(0, math.ceil(d / width - 0.5)) for d in (seen.mean[c] - seen.inner[c], seen.outer[c] - seen.mean[c]))
        spare = max(1, (below - least) + (above - most))
        taken = min(below, round(over * (below - least) / spare))
        below, above = below - taken, max(0, above - (over - taken))
    return seen.mean[c] - below * width, min(MOST_LEVELS, below + above + 1)


def quantised(values: Floats, low: np.float32, step: np.float32, levels: int) -> NDArray[np.int64]:
    """Codes of values, the nearest level each."""
    codes: NDArray[np.int64] = np.clip(np.floor((values - low) / step + np.float32(0.5)), 0, levels - 1).astype(np.int64)
    return codes


def through(features: Floats, axis: int, how: Grid) -> Floats:
    """Features (sample, *shape) as the far side sees them."""
    shape = [1] * features.ndim
    shape[axis + 1] = -1
    low = how.low.astype(np.float32).reshape(shape)
    step = how.step.astype(np.float32).reshape(shape)
    top = np.maximum(how.levels - 1, 0).astype(np.float32).reshape(shape)
    codes: Floats = features - low
    codes /= np.where(step > 0, step, np.float32(1)).astype(np.float32)
    codes += np.float32(0.5)
    np.floor(codes, out=codes)
    np.clip(codes, 0, top, out=codes)
    codes *= step
    codes += low
    return codes


def coding(seen: Channels, how: Grid, sensitivity: NDArray[np.float64], layers: int = 1) -> Coding:
    """The quantiser with its tables, channels ordered by what they do for the answer, in so many layers of like size."""
    sent = [c for c in range(len(how.levels)) if how.levels[c]]
    gain = sensitivity * (seen.variance - how.error)
    order = sorted(sent, key=lambda c: (-gain[c], c))
    counts = [
        np.bincount(
            quantised(seen.values[c], np.float32(how.low[c]), np.float32(how.step[c]), int(how.levels[c])),
            minlength=int(how.levels[c]),
        )
        for c in order
    ]
    return Coding(
        low=tuple(float(np.float32(v)) for v in how.low),
        step=tuple(float(np.float32(v)) for v in how.step),
        levels=tuple(int(v) for v in how.levels),
        order=tuple(order),
        layers=evenly(len(order), layers) if order else (),
        tables=tabled(counts),
    )
