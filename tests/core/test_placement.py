"""Placements that cannot be are refused, and an operating point's latency follows its link."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.core.placement import OperatingPoint, Part, Placement, Quality

seconds = st.floats(0, 10)
points = st.builds(
    OperatingPoint,
    st.just("p"),
    st.sampled_from(["drop", "local", "split", "image"]),
    bytes_up=st.floats(0, 1e6),
    bytes_down=st.floats(0, 1e4),
    device_time=seconds,
    edge_time=seconds,
)


@pytest.mark.parametrize(
    ("parts", "crossing"),
    [
        ((), ()),
        ((Part("a", "device", 1.0),), ()),
        ((Part("a", "edge", 1.0),), (0.0,)),  # how did the sample get there?
        ((Part("a", "device", 1.0), Part("b", "device", 1.0)), (5.0, 0.0)),  # crosses within a site
        ((Part("a", "device", 1.0),), (5.0,)),
        ((Part("a", "device", 1.0), Part("b", "edge", 1.0)), (-5.0, 0.0)),
        ((Part("a", "device", 1.0), Part("b", "edge", 1.0)), (math.nan, 0.0)),
    ],
)
def test_a_placement_that_cannot_be_is_refused(parts: tuple[Part, ...], crossing: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="placement"):
        Placement("bad", parts, crossing)


@pytest.mark.parametrize(("time", "high"), [(-1.0, None), (math.nan, None), (2.0, 1.0)])
def test_a_part_with_an_impossible_time_is_refused(time: float, high: float | None) -> None:
    with pytest.raises(ConfigError, match="part"):
        Part("bad", "device", time, high)


@given(points, st.floats(1e3, 1e9), st.floats(1, 100), seconds, seconds)
def test_a_worse_link_never_shortens_an_answer(p: OperatingPoint, rate: float, factor: float, delay: float, wait: float) -> None:
    here = p.latency(rate, rate, delay, wait)
    assert p.latency(rate / factor, rate, delay, wait) >= here
    assert p.latency(rate, rate / factor, delay, wait) >= here
    assert p.latency(rate, rate, delay + 1, wait) >= here
    assert p.latency(rate, rate, delay, wait + 1) >= here


@given(points)
def test_who_answers_alone_needs_no_link(p: OperatingPoint) -> None:
    dead = p.latency(0.0, 0.0)
    assert (dead == p.device_time) if p.mode in ("drop", "local") else (dead == math.inf or p.bytes_up + p.bytes_down == 0)


def test_quality_is_looked_up_by_condition() -> None:
    p = OperatingPoint("p", "local", quality={"all": Quality(0.8, 0.7, 0.9, 10), "fog": Quality(0.5, 0.4, 0.6, 10)})
    assert (p.worth("fog"), p.worth("night"), p.worth()) == (0.5, 0.8, 0.8)
