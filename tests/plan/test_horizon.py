"""Looking over a whole trace: the median, the 95th percentile and the misses, each against a count by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.cost import Cost, PerSite
from edgewise.core.link import Link, Trace
from edgewise.plan.horizon import over, quantile, starts

figures = st.lists(st.floats(0, 100), min_size=1, max_size=50)


@given(figures, st.floats(0.01, 1.0))
def test_a_quantile_covers_its_share_and_no_smaller_figure_does(found: list[float], share: float) -> None:
    q = quantile(found, share)
    assert sum(f <= q for f in found) >= share * len(found) - 1e-6
    assert q == min(found) or sum(f < q for f in found) < share * len(found) + 1e-6


@given(figures, st.floats(0, 100))
def test_misses_are_counted(latencies: list[float], deadline: float) -> None:
    outlook = over(lambda at: Cost(latency=latencies[int(at)], latency_high=latencies[int(at)]), range(len(latencies)), deadline)
    assert outlook.miss_rate == pytest.approx(sum(t > deadline for t in latencies) / len(latencies))
    assert outlook.cost.latency is not None and outlook.cost.latency_high is not None
    assert min(latencies) <= outlook.cost.latency <= outlook.cost.latency_high <= max(latencies)
    assert outlook.n == len(latencies)


def test_starts_are_spread_over_the_longer_trace() -> None:
    link = Link("t", trace_up=Trace((0.0,), (1.0,), 10.0), trace_down=Trace((0.0,), (1.0,), 20.0))
    found = starts(link, 4)
    assert found == (2.5, 7.5, 12.5, 17.5)
    assert starts(Link("steady", 1e6)) == (0.0,)


def test_one_unknown_moment_makes_the_outlook_unknown() -> None:
    costs = [Cost(latency=1.0, energy=PerSite(2.0)), Cost(latency=None, energy=PerSite(None))]
    outlook = over(lambda at: costs[int(at)], (0.0, 1.0), deadline=5.0)
    assert (outlook.cost.latency, outlook.miss_rate, outlook.cost.energy.device) == (None, None, None)


def test_energy_is_the_mean_over_the_moments() -> None:
    outlook = over(lambda at: Cost(latency=1.0, energy=PerSite(at)), (1.0, 2.0, 6.0))
    assert outlook.cost.energy.device == pytest.approx(3.0)
    assert outlook.miss_rate is None
