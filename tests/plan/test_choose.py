"""The exact choice: equal to brute force on tiny tables, with a reason for every option, and monotone in the budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.core.cost import Bound, Budget, Cost, PerSite
from edgewise.core.errors import ConfigError
from edgewise.plan.choose import OBJECTIVES, Objective, Option, best, choose, dominates, figure

few = st.integers(0, 4).map(float)  # few values, so that ties and dominance are common
known = st.none() | few


@st.composite
def options(draw: st.DrawFn, name: str = "o") -> Option:
    latency = draw(known)
    cost = Cost(
        latency=latency,
        latency_high=None if latency is None else draw(st.none() | few.map(lambda x: x + latency)),
        bytes_up=draw(few),
        bytes_down=draw(few),
        energy=PerSite(draw(known), draw(known), 0.0),
        memory=PerSite(draw(known)),
    )
    return Option(name, cost, draw(known), draw(known), draw(st.sampled_from(["", "whole"])))


tables = st.lists(options(), max_size=7).map(lambda found: [replace(o, name=f"o{i}") for i, o in enumerate(found)])
bounds = st.builds(
    Bound, st.sampled_from(["latency", "energy", "device_energy", "bytes_up", "memory", "quality", "miss_rate"]), few
) | st.builds(Bound, st.just("latency"), few, quantile=st.just(0.95))
budgets = st.lists(bounds, max_size=3).map(tuple).map(Budget)
objectives = st.sampled_from(OBJECTIVES)


@given(tables, budgets, objectives)
def test_the_choice_is_that_of_brute_force(table: list[Option], budget: Budget, objective: Objective) -> None:
    choice = choose(table, budget, objective)
    shorter = best(table, budget, objective)
    assert choice.chosen == (None if shorter is None else shorter.name)
    fits = [o for o in table if budget.admits(o.cost, o.quality, 1.0, o.miss_rate) and figure(o, objective) is not None]
    if not fits:
        assert choice.chosen is None
        return
    taken = next(o for o in table if o.name == choice.chosen)
    assert taken in fits
    sign = -1 if objective == "quality" else 1
    assert sign * (figure(taken, objective) or 0.0) == min(sign * (figure(o, objective) or 0.0) for o in fits)


@given(tables, budgets, objectives)
def test_every_other_option_has_its_reason(table: list[Option], budget: Budget, objective: Objective) -> None:
    choice = choose(table, budget, objective)
    assert {r.name for r in choice.rejected} == {o.name for o in table} - {choice.chosen}
    named = {o.name: o for o in table}
    for rejection in choice.rejected:
        assert rejection.why
        if rejection.why.startswith("dominated by"):
            ruler = rejection.why.removeprefix("dominated by ").split(":")[0]
            assert dominates(named[ruler], named[rejection.name])
            assert budget.admits(named[ruler].cost, named[ruler].quality, 1.0, named[ruler].miss_rate)


@given(tables, budgets, bounds, objectives)
def test_a_tighter_budget_never_gives_a_better_choice(
    table: list[Option], budget: Budget, bound: Bound, objective: Objective
) -> None:
    loose = choose(table, budget, objective)
    tight = choose(table, Budget((*budget.bounds, bound)), objective)
    named = {o.name: o for o in table}
    if tight.chosen is None:
        return
    assert loose.chosen is not None
    sign = -1 if objective == "quality" else 1
    assert sign * (figure(named[loose.chosen], objective) or 0.0) <= sign * (figure(named[tight.chosen], objective) or 0.0)


@given(tables, budgets, objectives, st.randoms(use_true_random=False))
def test_the_order_of_a_table_does_not_matter(table: list[Option], budget: Budget, objective: Objective, rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(table)
    rng.shuffle(shuffled)
    one, other = choose(table, budget, objective), choose(shuffled, budget, objective)
    assert (one.chosen, one.why) == (other.chosen, other.why)
    assert set(one.rejected) == set(other.rejected)


@given(options(), options(), options())
def test_dominance_is_strict_and_never_runs_in_a_circle(a: Option, b: Option, c: Option) -> None:
    assert not dominates(a, a)
    assert not (dominates(a, b) and dominates(b, a))


@given(options(), options(), budgets)
def test_what_a_budget_admits_of_the_worse_it_admits_of_the_better(a: Option, b: Option, budget: Budget) -> None:
    if dominates(a, b) and budget.admits(b.cost, b.quality, 1.0, b.miss_rate):
        assert budget.admits(a.cost, a.quality, 1.0, a.miss_rate)


def test_an_unknown_quality_is_compared_only_where_the_answers_are_the_same() -> None:
    fast, slow = Cost(latency=1.0), Cost(latency=2.0)
    assert dominates(Option("a", fast, answer="whole"), Option("b", slow, answer="whole"))
    assert not dominates(Option("a", fast, answer="JPEG"), Option("b", slow, answer="whole"))
    assert not dominates(Option("a", fast), Option("b", slow))


def test_reasons_are_sentences_with_figures() -> None:
    table = [
        Option("near", Cost(latency=0.1, bytes_up=10.0), 0.8),
        Option("worse", Cost(latency=0.2, bytes_up=10.0), 0.7),
        Option("lean", Cost(latency=0.15, bytes_up=1.0), 0.8),
        Option("late", Cost(latency=0.9), 0.9),
        Option("dark", Cost(latency=None), 0.9),
    ]
    choice = choose(table, Budget.parse("latency<=0.5s"))
    why = {r.name: r.why for r in choice.rejected}
    assert choice.chosen == "near" and "best of 3" in choice.why
    assert why["worse"] == "dominated by near: latency 0.1 s against 0.2 s, quality 0.8 against 0.7"
    assert why["lean"] == "near is better by latency: 0.1 s against 0.15 s"
    assert why["late"] == "latency 0.9 s breaks latency <= 0.5 s"
    assert why["dark"] == "latency is unknown, so latency <= 0.5 s cannot be promised"


def test_where_nothing_fits_the_nearest_is_named() -> None:
    table = [Option("a", Cost(latency=3.0, bytes_up=9.0)), Option("b", Cost(latency=2.0, bytes_up=1.0))]
    choice = choose(table, Budget.parse("latency<=1s, bytes_up<=5"))
    assert choice.chosen is None and "b breaks the fewest bounds: latency 2 s breaks" in choice.why
    assert choose([], Budget()).why == "there is no option"
    unknown = choose([Option("a", Cost())], Budget(), "quality")
    assert unknown.chosen is None and unknown.why == "quality is unknown for every option that fits"


def test_no_number_is_never_chosen() -> None:
    table = [Option("nan", Cost(latency=math.nan)), Option("real", Cost(latency=5.0))]
    assert choose(table, Budget()).chosen == "real"


def test_two_options_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="share a name"):
        choose([Option("a", Cost()), Option("a", Cost())], Budget())
