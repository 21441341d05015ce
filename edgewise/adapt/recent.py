"""The doubts of the last frames, and whether one of them is among the most doubtful share: a quantile without a threshold.

    rank(x) = (#{values > x} + draw · #{values = x}) / n        x is one of the n values, draw uniform in 0..1
    chosen  where rank(x) < share

Where the values are exchangeable the rank is uniform, whatever their distribution: so the share that is chosen is the share that
was wanted, from the first frame on, for confident nets whose doubts are all nearly 0, and for constant pictures, whose doubts are
all the same. (Ours; a randomised rank test.) It does not know time: where doubts rise steadily everything is among the most
doubtful, which is what a bucket is for.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

KEPT = 512  # frames; at 30 a second some 17 s
Floats = NDArray[np.float32]


class Recent(Struct, frozen=True, eq=False):
    """The last KEPT `values` in no order (their ring begins anew at `next`)."""

    values: Floats = np.zeros(0, np.float32)
    next: int = 0


def added(recent: Recent, value: float) -> Recent:
    """With one more, in place of the oldest where there are enough."""
    if len(recent.values) < KEPT:
        return Recent(np.append(recent.values, np.float32(value)), 0)
    values = recent.values.copy()
    values[recent.next] = value
    return Recent(values, (recent.next + 1) % KEPT)


def rank(recent: Recent, value: float, draw: float, low: float = -1.0, high: float = 2.0) -> float:
    """The place of `value` among the recent values, 0 for the largest: the share of them that lies above it.

    Only values between `low` and `high` count as above, but n counts all, so that a rank stays a share of all frames.

    >>> rank(Recent(np.array([0.1, 0.2, 0.3, 0.4], np.float32)), 0.3, draw=0.5)
    0.375
    """
    if not len(recent.values):
        return draw
    x = np.float32(value)
    above = int(np.count_nonzero((recent.values > x) & (recent.values < high) & (recent.values > low)))
    equal = int(np.count_nonzero(recent.values == x))
    return (above + draw * max(equal, 1)) / len(recent.values)
