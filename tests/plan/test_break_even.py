"""Break-even rates in closed form, checked against the cost model that they must agree with."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.core.link import Link, Load, Trace
from edgewise.core.placement import Part, Placement
from edgewise.plan.break_even import Line, break_even, fastest, line, steady
from edgewise.plan.evaluate import evaluate

lines = st.builds(Line, st.just("x"), st.floats(1e-3, 2), st.just(0.0) | st.floats(1e3, 1e7))


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    head, tail = draw(st.floats(1e-3, 1)), draw(st.floats(1e-3, 1))
    up, down = draw(st.floats(100, 1e6)), draw(st.floats(0, 1e3))
    if draw(st.booleans()):
        return Placement("local", (Part("all", "device", head + tail),), (0.0,))
    return Placement(f"cut {head:g}", (Part("head", "device", head), Part("tail", "edge", tail)), (up, down))


@given(placements(), placements(), st.floats(0, 0.3), st.floats(0, 0.1), st.floats(0, 0.2))
def test_the_closed_form_agrees_with_the_cost_model(a: Placement, b: Placement, loss: float, delay: float, wait: float) -> None:
    a, b = replace(a, name="a"), replace(b, name="b")
    link, load = Link("l", 1e6, 1e7, delay, loss), Load(wait)
    x, y = line(a, link, load), line(b, link, load)
    assert x is not None and y is not None
    even = break_even(x, y)

    def latency(p: Placement, rate: float) -> float:
        found = evaluate(p, {}, steady(link, rate), load).latency
        assert found is not None
        return found

    if even.rate is None:
        difference = [latency(a, r) - latency(b, r) for r in (1e3, 1e5, 1e7, 1e9)]
        assert max(difference) <= 1e-6 if even.above == a.name else min(difference) >= -1e-6
        return
    at = latency(a, even.rate)
    assert at == pytest.approx(latency(b, even.rate), rel=1e-6)
    named = {a.name: a, b.name: b}
    assert latency(named[even.above], even.rate * 1.01) <= latency(named[even.below], even.rate * 1.01) + 1e-12
    assert latency(named[even.below], even.rate / 1.01) <= latency(named[even.above], even.rate / 1.01) + 1e-12


@given(st.lists(lines, min_size=1, max_size=12), st.lists(st.floats(1, 1e10), min_size=1, max_size=20))
def test_the_fastest_line_is_the_fastest_by_brute_force(drawn: list[Line], rates: list[float]) -> None:
    named = [Line(f"l{i}", x.seconds, x.bits) for i, x in enumerate(drawn)]
    stretches = fastest(named)
    assert (stretches[0].low, stretches[-1].high) == (0.0, math.inf)
    assert all(a.high == b.low for a, b in itertools.pairwise(stretches))
    best = {x.name: x for x in named}
    for rate in rates:
        here = next(s for s in stretches if s.low <= rate <= s.high)
        assert best[here.name].latency(rate) <= min(x.latency(rate) for x in named) * (1 + 1e-9)


@given(st.lists(lines, min_size=2, max_size=8))
def test_the_fastest_changes_hands_at_break_even_rates(drawn: list[Line]) -> None:
    named = {f"l{i}": Line(f"l{i}", x.seconds, x.bits) for i, x in enumerate(drawn)}
    stretches = fastest(list(named.values()))
    for slow, fast in itertools.pairwise(stretches):
        even = break_even(named[slow.name], named[fast.name])
        assert even.rate is not None and (even.below, even.above) == (slow.name, fast.name)
        assert even.rate == pytest.approx(slow.high, rel=1e-6)


def test_the_rate_of_the_notes() -> None:
    """Entropic Student against JPEG at 224²: 8.3 and 2.26 KB, 20.7 ms apart: 0.29 MB/s."""
    even = break_even(Line("features", 15.8e-3 + 2.2e-3 + 2.9e-3, 2.26e3 * 8), Line("JPEG", 0.2e-3, 8.3e3 * 8))
    assert even.rate is not None and even.above == "JPEG"
    assert even.rate / 8 == pytest.approx(0.29e6, rel=0.01)


def test_who_sends_more_and_works_longer_is_never_faster() -> None:
    even = break_even(Line("a", 0.2, 100.0), Line("b", 0.1, 50.0))
    assert (even.rate, even.above, even.below) == (None, "b", "b")
    assert str(even) == "b is never slower than a"
    assert [s.name for s in fastest([Line("a", 0.2, 100.0), Line("b", 0.1, 50.0)])] == ["b"]


def test_a_trace_counts_as_its_mean() -> None:
    link = Link("t", trace_up=Trace((0.0, 1.0), (2e6, 4e6), 2.0), trace_down=Trace((0.0,), (8e6,), 1.0))
    assert (steady(link).rate_up, steady(link).rate_down) == (3e6, 8e6)
    cut = Placement("cut", (Part("head", "device", 0.1), Part("tail", "edge", 0.2)), (1e3, 1e6))
    assert line(cut, link) == Line("cut", pytest.approx(0.1 + 0.2 + 1.0), 8e3)
    assert line(Placement("dark", (Part("all", "device", None),), (0.0,)), link) is None
