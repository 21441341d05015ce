"""The cost model: by hand on small cases, and never cheaper when anything gets slower, larger or busier."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.core.cost import Cost
from edgewise.core.device import Device
from edgewise.core.errors import ConfigError
from edgewise.core.link import Link, Load, Trace
from edgewise.core.measurement import Measurement
from edgewise.core.placement import OperatingPoint, Part, Placement
from edgewise.core.power import RADIOS
from edgewise.meter.energy import EnergyModel
from edgewise.plan.evaluate import evaluate, operating_cost


def power(watts: float | None) -> Measurement | None:
    return None if watts is None else Measurement(watts, "W", "quoted", "a test")


def device(idle: float | None, active: float | None) -> Device:
    return Device("d", "a device", idle=power(idle), active=power(active))


PI, SERVER = device(2.0, 5.0), device(None, 100.0)
SITES = {"device": PI, "edge": SERVER}
seconds = st.floats(0, 5)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    where = ["device", *draw(st.lists(st.sampled_from(["device", "edge"]), max_size=4))]
    parts = []
    for i, site in enumerate(where):
        time, more = draw(seconds), draw(st.none() | seconds)
        parts.append(Part(f"part {i}", site, time, None if more is None else time + more, draw(st.floats(0, 1e9))))
    crossing = [draw(st.floats(0, 1e6)) if a != b else 0.0 for a, b in zip(where, [*where[1:], "device"])]
    return Placement("drawn", tuple(parts), tuple(crossing))


links = st.one_of(
    st.builds(
        Link,
        st.just("steady"),
        st.floats(1e4, 1e9),
        st.floats(1e4, 1e9),
        st.floats(0, 0.5),
        st.floats(0, 0.5),
        st.sampled_from(["", "lte", "wifi"]),
    ),
    st.builds(
        lambda a, b, delay: Link(
            "traced", delay=delay, trace_up=Trace((0.0, 1.0, 2.0), (a, 0.0, b), 4.0), trace_down=Trace((0.0, 3.0), (b, a), 4.0)
        ),
        st.floats(1e5, 1e8),
        st.floats(1e5, 1e8),
        st.floats(0, 0.5),
    ),
)


def no_cheaper(dear: Cost, cheap: Cost) -> None:
    """Every figure of `dear` is that of `cheap` or more, to rounding, and nothing that was unknown got known."""
    figures = [(dear.latency, cheap.latency), (dear.latency_bound, cheap.latency_bound), (dear.bytes_up, cheap.bytes_up)]
    for site in ("device", "edge"):
        figures += [(getattr(getattr(dear, f), site), getattr(getattr(cheap, f), site)) for f in ("busy", "energy", "memory")]
    for more, less in figures:
        if more is not None:  # what was known may get unknown, never the other way
            assert less is not None
            assert more >= less - 1e-6 * (1 + abs(less))


def test_a_cut_by_hand() -> None:
    cut = Placement("cut", (Part("head", "device", 0.1, 0.2, 5e6), Part("tail", "edge", 0.05, 0.06, 9e6)), (1e6, 1e3))
    cost = evaluate(cut, SITES, Link("lte", 8e6, 8e7, delay=0.02, radio="lte"), Load(wait=0.03))
    latency = 0.1 + (1.0 + 0.02) + 0.03 + 0.05 + (1e-4 + 0.02)
    assert cost.latency == pytest.approx(latency)
    assert cost.latency_high == pytest.approx(latency + 0.1 + 0.01)
    assert (cost.bytes_up, cost.bytes_down, cost.memory.device, cost.memory.edge) == (1e6, 1e3, 5e6, 9e6)
    radio = 438.39e-9 * 8e6 + 51.97e-9 * 8e3 + 1.288 * (1.0 + 1e-4)
    assert cost.energy.device == pytest.approx(2.0 * latency + 3.0 * 0.1 + radio)
    assert cost.energy.edge == pytest.approx(100.0 * 0.05)
    assert cost.provenance == "modelled"


def test_a_transfer_begins_when_its_head_is_done() -> None:
    link = Link("gap", delay=0.0, trace_up=Trace((0.0, 1.0, 2.0), (8e6, 0.0, 8e6), 10.0))
    cut = Placement("cut", (Part("head", "device", 0.5), Part("tail", "edge", 0.0)), (1e6, 0.0))
    assert evaluate(cut, {}, link).latency == pytest.approx(0.5 + 0.5 + 1.0 + 0.5)  # half before the dead second, half after
    assert evaluate(cut, {}, link, at=2.0).latency == pytest.approx(1.5)


@given(placements(), links, st.floats(0, 100), st.integers(0, 4), seconds)
def test_a_placement_never_gets_cheaper_when_a_part_gets_slower(
    p: Placement, link: Link, at: float, which: int, more: float
) -> None:
    i = which % len(p.parts)
    part = p.parts[i]
    assert part.time is not None
    slower = replace(part, time=part.time + more, time_high=None if part.time_high is None else part.time_high + more)
    no_cheaper(
        evaluate(replace(p, parts=(*p.parts[:i], slower, *p.parts[i + 1 :])), SITES, link, at=at), evaluate(p, SITES, link, at=at)
    )


@given(placements(), links, st.floats(0, 100), seconds, st.integers(1, 8))
def test_a_busier_edge_is_never_cheaper(p: Placement, link: Link, at: float, wait: float, batch: int) -> None:
    no_cheaper(evaluate(p, SITES, link, Load(wait, batch), at), evaluate(p, SITES, link, Load(), at))


@given(placements(), links, st.floats(0, 100), st.floats(0, 1e6))
def test_more_bytes_are_never_cheaper(p: Placement, link: Link, at: float, more: float) -> None:
    crossing = tuple(c + more if c > 0 else c for c in p.crossing)
    no_cheaper(evaluate(replace(p, crossing=crossing), SITES, link, at=at), evaluate(p, SITES, link, at=at))


@given(placements(), st.floats(1e4, 1e9), st.floats(1.01, 50), st.sampled_from(["", "lte", "wifi"]))
def test_a_slower_link_is_never_cheaper(p: Placement, rate: float, factor: float, radio: str) -> None:
    fast, slow = (Link("steady", r, r, delay=0.01, radio=radio) for r in (rate, rate / factor))
    no_cheaper(evaluate(p, SITES, slow), evaluate(p, SITES, fast))


@given(placements(), links, st.floats(0, 100))
def test_an_upper_bound_is_never_below_what_is_expected(p: Placement, link: Link, at: float) -> None:
    cost = evaluate(p, SITES, link, at=at)
    assert cost.latency is not None
    assert cost.latency_high is None or cost.latency_high >= cost.latency - 1e-6


@given(placements(), links, st.integers(0, 4))
def test_one_unknown_part_makes_the_sum_unknown(p: Placement, link: Link, which: int) -> None:
    i = which % len(p.parts)
    cost = evaluate(
        replace(p, parts=(*p.parts[:i], replace(p.parts[i], time=None, time_high=None), *p.parts[i + 1 :])), SITES, link
    )
    assert cost.latency is None and cost.latency_bound is None and cost.energy.device is None
    assert cost.bytes_up == evaluate(p, SITES, link).bytes_up  # what is known stays known


def test_energy_is_unknown_without_its_powers() -> None:
    cut = Placement("cut", (Part("head", "device", 0.1), Part("tail", "edge", 0.1)), (1e3, 0.0))
    link = Link("cable", 1e9, 1e9)
    assert evaluate(cut, {"device": device(None, 5.0)}, link).energy.device is None
    assert evaluate(cut, {"device": PI}, link).energy.edge is None
    assert evaluate(cut, SITES, replace(link, radio="unknown")).energy.device is None
    alone = Placement("alone", (Part("all", "device", 0.1),), (0.0,))
    assert evaluate(alone, {"device": PI}, replace(link, radio="unknown")).energy.total == pytest.approx(0.5)


def test_a_dead_link_takes_for_ever_and_is_no_number_nowhere() -> None:
    cut = Placement("cut", (Part("head", "device", 0.1, 0.1), Part("tail", "edge", 0.1, 0.1)), (1e3, 1e3))
    for link in (
        Link("dead", 0.0, 0.0),
        Link("dead", trace_up=Trace((0.0,), (0.0,), 1.0), trace_down=Trace((0.0,), (0.0,), 1.0)),
    ):
        cost = evaluate(cut, SITES, link)
        assert cost.latency == cost.latency_high == cost.energy.device == math.inf


def test_a_hop_without_a_link_is_refused_in_words() -> None:
    far = Placement("far", (Part("take", "device", 0.0), Part("all", "cloud", 0.1)), (1e3, 0.0))
    with pytest.raises(ConfigError, match="device to cloud"):
        evaluate(far, {}, Link("cable"))
    cost = evaluate(far, {}, {("device", "cloud"): Link("cable", 8e3, 8e3)}, {"cloud": Load(wait=1.0)})
    assert cost.latency == pytest.approx(1.0 + 1.0 + 0.1)


points = st.builds(
    OperatingPoint,
    st.just("p"),
    st.sampled_from(["drop", "local", "split", "image"]),
    bytes_up=st.floats(0, 1e6),
    bytes_down=st.floats(0, 1e4),
    device_time=seconds,
    edge_time=seconds,
)


@given(points, st.floats(1e4, 1e9), st.floats(1e4, 1e9), seconds, seconds)
def test_a_device_with_core_alone_finds_the_same_latency(
    p: OperatingPoint, up: float, down: float, delay: float, wait: float
) -> None:
    cost = operating_cost(p, PI, Link("steady", up, down, delay), Load(wait))
    assert cost.latency == pytest.approx(p.latency(up, down, delay, wait))
    assert cost.memory.device is None  # no one measured it
    assert (cost.energy.edge == 0) == (p.mode in ("drop", "local") or p.edge_time == 0)


@given(points, st.floats(1e4, 1e9), seconds, st.sampled_from(["", "lte", "wifi", "3g"]))
def test_a_frame_takes_the_joules_that_were_planned(p: OperatingPoint, rate: float, wait: float, radio: str) -> None:
    cost = operating_cost(p, PI, Link("steady", rate, rate, 0.01, radio=radio), Load(wait))
    assert cost.latency is not None
    up, down = cost.bytes_up, cost.bytes_down
    spent = EnergyModel(2.0, 5.0, RADIOS[radio]).of(p.device_time, up, down, rate, rate, cost.latency)
    assert cost.energy.device == pytest.approx(spent.value)
