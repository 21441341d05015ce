"""A link transfers exactly what it is given: splitting, order in size and start, and the inverse of its trace."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import ConfigError
from edgewise.core.link import Link, Trace

rates = st.just(0.0) | st.floats(1e3, 1e9)


@st.composite
def traces(draw: st.DrawFn, alive: bool = True) -> Trace:
    steps = draw(st.lists(st.floats(0.01, 30.0), min_size=1, max_size=12))
    passed = draw(st.lists(rates, min_size=len(steps), max_size=len(steps)).filter(lambda r: any(r) or not alive))
    times = [math.fsum(steps[:i]) for i in range(len(steps) + 1)]
    return Trace(tuple(times[:-1]), tuple(passed), times[-1])


links = st.one_of(
    st.builds(Link, st.just("steady"), st.floats(1e3, 1e9), delay=st.floats(0, 1), loss=st.floats(0, 0.5)),
    st.builds(lambda t, d, p: Link("traced", trace_up=t, delay=d, loss=p), traces(), st.floats(0, 1), st.floats(0, 0.5)),
)
starts = st.floats(0, 1e4)
sizes = st.floats(1, 1e7)


def close(a: float, b: float) -> bool:
    return a == pytest.approx(b, rel=1e-9, abs=1e-6)


@given(links, sizes, sizes, starts)
def test_cutting_a_transfer_in_two_changes_nothing(link: Link, a: float, b: float, start: float) -> None:
    assert close(link.sent(a + b, start), link.sent(b, link.sent(a, start)))


@given(links, sizes, sizes, starts)
def test_more_bytes_never_arrive_earlier(link: Link, a: float, b: float, start: float) -> None:
    small, large = sorted((a, b))
    assert link.sent(small, start) <= link.sent(large, start) + 1e-6


@given(links, sizes, starts, st.floats(0, 100))
def test_a_later_start_never_arrives_earlier(link: Link, size: float, start: float, later: float) -> None:
    assert link.sent(size, start) <= link.sent(size, start + later) + 1e-6


@given(links, starts)
def test_nothing_takes_the_delay_alone(link: Link, start: float) -> None:
    assert link.sent(0, start) == start
    assert link.transfer(0, start) == start + link.delay


@given(traces(), sizes, starts)
def test_a_trace_carries_exactly_the_bits_it_was_given(trace: Trace, size: float, start: float) -> None:
    end = Link("traced", trace_up=trace).sent(size, start)
    assert end >= start
    rounding = 1e-8 * max(trace.rates)  # what passes in ten nanoseconds
    assert trace.bits(end) - trace.bits(start) == pytest.approx(size * 8, rel=1e-9, abs=rounding + 1e-6)


@given(traces(), st.floats(1, 1e9))
def test_when_is_the_inverse_of_bits(trace: Trace, bits: float) -> None:
    at = trace.when(bits)
    assert trace.bits(at) == pytest.approx(bits, rel=1e-9, abs=1e-8 * max(trace.rates) + 1e-6)
    assert trace.bits(max(at - 1e-3, 0.0)) <= bits  # and the first such time


@given(traces(alive=False), st.floats(0, 1e4))
def test_a_trace_starts_again(trace: Trace, at: float) -> None:
    assert trace.bits(at + trace.duration) == pytest.approx(
        trace.bits(at) + trace.mean * trace.duration, rel=1e-9, abs=1e-8 * max(trace.rates) + 1e-6
    )


@given(traces(), st.floats(0, 1e3), st.floats(0, 1e3))
def test_bits_is_the_integral_of_rate(trace: Trace, a: float, b: float) -> None:
    low, high = sorted((a, b))
    passed = trace.bits(high) - trace.bits(low)
    assert min(trace.rates) * (high - low) - 1e-2 <= passed <= max(trace.rates) * (high - low) + 1e-2


@given(st.floats(1e3, 1e9), sizes, starts)
def test_a_level_trace_is_a_constant_rate(rate: float, size: float, start: float) -> None:
    level = Link("level", trace_up=Trace((0.0, 1.0), (rate, rate), 2.0))
    assert close(level.sent(size, start), Link("steady", rate_up=rate).sent(size, start))


@given(links, sizes, starts, st.floats(1.01, 100))
def test_a_slower_link_is_never_earlier(link: Link, size: float, start: float, factor: float) -> None:
    if link.trace_up is None:
        slower = Link("slower", link.rate_up / factor, delay=link.delay, loss=link.loss)
    else:
        t = link.trace_up
        slower = Link("slower", trace_up=Trace(t.times, tuple(max(r / factor, 1.0) if r else 0.0 for r in t.rates), t.duration))
        link = Link("traced", trace_up=t)
    assert slower.transfer(size, start) >= link.transfer(size, start) - 1e-6


def test_loss_costs_the_packets_that_are_sent_again() -> None:
    assert Link("lossy", 8e6, loss=0.5).sent(1e6, 0.0) == pytest.approx(2.0)


def test_a_dead_link_never_arrives() -> None:
    assert Link("dead", 0.0).transfer(1, 0.0) == math.inf
    assert Link("dead", trace_up=Trace((0.0,), (0.0,), 1.0)).transfer(1, 5.0) == math.inf


def test_a_transfer_waits_through_dead_seconds() -> None:
    link = Link("gap", trace_up=Trace((0.0, 1.0, 3.0), (8e6, 0.0, 8e6), 4.0))
    assert link.sent(1e6, 0.0) == pytest.approx(1.0)  # ends as the gap begins
    assert link.sent(1e6, 0.5) == pytest.approx(3.5)
    assert link.sent(1e6, 2.0) == pytest.approx(4.0)
    assert link.sent(3e6, 0.0) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("times", "passed", "duration"),
    [
        ((), (), 1.0),
        ((0.0,), (1.0, 2.0), 1.0),
        ((1.0,), (1.0,), 2.0),
        ((0.0, 0.0), (1.0, 1.0), 1.0),
        ((0.0, 2.0, 1.0), (1.0, 1.0, 1.0), 3.0),
        ((0.0, 1.0), (1.0, 1.0), 1.0),
        ((0.0, math.nan), (1.0, 1.0), 2.0),
        ((0.0,), (1.0,), math.nan),
        ((0.0,), (1.0,), math.inf),
        ((0.0,), (-1.0,), 1.0),
        ((0.0,), (math.nan,), 1.0),
        ((0.0,), (math.inf,), 1.0),
        ((0.0,), (5e-324,), 1.0),
    ],
)
def test_a_trace_that_is_none_is_refused(times: tuple[float, ...], passed: tuple[float, ...], duration: float) -> None:
    with pytest.raises(ConfigError, match="trace"):
        Trace(times, passed, duration)


@pytest.mark.parametrize("field", ["rate_up", "rate_down", "delay", "loss"])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_an_impossible_link_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match="impossible"):
        Link("bad", **{field: value})
