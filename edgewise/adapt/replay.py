"""What a replay found: every method judged on every picture of one stream before it could learn from it, so that they pair up.

Accuracies are of single pictures in one order, the same for all methods; so a difference between two methods has the error of
paired differences, which is several times smaller than that of two separate shares (adapt notes, long runs: ± s.e.):

    gain = mean (aᵢ − bᵢ)        s.e. = sd (aᵢ − bᵢ) / √n        interval: ± 1.96 s.e.

The error is that of the drawing of pictures. It holds neither another seed of the method nor another stream; benchmarks repeat
with seeds for that. Head-room is what the teacher, asked about every picture, would be right more often than statistics alone,
the device's free first stage; a share of it won is a gain over the same baseline divided by it.

It does not know how a method works, and runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.adapt.method import Tally
from edgewise.core.errors import ConfigError

Right = NDArray[np.float32]  # (n,) 0 or 1, or in between where an answer is a map
OURS, STATISTICS, TEACHER = "ours", "moving statistics", "upload all"  # methods by name that figures refer to
WIDE = 1.96  # standard errors on either side of a 95 % interval


class Paired(Struct, frozen=True, forbid_unknown_fields=True):
    """`gain` of one method over another on the same `n` pictures, as a share, with its standard error and 95 % interval."""

    gain: float
    error: float
    low: float
    high: float
    n: int


class Moment(Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the stream that ends after `seen` pictures in `domain`: by method the accuracy within it, and the uploads
    and bytes of both ways up to its end.
    """

    seen: int
    domain: str
    accuracy: dict[str, float]
    uploaded: dict[str, int]
    bytes_up: dict[str, int]
    bytes_down: dict[str, int]


class Trail(Struct, frozen=True, eq=False):
    """What one method did: `right` (n,) of each picture in the order of the stream, its `tally`, its processor `seconds`."""

    right: Right
    tally: Tally
    seconds: float


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that our server did after `seen` pictures."""

    seen: int
    what: str
    why: str


class Replayed(Struct, frozen=True, eq=False):
    """`trails` by method, `number` (n,) the row of `domains` that each picture counts to, and the `timeline`.

    Figures without a method's name are those of ours.
    """

    domains: tuple[str, ...]
    number: NDArray[np.int64]
    trails: Mapping[str, Trail]
    timeline: tuple[Moment, ...] = ()
    events: tuple[Event, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def accuracy(self) -> dict[str, list[float]]:
        """By method, the share of right answers in each domain."""
        return {
            name: [float(trail.right[self.number == d].mean()) for d in range(len(self.domains))]
            for name, trail in self.trails.items()
        }

    @property
    def headroom(self) -> list[float]:
        """In each domain the teacher's accuracy less that of statistics alone; empty where one of them was not run."""
        if STATISTICS not in self.trails or TEACHER not in self.trails:
            return []
        found = self.accuracy
        return [t - s for t, s in zip(found[TEACHER], found[STATISTICS])]

    @property
    def ours(self) -> Tally:
        """The tally of ours; an empty one where it was not run."""
        return self.trails[OURS].tally if OURS in self.trails else Tally()

    def rows(self, domain: int, part: float = 1.0) -> NDArray[np.int64]:
        """The places of a domain's pictures, or of the last `part` of them."""
        places = np.flatnonzero(self.number == domain)
        return places[len(places) - max(1, round(part * len(places))) :]

    def gain(self, method: str, over: str, rows: NDArray[np.int64] | None = None) -> Paired:
        """How much more often `method` is right than `over`; ConfigError where one of them was not run."""
        missing = [name for name in (method, over) if name not in self.trails]
        if missing:
            raise ConfigError("a method was not replayed", got=", ".join(missing), allowed=", ".join(self.trails))
        a, b = self.trails[method].right, self.trails[over].right
        return paired(a if rows is None else a[rows], b if rows is None else b[rows])

    def bytes_per_extra(self, method: str, over: str = STATISTICS) -> float | None:
        """Bytes of both ways for each answer that is right beyond those of `over`; None where there is none."""
        extra = int(self.trails[method].right.sum()) - int(self.trails[over].right.sum())
        tally = self.trails[method].tally
        return (tally.bytes_up + tally.bytes_down) / extra if extra > 0 else None

    def summary(self) -> dict[str, object]:
        """What `edgewise adapt replay --json` writes: shares and bytes of ours, accuracy and counts of all."""
        tally = self.ours
        return {
            "domains": list(self.domains),
            "accuracy": self.accuracy,
            "uploaded_share": tally.uploaded_share,
            "bytes_up": tally.bytes_up,
            "bytes_down": tally.bytes_down,
            "deltas": tally.deltas,
            "reverts": tally.reverts,
            "headroom": self.headroom,
            "methods": {
                name: {
                    "uploaded_share": trail.tally.uploaded_share,
                    **{field: getattr(trail.tally, field) for field in trail.tally.__struct_fields__},
                    "seconds": trail.seconds,
                    "bytes_per_extra": self.bytes_per_extra(name) if STATISTICS in self.trails else None,
                }
                for name, trail in self.trails.items()
            },
            "timeline": self.timeline,
            "events": self.events,
            "told": list(self.told),
        }


def paired(a: Right, b: Right) -> Paired:
    """The gain of `a` (n,) over `b` (n,), right or not on the same pictures.

    >>> paired(np.array([True, True, False, True]), np.array([True, False, False, True])).gain
    0.25
    """
    if a.shape != b.shape or not a.size:
        raise ConfigError("two methods do not pair up", got=f"{a.shape} and {b.shape}", allowed="the same pictures, 1 or more")
    difference = a.astype(np.float64) - b
    gain = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(a.size) if a.size > 1 else math.inf
    return Paired(gain, error, gain - WIDE * error, gain + WIDE * error, int(a.size))


def timeline(
    domains: Sequence[str],
    number: NDArray[np.int64],
    right: Mapping[str, Right],
    tallies: Sequence[tuple[int, Mapping[str, Tally]]],
) -> tuple[Moment, ...]:
    """Stretches of a stream between the `tallies`, which were taken after so many pictures."""
    found = []
    first = 0
    for seen, taken in tallies:
        found.append(
            Moment(
                seen,
                domains[int(number[seen - 1])],
                {name: float(r[first:seen].mean()) for name, r in right.items()},
                {name: t.uploaded for name, t in taken.items()},
                {name: t.bytes_up for name, t in taken.items()},
                {name: t.bytes_down for name, t in taken.items()},
            )
        )
        first = seen
    return tuple(found)
