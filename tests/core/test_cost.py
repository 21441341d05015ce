"""The algebra of costs and the budgets over it: laws, and what a budget may never admit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.cost import HIGH, Bound, Budget, Cost, PerSite
from edgewise.core.errors import ConfigError

# Sums of such figures are exact in floating point, so that the laws can be checked with ==.
figures = st.integers(0, 1 << 20).map(float)
known = st.none() | figures
per_site = st.builds(PerSite, known, known, known)


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    latency = draw(known)
    more = draw(known)
    return Cost(
        latency=latency,
        latency_high=None if latency is None or more is None else latency + more,
        bytes_up=draw(figures),
        bytes_down=draw(figures),
        busy=draw(per_site),
        energy=draw(per_site),
        memory=draw(per_site),
        provenance=draw(st.sampled_from(["measured", "modelled", "quoted", "mixed"])),
    )


@given(costs(), costs(), costs())
def test_then_and_beside_are_associative(a: Cost, b: Cost, c: Cost) -> None:
    assert a.then(b).then(c) == a.then(b.then(c))
    assert a.beside(b).beside(c) == a.beside(b.beside(c))


@given(costs(), costs())
def test_order_does_not_change_a_sum(a: Cost, b: Cost) -> None:
    assert a.then(b) == b.then(a)
    assert a.beside(b) == b.beside(a)


@given(costs())
def test_nothing_is_neutral(a: Cost) -> None:
    assert Cost().then(a) == a == a.then(Cost())
    assert Cost().beside(a) == a == a.beside(Cost())


@given(costs(), costs())
def test_beside_is_never_later_and_never_smaller_than_then(a: Cost, b: Cost) -> None:
    one, both = a.then(b), a.beside(b)
    if one.latency is not None and both.latency is not None:
        assert max(a.latency or 0, b.latency or 0) == both.latency <= one.latency
    if one.memory.device is not None and both.memory.device is not None:
        assert one.memory.device <= both.memory.device
    assert (one.energy, one.busy, one.bytes_up) == (both.energy, both.busy, both.bytes_up)


@given(costs(), costs())
def test_what_is_unknown_stays_unknown(a: Cost, b: Cost) -> None:
    for joined in (a.then(b), a.beside(b)):
        assert (joined.latency is None) == (a.latency is None or b.latency is None)
        assert (joined.energy.device is None) == (a.energy.device is None or b.energy.device is None)
        if joined.latency_bound is not None:
            assert a.latency_bound is not None and b.latency_bound is not None


def test_a_sum_has_an_upper_bound_only_where_each_part_has_one() -> None:
    bounded, mean = Cost(latency=0.1, latency_high=0.2), Cost(latency=0.3)
    assert bounded.then(mean).latency_bound is None
    assert bounded.then(Cost()).latency_bound == 0.2
    assert not Budget.parse("p95 latency<=10s").admits(bounded.then(mean))


def test_unlike_provenances_make_a_mixed_sum() -> None:
    measured, quoted = Cost(latency=1.0, provenance="measured"), Cost(latency=1.0, provenance="quoted")
    assert measured.then(quoted).provenance == "mixed"
    assert measured.then(measured).provenance == "measured"
    assert measured.then(Cost()).provenance == "measured"  # adding nothing spoils nothing


bounds = st.one_of(
    st.builds(Bound, st.sampled_from(["latency", "memory", "quality", "miss_rate"]), figures),
    st.builds(
        Bound,
        st.sampled_from(["energy", "device_energy", "bytes_up", "bytes_down"]),
        figures,
        st.sampled_from(["item", "second", "day"]),
    ),
    st.builds(Bound, st.just("latency"), figures, quantile=st.sampled_from([0.9, 0.95, 0.99])),
)
budgets = st.lists(bounds, max_size=4).map(tuple).map(Budget)


@given(budgets, bounds, costs(), known, figures)
def test_another_bound_never_admits_more(budget: Budget, bound: Bound, cost: Cost, quality: float | None, rate: float) -> None:
    tighter = Budget((*budget.bounds, bound))
    assert budget.admits(cost, quality, rate) or not tighter.admits(cost, quality, rate)


@given(bounds, figures, costs(), known, known)
def test_a_tighter_limit_never_admits_more(
    bound: Bound, step: float, cost: Cost, quality: float | None, miss: float | None
) -> None:
    limit = bound.limit + step if bound.metric == "quality" else bound.limit - step
    tighter = Bound(bound.metric, limit, bound.scope, bound.quantile)
    assert Budget((bound,)).admits(cost, quality, 1.0, miss) or not Budget((tighter,)).admits(cost, quality, 1.0, miss)


@given(figures, costs(), st.sampled_from([0.5, 0.9, HIGH]), st.sampled_from([0.9, HIGH, 0.99, 1.0]))
def test_a_higher_quantile_never_admits_more(limit: float, cost: Cost, low: float, high: float) -> None:
    looser, tighter = (Budget((Bound("latency", limit, quantile=q),)) for q in sorted((low, high)))
    assert looser.admits(cost) or not tighter.admits(cost)


@given(budgets, costs(), costs(), figures)
def test_more_work_is_never_more_admissible(budget: Budget, a: Cost, b: Cost, rate: float) -> None:
    for more in (a.then(b), a.beside(b)):
        assert budget.admits(a, 1.0, rate, 0.0) or not budget.admits(more, 1.0, rate, 0.0)


@given(budgets, costs(), figures, figures)
def test_more_items_are_never_more_admissible(budget: Budget, cost: Cost, rate: float, more: float) -> None:
    assert budget.admits(cost, 1.0, rate, 0.0) or not budget.admits(cost, 1.0, rate + more, 0.0)


@given(costs(), known)
def test_a_budget_never_admits_what_it_cannot_see(cost: Cost, quality: float | None) -> None:
    for metric, seen in (
        ("latency", cost.latency),
        ("energy", cost.energy.total),
        ("memory", cost.memory.device),
        ("quality", quality),
    ):
        limit = 0.0 if metric == "quality" else math.inf
        assert Budget((Bound(metric, limit),)).admits(cost, quality) == (seen is not None)  # type: ignore[arg-type]


def test_no_number_is_never_admitted() -> None:
    assert not Budget.parse("latency<=1s").admits(Cost(latency=math.nan))
    assert not Budget.parse("quality>=0.1").admits(Cost(), quality=math.nan)
    assert "unknown" in Budget.parse("miss_rate<=5%").violations(Cost(), miss_rate=None)[0]


@given(budgets)
def test_a_written_budget_reads_back(budget: Budget) -> None:
    assert Budget.parse(", ".join(str(b) for b in budget.bounds)) == budget


@pytest.mark.parametrize(
    ("text", "metric", "limit", "scope", "quantile"),
    [
        ("latency<=80ms", "latency", 0.08, "item", 0.5),
        ("p95 latency <= 0.1 s", "latency", 0.1, "item", 0.95),
        ("device_energy<=0.5J/s", "device_energy", 0.5, "second", 0.5),
        ("bytes_up < 20KB", "bytes_up", 20e3, "item", 0.5),
        ("energy<=90kJ/day", "energy", 90e3, "day", 0.5),
        ("quality>=80%", "quality", 0.8, "item", 0.5),
    ],
)
def test_a_bound_in_words(text: str, metric: str, limit: float, scope: str, quantile: float) -> None:
    (bound,) = Budget.parse(text).bounds
    assert (bound.metric, bound.scope, bound.quantile) == (metric, scope, quantile)
    assert bound.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text",
    [
        "latency",
        "speed<=3",
        "latency<=80KB",  # a latency in bytes
        "bytes_up<=3s",
        "quality<=0.5",
        "latency>=1s",
        "latency<=80ms/s",  # latencies do not add up over a second
        "quality>=0.8/day",
        "p95 energy<=1J",  # no upper bound of an energy is known
        "latency<=e",
    ],
)
def test_a_bound_that_makes_no_sense_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"bound|budget"):
        Budget.parse(text)


def test_a_day_is_counted_by_items() -> None:
    cost = Cost(bytes_up=1000.0)
    assert Budget.parse("bytes_up<=864MB/day").admits(cost, rate=10)
    assert not Budget.parse("bytes_up<=863MB/day").admits(cost, rate=10)
    assert "bytes_up" in Budget.parse("bytes_up<=5KB/s").violations(cost, rate=10)[0]


def test_a_long_or_blank_budget_takes_no_time_to_refuse() -> None:
    """Found by fuzzing: the pattern tried every way to share out a run of blanks among its optional pieces."""
    with pytest.raises(ConfigError, match="too long"):
        Budget.parse("bytes_up<=2" + "\n" * 4000)
    with pytest.raises(ConfigError, match="cannot be read"):
        Budget.parse("bytes_up<=2" + "\n" * 900 + "!")
    assert Budget.parse("bytes_up\n<=  2\tKB").bounds[0].limit == 2000
