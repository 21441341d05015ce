"""The map equals the exact choice in every cell, and moves the right way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.core.cost import Bound, Budget
from edgewise.core.device import Device
from edgewise.core.link import Link, Load
from edgewise.core.measurement import Measurement
from edgewise.core.placement import Part, Placement
from edgewise.plan.candidates import Candidate
from edgewise.plan.choose import OBJECTIVES, best, figure
from edgewise.plan.region import NOTHING, Scene, faster, region

PI = Device("pi", "a device", idle=Measurement(2.0, "W", "quoted", "a test"), active=Measurement(5.0, "W", "quoted", "a test"))
SERVER = Device("server", "a server", active=Measurement(100.0, "W", "quoted", "a test"))
SITES = {"device": PI, "edge": SERVER}
RATES, SPEEDS = (1e4, 3e5, 1e7, 1e9), (0.2, 1.0, 30.0)
tenths = st.integers(0, 20).map(lambda i: i / 20)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for i in range(draw(st.integers(1, 5))):
        head, tail, quality = draw(st.none() | tenths), draw(tenths), draw(st.none() | tenths)
        more, memory = draw(st.none() | tenths), draw(tenths) * 1e8
        high = None if head is None or more is None else head + more
        here = Part("here", "device", head, high, memory)
        if draw(st.booleans()):
            placement = Placement(f"c{i}", (here,), (0.0,))
        else:
            there = Part("there", "edge", tail, tail)
            placement = Placement(f"c{i}", (here, there), (draw(st.integers(1, 100)) * 1e3, 500.0))
        found.append(Candidate(placement, "split", draw(st.sampled_from(["", "whole"])), quality))
    return found


limits = st.one_of(
    st.builds(Bound, st.just("latency"), tenths, quantile=st.sampled_from([0.5, 0.95])),
    st.builds(Bound, st.just("device_energy"), tenths.map(lambda x: 4 * x), st.sampled_from(["item", "second"])),
    st.builds(Bound, st.just("bytes_up"), tenths.map(lambda x: 1e5 * x), st.sampled_from(["item", "second"])),
    st.builds(Bound, st.sampled_from(["quality", "miss_rate"]), tenths),
)
scenes = st.builds(
    Scene,
    st.just(SITES),
    st.builds(
        Link,
        st.just("l"),
        st.just(1e6),
        st.just(1e7),
        tenths.map(lambda x: x / 10),
        radio=st.sampled_from(["", "lte", "unknown"]),
    ),
    st.lists(limits, max_size=2).map(tuple).map(Budget),
    st.sampled_from(OBJECTIVES),
    st.builds(Load, tenths),
    st.just(5.0),
    st.none() | tenths,
)


@settings(max_examples=150)
@given(candidates(), scenes)
def test_every_cell_holds_the_exact_choice(found: list[Candidate], scene: Scene) -> None:
    drawn = region(found, scene, RATES, SPEEDS)
    for i, speed in enumerate(SPEEDS):
        for j, rate in enumerate(RATES):
            options = [scene.option(c, speed, rate) for c in found]
            exact = best(options, scene.budget, scene.objective, scene.rate)
            taken = drawn.names[drawn.best[i][j]]
            if exact is None or taken == NOTHING:
                assert (exact is None) == (taken == NOTHING)
                continue
            got = next(o for o in options if o.name == taken)
            assert figure(got, scene.objective) == pytest.approx(figure(exact, scene.objective), rel=1e-6, abs=1e-9)


@given(candidates(), st.floats(1.01, 100), st.floats(1.01, 100), st.lists(limits, max_size=2).map(tuple).map(Budget))
def test_a_slower_device_or_link_never_makes_the_choice_better(
    found: list[Candidate], slower: float, thinner: float, budget: Budget
) -> None:
    scene = Scene(SITES, Link("l", 1e6, 1e7, 0.01), budget, "latency", deadline=0.5)

    def least(speed: float, rate: float) -> float:
        taken = best([scene.option(c, speed, rate) for c in found], budget, "latency")
        return math.inf if taken is None or taken.cost.latency is None else taken.cost.latency

    here = least(1.0, 1e6)
    assert least(1 / slower, 1e6) >= here - 1e-9
    assert least(1.0, 1e6 / thinner) >= here - 1e-9


def test_a_faster_device_has_shorter_parts_and_the_edge_has_not() -> None:
    cut = Placement("cut", (Part("head", "device", 1.0, 2.0), Part("tail", "edge", 3.0, 4.0)), (1.0, 0.0))
    quick = faster(cut, 2.0)
    assert [(p.time, p.time_high) for p in quick.parts] == [(0.5, 1.0), (3.0, 4.0)]
    assert faster(quick, 0.5) == cut


def test_a_map_tells_the_cell_nearest_to_a_place() -> None:
    local = Candidate(Placement("local", (Part("all", "device", 1.0, 1.0),), (0.0,)), "local")
    parts = (Part("take", "device", 0.0, 0.0), Part("all", "edge", 0.01, 0.01))
    edge = Candidate(Placement("edge", parts, (1e5, 0.0)), "raw")
    drawn = region([local, edge], Scene(SITES, Link("l", 1e6, 1e9)), RATES, SPEEDS)
    assert (drawn.at(1e9, 1.0), drawn.at(1e4, 1.0), drawn.at(2e4, 1000.0)) == ("edge", "local", "local")
    late = region(
        [local, replace(edge, placement=replace(edge.placement, name="late"))],
        Scene(SITES, Link("l"), Budget.parse("latency<=1ms")),
    )
    assert late.names == (NOTHING,)
