"""A token bucket as a value: what may still go up, now, of something that has a rate.

    left(t) = min(held, left(t0) + rate · (t − t0))          held: what `hold` seconds bring

It begins empty and holds what a few seconds bring, so hours without a link release no burst. An amount above what it holds is
waited for until it is paid (a picture of 20 KB goes at 1 KB/s after 20 s, if it is still asked for then); what was saved for it
does not stay for others. Hence the law, for every interval of t seconds, whenever it begins:

    taken ≤ rate · t + max(held, the largest amount that was asked for)

Time is an argument; a clock that goes back, or is no number, brings nothing. (Adapt notes 2.3 and trap 15.) It does not know what
it counts: `edgewise.adapt.select` has one for samples, one for bytes, and one whose time is counted in frames.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

HOLD = 4.0  # s


class Bucket(Struct, frozen=True, forbid_unknown_fields=True):
    """`rate` a second, with `hold` seconds of it at most; `left` at the time `at` (None before the first look)."""

    rate: float
    hold: float = HOLD
    left: float = 0.0
    at: float | None = None

    @property
    def held(self) -> float:
        """The most that waits."""
        return self.rate * self.hold


def filled(bucket: Bucket, now: float, most: float | None = None) -> Bucket:
    """The bucket at `now` (s), holding `most` in place of what it usually holds.

    >>> filled(filled(Bucket(rate=2.0), 0.0), 1.5).left, filled(filled(Bucket(rate=2.0), 0.0), 1e5).left
    (3.0, 8.0)
    """
    if not math.isfinite(now):
        return bucket
    if bucket.at is None or now <= bucket.at:
        return bucket if bucket.at is not None else replace(bucket, at=now)
    most = bucket.held if most is None else most
    return replace(bucket, left=min(most, bucket.left + (now - bucket.at) * bucket.rate), at=now)


def take(bucket: Bucket, amount: float, now: float) -> tuple[Bucket, bool]:
    """The bucket after `amount` was asked for at `now`, and whether it was given; what is not given costs nothing.

    >>> bucket = filled(Bucket(rate=1.0, hold=2.0), 0.0)
    >>> [take(bucket, 1.0, t)[1] for t in (0.5, 1.0)], take(bucket, 5.0, 5.0)[1]
    ([False, True], True)
    """
    full = filled(bucket, now, max(bucket.held, amount))
    if not 0 <= amount <= full.left or bucket.rate <= 0:
        return full, False
    return replace(full, left=min(full.left - amount, bucket.held)), True


def returned(bucket: Bucket, amount: float) -> Bucket:
    """The bucket after something that was taken did not go."""
    return replace(bucket, left=min(bucket.left + amount, max(bucket.held, amount))) if amount > 0 else bucket
