"""How much the answer moves when a channel of the cut is noisy.

For each channel c alone, uniform noise of a width in proportion to the channel's spread is added to the features of a few
calibration samples, and the tail runs on them:

    S_c = E ‖ answer(features + noise_c) − answer(features) ‖² / variance of the noise

in units of the answer's own variance, so that several outputs count alike. This is a finite difference along a random
direction: to first order it is the trace of JᵀJ over the channel, the diagonal of what a second-order method would use. All
channels are disturbed on the same few samples: how sensitive samples are differs more than how sensitive channels are, and only
the latter counts. A factor of two in S_c is a fifth of the step, and costs next to nothing.

The classes of a classifier are compared after their mean is taken off, which no argmax sees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Answers = list[NDArray[np.float64]]
NOISE = 0.5  # width of the noise, in standard deviations of the channel
_BATCH = 16


def sensitivities(
    tail: Callable[[Floats], Answers],
    features: Floats,
    axis: int,
    spread: NDArray[np.float64],
    seed: int,
    each: int = 4,
    advance: Callable[[float], None] = lambda _: None,
) -> NDArray[np.float64]:
    """S of every channel, from `each` samples a channel; `tail` takes features (sample, *shape) to arrays (sample, value)."""
    rng = np.random.default_rng(seed)
    count = features.shape[axis + 1]
    clean = _answers(tail, features)
    scale = [max(float(a.var()), 1e-12) * a.shape[1] for a in clean]
    found = np.zeros(count)
    alive = [c for c in range(count) if spread[c] > 0]
    rows = rng.permutation(len(features))[:each]  # the same for every channel: samples differ more than channels do
    jobs = [(c, int(row)) for c in alive for row in rows]
    for begin in range(0, len(jobs), _BATCH):
        some = jobs[begin : begin + _BATCH]
        batch = features[[row for _, row in some]].copy()
        strength = np.empty(len(some))
        for i, (c, _) in enumerate(some):
            one = np.moveaxis(batch[i], axis, 0)
            width = NOISE * spread[c]
            noise = rng.uniform(-width / 2, width / 2, one[c].shape).astype(np.float32)
            one[c] += noise
            strength[i] = width**2 / 12
        noisy = tail(batch)
        moved = np.zeros(len(some))
        for output, (was, now) in enumerate(zip(clean, noisy, strict=True)):
            moved += np.square(now - was[[row for _, row in some]]).sum(1) / scale[output]
        for i, (c, _) in enumerate(some):
            found[c] += moved[i] / strength[i] / min(each, len(features))
        advance(min(1.0, (begin + _BATCH) / max(1, len(jobs))))
    return found


def _answers(tail: Callable[[Floats], Answers], features: Floats) -> Answers:
    parts = [tail(features[i : i + _BATCH]) for i in range(0, len(features), _BATCH)]
    return [np.concatenate([p[k] for p in parts]) for k in range(len(parts[0]))]
