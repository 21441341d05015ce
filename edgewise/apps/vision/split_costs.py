"""What was measured on loopback, as costs on a person's device and link: latency, energy, and the rates at which ways are equal.

Seconds are the medians that this machine took; those of the device are multiplied by how much slower the device is (the
estimator's ratio for a well-known network, `plan.machines`), so they are modelled, and so is energy (the profile's watts over
these seconds, and the radio's joules a bit). Bytes are those that were counted. The one cost model (`plan.evaluate`) does the
arithmetic, break-even rates are R* = (S_a − S_b) / (t_b − t_a).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgewise.core.cost import Site
from edgewise.core.device import Device
from edgewise.core.link import Link
from edgewise.core.placement import CROSSING, Mode, Part, Placement
from edgewise.plan.break_even import BreakEven, Line, Stretch, break_even, fastest, line
from edgewise.plan.evaluate import evaluate
from edgewise.plan.horizon import over, starts

RATES = tuple(10 ** (4 + i / 10) for i in range(41))  # 10 kbit/s to 100 Mbit/s


class Timed(Struct, frozen=True):
    """A way to answer as it was measured here: seconds of the device and of the edge, bytes up and down; its kind and quality."""

    name: str
    kind: Mode
    device: float
    edge: float
    bytes_up: float
    bytes_down: float
    quality: float


class Priced(Struct, frozen=True):
    """Over the link's trace: median and p95 latency (s), device joules; `curve` is the latency at each of RATES (None:
    unknown).
    """

    device_seconds: float | None
    latency: float | None
    latency_p95: float | None
    energy: float | None
    curve: tuple[float, ...] = ()


class Costs(Struct, frozen=True):
    """All ways priced, in order; `break_even` of each split against pictures and local; `fastest` by rate, and within a
    quality.
    """

    priced: tuple[Priced, ...]
    break_even: tuple[BreakEven, ...]
    fastest: tuple[Stretch, ...]
    at_quality: tuple[Stretch, ...]


def price(ways: Sequence[Timed], device: Device, slowness: float | None, edge: Device, link: Link, within: float) -> Costs:
    """The ways on `device`, which takes `slowness` times as long as this machine (None: unknown, and so is all that follows).

    `at_quality` looks at the ways alone whose quality is at most `within` below the best one's.
    """
    sites: dict[Site, Device] = {"device": device, "edge": edge}
    placements = [placement(way, slowness) for way in ways]
    moments = starts(link)
    priced = []
    lines: list[Line] = []
    for one in placements:
        crosses = len(one.parts) > 1
        outlook = over(lambda at, p=one: evaluate(p, sites, link, at=at), moments if crosses else moments[:1])  # type: ignore[misc]
        found = line(one, link)
        if found is not None:
            lines.append(found)
        cost = outlook.cost
        curve = tuple(round(found.latency(rate), 6) for rate in RATES) if found is not None else ()
        priced.append(Priced(one.parts[0].time, cost.latency, cost.latency_high or cost.latency, cost.energy.device, curve))
    kinds = {way.name: way.kind for way in ways}
    splits = [x for x in lines if kinds[x.name] in CROSSING]
    others = [x for x in lines if kinds[x.name] in ("image", "local")]
    best = max((way.quality for way in ways), default=0.0)
    good = {way.name for way in ways if way.quality >= best - within}
    return Costs(
        tuple(priced),
        tuple(break_even(a, b) for a in splits for b in others),
        fastest(lines),
        fastest([x for x in lines if x.name in good]),
    )


def placement(way: Timed, slowness: float | None) -> Placement:
    """The way as the cost model takes it: the device's seconds times `slowness`, in one part."""
    seconds = None if slowness is None else way.device * slowness
    head = Part(way.name, "device", seconds, seconds)
    if way.kind == "local":
        return Placement(way.name, (head,), (0.0,))
    return Placement(way.name, (head, Part(way.name, "edge", way.edge, way.edge)), (way.bytes_up, way.bytes_down))
