"""The link rate at which two ways to answer are equally fast, in closed form.

Over a link of constant rate R (bit/s) a way to answer takes t + S/R: S bits on the uplink and t seconds of everything else.
Two of them are equal at

    R* = (S_a − S_b) / (t_b − t_a)

where the one that sends more is faster above R*. If the one that sends more is also slower in everything else, it is never
faster, and there is no break-even. The fastest of many ways is the lower envelope of these lines over 1/R.

The downlink and the waiting times are held where they are; a trace counts as its mean rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.cost import Site
from edgewise.core.device import Device
from edgewise.core.link import Link, Load
from edgewise.core.placement import Placement
from edgewise.plan.evaluate import evaluate


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """A way to answer as `seconds` + `bits` / rate of the uplink."""

    name: str
    seconds: float
    bits: float

    def latency(self, rate: float) -> float:
        return self.seconds + (self.bits / rate if self.bits > 0 else 0.0)


class BreakEven(Struct, frozen=True, forbid_unknown_fields=True):
    """Two ways, `a` and `b`: at `rate` (bit/s) they are equal, `above` names the faster one beyond it, `below` that under it.

    `rate` is None where one of them is never slower: then it is both `above` and `below`.
    """

    a: str
    b: str
    rate: float | None
    above: str
    below: str

    def __str__(self) -> str:
        if self.rate is None:
            return f"{self.above} is never slower than {self.b if self.above == self.a else self.a}"
        return f"{self.above} is faster than {self.below} above {spoken(self.rate)}"


class Stretch(Struct, frozen=True, forbid_unknown_fields=True):
    """Uplink rates from `low` to `high` (bit/s) at which `name` is the fastest."""

    name: str
    low: float
    high: float


def spoken(rate: float) -> str:
    """A rate for a person.

    >>> spoken(2_340_000.0)
    '2.34 Mbit/s'
    """
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g} bit/s"


def steady(link: Link, rate_up: float | None = None) -> Link:
    """The link at constant rates: those of its traces' means, the uplink at `rate_up` where that is given."""
    up = link.trace_up.mean if link.trace_up is not None else link.rate_up
    down = link.trace_down.mean if link.trace_down is not None else link.rate_down
    return replace(link, rate_up=up if rate_up is None else rate_up, rate_down=down, trace_up=None, trace_down=None)


def line(placement: Placement, link: Link, load: Load = Load(), sites: Mapping[Site, Device] | None = None) -> Line | None:
    """A placement as a Line, to the nanosecond (below that it is rounding); None where its latency is unknown."""
    cost = evaluate(placement, sites or {}, steady(link, math.inf), load)
    return None if cost.latency is None else Line(placement.name, round(cost.latency, 9), cost.bytes_up * 8 / (1 - link.loss))


def break_even(a: Line, b: Line) -> BreakEven:
    """The rate at which `a` and `b` are equal, and which is the faster on either side.

    >>> break_even(Line("local", 0.5, 0.0), Line("JPEG", 0.1, 80_000.0)).rate
    200000.0
    """
    more, less = (a, b) if (a.bits, a.seconds) >= (b.bits, b.seconds) else (b, a)
    if more.bits == less.bits or more.seconds >= less.seconds:
        return BreakEven(a.name, b.name, None, less.name, less.name)
    rate = (more.bits - less.bits) / (less.seconds - more.seconds)
    return BreakEven(a.name, b.name, rate, above=more.name, below=less.name)


def fastest(lines: Sequence[Line]) -> tuple[Stretch, ...]:
    """Which of the lines is the fastest at which rates, from the slowest link to the fastest."""
    if not lines:
        return ()
    winners = [min(lines, key=lambda x: (x.seconds, x.bits, x.name))]
    edges = [0.0]  # as 1/rate: where each winner takes over from the one before
    while ahead := [x for x in lines if x.bits < winners[-1].bits]:
        now = winners[-1]
        meets = {id(x): max((x.seconds - now.seconds) / (now.bits - x.bits), edges[-1]) for x in ahead}
        winner = min(ahead, key=lambda x: (meets[id(x)], x.bits, x.seconds, x.name))
        winners.append(winner)
        edges.append(meets[id(winner)])
    rates = [math.inf if e == 0 else 1 / e for e in edges] + [0.0]
    stretches = [Stretch(w.name, low, high) for w, (high, low) in zip(winners, pairwise(rates)) if low < high]
    return tuple(reversed(stretches))
