"""From features of calibration samples to the integers of a Coding: ranges, steps, levels, order and tables.

All channels get one slope of rate against distortion. With S_c the sensitivity of the answer to noise in channel c
(`edgewise.split.sensitivity`) and an entropy coder behind a uniform quantiser, noise costs S_c·Δ²/12 a value and a bit takes 6 dB
of it, so that the sum of S_c·error_c + λ·bits_c is least at

    Δ_c = t / √S_c          λ = 2 ln 2 · t² / 12

(Gish and Pierce 1968): one number t holds the whole allocation, and is found by trying. A channel for which

    S_c · (variance_c − error_c) < λ · entropy_c

is not worth its bits: it is not sent, and decoded as its mean. A channel that a ReLU made begins at 0, exactly; another one has
its mean as a reconstruction point. The highest level holds the quantile `CLIPPED` of the values; what lies beyond is clipped.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.fitted import evenly, tabled
from edgewise.core.coding import MOST_LEVELS, Coding

CLIPPED = 0.9999
_FEW, _MARGIN = 2000, 0.1  # with fewer values, so much of the range is added at either end
_UNSEEN = 4  # a code that calibration did not see counts as so many times less than one that it saw once
Floats = NDArray[np.float32]
_ROUNDS_TO_ZERO = 1e-12


class Channels(Struct, frozen=True):
    """What calibration saw of each channel, in float64: `mean`, `variance`, quantiles `low` and `high`; `values` (channel, n)."""

    values: Floats
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def channels(features: Floats, axis: int) -> Channels:
    """Statistics of features (sample, *shape) whose channels lie along `axis` of the shape."""
    values = np.ascontiguousarray(np.moveaxis(features, axis + 1, 0).reshape(features.shape[axis + 1], -1))
    low = values.min(1).astype(np.float64)
    exact = low == 0  # a ReLU's
    spread = np.quantile(values, (1 - CLIPPED, CLIPPED), axis=1).astype(np.float64)
    if values.shape[1] < _FEW:  # few values do not show how far others reach
        spread += np.array([[-_MARGIN], [_MARGIN]]) * (spread[1] - spread[0])
    mean, variance = values.mean(1, dtype=np.float64), values.var(1, dtype=np.float64)
    return Channels(values, mean, variance, np.where(exact, 0.0, spread[0]), spread[1])


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
        span = seen.high[c] - seen.low[c]
        if sensitivity[c] <= 0 or span <= _ROUNDS_TO_ZERO:
            continue
        width = max(t / math.sqrt(sensitivity[c]), span / (MOST_LEVELS - 2))
        if seen.low[c] == 0:
            start, n = 0.0, math.ceil(seen.high[c] / width - 0.5) + 1
        else:
            below = max(0, math.ceil((seen.mean[c] - seen.low[c]) / width - 0.5))
            start = seen.mean[c] - below * width
            n = below + max(0, math.ceil((seen.high[c] - seen.mean[c]) / width - 0.5)) + 1
        if n < 2:
            continue
        n = min(n, MOST_LEVELS)
        codes = quantised(seen.values[c], np.float32(start), np.float32(width), n)
        counts = np.bincount(codes, minlength=n)
        share = counts[counts > 0] / counts.sum()
        entropy = float(-(share * np.log2(share)).sum())
        noise = float(np.square(seen.values[c] - (np.float32(start) + np.float32(width) * codes)).mean())
        if sensitivity[c] * (seen.variance[c] - noise) <= slope * entropy:
            continue
        low[c], step[c], levels[c], bits[c], error[c] = np.float32(start), np.float32(width), n, entropy, noise
    return Grid(low, step, levels, bits, error)


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
