"""A link with a trace costs another sum at every moment: look over many starts, and tell the median, the p95 and the misses.

The median latency is what is expected, the 95th percentile (of the upper bounds) is what can be promised, and the miss rate is
the share of starts from which the expected answer comes after the deadline. Starts are spread evenly over the trace, the same
for every option, so that options are compared under equal skies. A link without a trace needs one start.

Each sample is looked at by itself: what a stream of samples queues up on the link is for the simulation to find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.cost import HIGH, Cost
from edgewise.core.link import Link

SAMPLES = 100


class Outlook(Struct, frozen=True, forbid_unknown_fields=True):
    """The Cost over `n` starts, and the share of them that misses the deadline (None where there is no deadline)."""

    cost: Cost
    miss_rate: float | None
    n: int


def starts(link: Link, samples: int = SAMPLES) -> tuple[float, ...]:
    """Moments (s) at which a sample may be taken, evenly over the longer trace of the link."""
    longest = max((t.duration for t in (link.trace_up, link.trace_down) if t is not None), default=0.0)
    return tuple((i + 0.5) * longest / samples for i in range(samples)) if longest > 0 else (0.0,)


def over(cost_at: Callable[[float], Cost], moments: Sequence[float], deadline: float | None = None) -> Outlook:
    """The outlook of `cost_at(start)` over all `moments`.

    >>> over(lambda at: Cost(latency=at), (0.1, 0.2, 0.4), deadline=0.3).cost.latency
    0.2
    """
    costs = [cost_at(m) for m in moments]
    latencies = _known([c.latency for c in costs])
    bounds = _known([c.latency_bound for c in costs])
    energies = _known([c.energy.device for c in costs])
    first = costs[0]
    cost = replace(
        first,
        latency=None if latencies is None else quantile(latencies, 0.5),
        latency_high=None if bounds is None else quantile(bounds, HIGH),
        energy=replace(first.energy, device=None if energies is None else math.fsum(energies) / len(energies)),
    )
    missed = None
    if deadline is not None and latencies is not None:
        missed = sum(t > deadline for t in latencies) / len(latencies)
    return Outlook(cost, missed, len(costs))


def quantile(figures: Sequence[float], share: float) -> float:
    """The smallest figure that at least `share` of them do not exceed."""
    ordered = sorted(figures)
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


def _known(figures: Sequence[float | None]) -> list[float] | None:
    known = [f for f in figures if f is not None]
    return known if len(known) == len(figures) else None
