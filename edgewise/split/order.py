"""In which order channels of a bottleneck are sent, so that whatever prefix arrives is worth the most; ours.

Greedy from nothing: of the channels not yet in, the next is the one with which the tail's outputs come nearest to those for all
channels; what is not in stands at its mean, as a frame that was cut short decodes. With more than `GREEDY` channels, by what
each of them alone does when it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.floating]]
GREEDY = 16


def order(tail: Callable[[Floats], Outputs], features: Floats) -> tuple[int, ...]:
    """Channels of features (n, channels, …), the most important first."""
    count = features.shape[1]
    if count == 1:
        return (0,)
    means = features.mean(axis=(0, *range(2, features.ndim)), keepdims=True)
    wanted = tail(features)

    def wrong(present: list[int]) -> float:
        seen = np.broadcast_to(means, features.shape).astype(np.float32)
        seen[:, present] = features[:, present]
        return apart(tail(seen), wanted)

    if count > GREEDY:
        every = list(range(count))
        return tuple(sorted(every, key=lambda c: (-wrong([d for d in every if d != c]), c)))
    found: list[int] = []
    while len(found) < count:
        left = [c for c in range(count) if c not in found]
        found.append(min(left, key=lambda c: (wrong([*found, c]), c)))
    return tuple(found)


def apart(said: Outputs, wanted: Outputs) -> float:
    """Squared distance of outputs, each in units of its own variance, summed over them."""
    return float(
        sum(np.square(said[n].astype(float) - w).mean() / max(float(np.var(w)), 1e-12) for n, w in wanted.items() if w.size)
    )
