"""The one cost model: what a placement costs on given sites, over a link, under a load. Pure, and used for everything.

A sample begins on the device at time `at`. Parts run one after another; where two neighbours are on different sites their bytes
cross the link, as `Link.transfer` integrates it from that very moment, and the answer crosses back:

    latency = Σ t_part · batch_site + Σ wait_site + Σ transfers
    E_device = P_idle · T + (P_active − P_idle) · t_busy + radio          (see `edgewise.core.power`)
    E_edge = P_active · t_busy                                            (an edge server idles for all its devices)

The upper bound follows the same path with each part's upper bound, the transfers begun as late as that.

What it does not know: batching's gain (a batch of b is taken to last b times one item, which is the worst case), parts
that run at once, the queue that a stream makes for itself on the link, and a TCP that starts slowly. A figure that is not known
(a time, a power, a radio) makes every sum over it unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from edgewise.core.cost import SITES, Cost, PerSite, Site
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError
from edgewise.core.link import Link, Load
from edgewise.core.placement import OperatingPoint, Part, Placement
from edgewise.core.power import RADIOS, computing_energy

Links = Link | Mapping[tuple[Site, Site], Link]
Loads = Load | Mapping[Site, Load]


def evaluate(placement: Placement, sites: Mapping[Site, Device], link: Links, load: Loads = Load(), at: float = 0.0) -> Cost:
    """The Cost of one sample that is taken at time `at` (s).

    A single Link is that between device and edge, a single Load that of the edge; a mapping names hops (outward) and sites.

    >>> parts = (Part("head", "device", 0.1), Part("tail", "edge", 0.05))
    >>> evaluate(Placement("cut", parts, (1e6, 0.0)), {}, Link("cable", rate_up=8e7)).latency
    0.25
    """
    cost = Cost()
    radio: float | None = 0.0  # joules
    came: Site = "device"
    for part, size, to in zip(placement.parts, placement.crossing, _next_sites(placement)):
        cost = cost.then(_run(part, _load(load, part.site), arrives=part.site != came))
        came = part.site
        if to == part.site:
            continue
        up = SITES.index(to) > SITES.index(part.site)
        hop = _link(link, part.site, to) if up else _link(link, to, part.site)
        moved = _cross(hop, size, up, at, cost)
        if "device" in (part.site, to):
            radio = _both(radio, _radio(hop, size, up, moved))
        cost = cost.then(moved)
    joules = PerSite(
        device=_device_energy(cost, sites.get("device"), radio),
        edge=_server_energy(cost.busy.edge, sites.get("edge")),
        cloud=_server_energy(cost.busy.cloud, sites.get("cloud")),
    )
    return replace(cost, energy=joules)


def operating_placement(point: OperatingPoint) -> Placement:
    """An operating point as a Placement; it does not know the memory that it takes.

    Of an exit bytes and the edge's seconds are means over all frames; the way there and back is counted whole."""
    head = Part(point.name, "device", point.device_time, memory=None)
    if point.mode in ("drop", "local"):
        return Placement(point.name, (head,), (0.0,))
    tail = Part(point.name, "edge", point.edge_time * point.sent, memory=None)
    return Placement(point.name, (head, tail), (point.frame_up, point.frame_down))


def operating_cost(
    point: OperatingPoint, device: Device | None, link: Links, load: Loads = Load(), at: float = 0.0, edge: Device | None = None
) -> Cost:
    """The Cost of one sample answered at `point`: the same model, for the online policy's table and for simulation."""
    sites: dict[Site, Device] = {}
    if device is not None:
        sites["device"] = device
    if edge is not None:
        sites["edge"] = edge
    return evaluate(operating_placement(point), sites, link, load, at)


def _next_sites(placement: Placement) -> list[Site]:
    """The site after each part; the answer goes back to the device."""
    return [*(p.site for p in placement.parts[1:]), "device"]


def _run(part: Part, load: Load, arrives: bool) -> Cost:
    """A part under load: it waits where it arrives from elsewhere, and its batch runs as long as each item alone, added up."""
    wait = load.wait if arrives else 0.0
    time = None if part.time is None else wait + part.time * load.batch
    high = None if part.time_high is None else wait + part.time_high * load.batch
    return Cost(
        latency=time,
        latency_high=high,
        busy=PerSite.at(part.site, part.time),
        memory=PerSite.at(part.site, part.memory),
    )


def _cross(link: Link, size: float, up: bool, at: float, before: Cost) -> Cost:
    """The transfer of `size` bytes after `before`; without a time to begin at, only a transfer at a constant rate is known."""
    bytes_up, bytes_down = (size, 0.0) if up else (0.0, size)
    traced = (link.trace_up if up else link.trace_down) is not None
    if before.latency is None and traced:
        return Cost(latency=None, bytes_up=bytes_up, bytes_down=bytes_down)
    latency = _passes(link, size, at + (before.latency or 0.0), up)
    bound = before.latency_bound
    high = None if bound is None else _passes(link, size, at + bound, up)
    return Cost(latency=latency, latency_high=high, bytes_up=bytes_up, bytes_down=bytes_down)


def _passes(link: Link, size: float, start: float, up: bool) -> float:
    """Seconds of a transfer that begins at `start`; what never begins adds nothing to its endless wait."""
    return 0.0 if start == math.inf else link.transfer(size, start, up) - start


def _radio(link: Link, size: float, up: bool, moved: Cost) -> float | None:
    """Joules of the device's radio: on air while bytes leave, not while they travel."""
    radio = RADIOS.get(link.radio)
    if radio is None or moved.latency is None:
        return None
    on_air = max(moved.latency - link.delay, 0.0)
    bits = size * 8 / (1 - link.loss)
    return radio.energy(bits, 0.0, on_air) if up else radio.energy(0.0, bits, on_air)


def _device_energy(cost: Cost, device: Device | None, radio: float | None) -> float | None:
    if device is None or device.idle is None or device.active is None or radio is None:
        return None
    if cost.latency is None or cost.busy.device is None:
        return None
    return computing_energy(device.idle.value, device.active.value, cost.latency, cost.busy.device) + radio


def _server_energy(busy: float | None, server: Device | None) -> float | None:
    if busy == 0:
        return 0.0
    return None if busy is None or server is None or server.active is None else server.active.value * busy


def _both(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _link(links: Links, near: Site, far: Site) -> Link:
    if isinstance(links, Link):
        if (near, far) == ("device", "edge"):
            return links
        raise ConfigError(
            "a placement crosses a hop that has no link", got=f"{near} to {far}", allowed="device to edge, or a mapping of hops"
        )
    if (near, far) not in links:
        named = ", ".join(f"{a} to {b}" for a, b in links) or "none"
        raise ConfigError("a placement crosses a hop that has no link", got=f"{near} to {far}", allowed=named)
    return links[near, far]


def _load(loads: Loads, site: Site) -> Load:
    if isinstance(loads, Load):
        return loads if site == "edge" else Load()
    return loads.get(site, Load())
