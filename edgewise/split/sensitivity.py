"""How much the answer moves when channels of the cut are noisy, each alone and any two together.

For each channel c alone, noise of a few calibration samples, the same pattern over positions for every channel, is put on the
features, and the tail runs on them:

    d_c = (answer(features + σ_c · noise in c) − answer(features)) / σ_c         M_cc' = E d_c · d_c'

With independent noise at every position the mean of d_c · d_c' over patterns is that entry of JᵀJ, summed over positions: what a
quantiser's error e costs is eᵀ M e, to first order. The diagonal says how fine each channel must be (`calibrate`); the rest says
in which directions errors do not matter, which a turn can use (`turn`). It takes one run of the tail a channel and sample.

Answers are in units of their own variance, so that several outputs count alike. All channels are disturbed on the same samples:
how sensitive samples are differs more than how sensitive channels are. Few samples of few outputs do not show all directions;
who uses M must not believe that what it did not see is free.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Answers = list[NDArray[np.float64]]
NOISE = 0.15  # standard deviation of the noise, in those of the channel
_BATCH = 16
_CHUNK = 1 << 22  # values of answers held at once


def sensitivities(
    tail: Callable[[Floats], Answers],
    features: Floats,
    axis: int,
    spread: NDArray[np.float64],
    seed: int,
    each: int = 4,
    advance: Callable[[float], None] = lambda _: None,
) -> NDArray[np.float64]:
    """M (channel, channel) from `each` samples; `tail` takes features (sample, *shape) to arrays (sample, value)."""
    rng = np.random.default_rng(seed)
    count = features.shape[axis + 1]
    rows = rng.permutation(len(features))[:each]
    clean = _answers(tail, features[rows])
    scale = [np.sqrt(max(float(a.var()), 1e-12) * a.shape[1]) for a in clean]
    found = np.zeros((count, count))
    alive = [c for c in range(count) if spread[c] > 0]
    for number, row in enumerate(rows):
        plain = np.moveaxis(features[row], axis, 0)
        pattern = rng.uniform(-np.sqrt(3), np.sqrt(3), plain.shape[1:])
        moved: list[list[NDArray[np.float32]]] = [[] for _ in clean]
        for begin in range(0, len(alive), _BATCH):
            some = alive[begin : begin + _BATCH]
            batch = np.repeat(features[row][None], len(some), axis=0)
            for i, c in enumerate(some):
                np.moveaxis(batch[i], axis, 0)[c] += (NOISE * spread[c] * pattern).astype(np.float32)
            widths = NOISE * spread[some][:, None]
            for output, now in enumerate(tail(batch)):
                change = (now - clean[output][number]) / (scale[output] * widths)
                moved[output].append(change.astype(np.float32))
            advance(
                (number + (begin + _BATCH) / len(alive)) / len(rows) if begin + _BATCH < len(alive) else (number + 1) / len(rows)
            )
        for parts in moved:
            found[np.ix_(alive, alive)] += _products(np.concatenate(parts)) / len(rows)
    return found


def _products(d: NDArray[np.float32]) -> NDArray[np.float64]:
    """d dᵀ, some columns at a time, so that no second copy of all is made in float64."""
    total = np.zeros((len(d), len(d)))
    width = max(1, _CHUNK // max(1, len(d)))
    for begin in range(0, d.shape[1], width):
        part = d[:, begin : begin + width].astype(np.float64)
        total += part @ part.T
    return total


def _answers(tail: Callable[[Floats], Answers], features: Floats) -> Answers:
    parts = [tail(features[i : i + _BATCH]) for i in range(0, len(features), _BATCH)]
    return [np.concatenate([p[k] for p in parts]) for k in range(len(parts[0]))]
