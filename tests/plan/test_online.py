"""The policy on the device: what it believes of the link, and what it does with that."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.cost import Budget
from edgewise.core.placement import OperatingPoint, Quality, layered
from edgewise.plan.online import LinkEstimate, OnlinePolicy, Situation


def quality(value: float, **conditions: float) -> dict[str, Quality]:
    return {name: Quality(v, v, v, 1) for name, v in {"all": value, **conditions}.items()}


LOCAL = OperatingPoint("local", "local", device_time=0.02, quality=quality(0.6))
SPLIT = OperatingPoint("split-4", "split", "affine", 4, 2_000, 0, 0.01, 0.005, quality(0.8))
IMAGE = OperatingPoint("jpeg-75", "image", "jpeg", 75, 30_000, 0, 0.004, 0.01, quality(0.9))
POINTS = (LOCAL, SPLIT, IMAGE, OperatingPoint("drop", "drop"))
GOOD = Situation(now=10.0, left=0.2, connected=True)


def taught(rate: float, points: tuple[OperatingPoint, ...] = POINTS, **options: object) -> OnlinePolicy:
    """A policy that has seen thirty frames pass at `rate` (bit/s)."""
    policy = OnlinePolicy(points, interval=0.1, **options)  # type: ignore[arg-type]
    for i in range(30):
        policy.link.observe(5_000, 40_000 / rate, now=i / 10)
    policy.link.trip(0.01)
    return policy


@given(st.floats(1e4, 2e7), st.integers(0, 99))
def test_the_estimate_finds_the_rate_of_a_steady_link(rate: float, seed: int) -> None:
    link, noise = LinkEstimate(), random.Random(seed)
    for i in range(60):
        size = noise.randint(5_000, 60_000)
        link.observe(size, size * 8 / rate * math.exp(noise.gauss(0, 0.1)), now=i / 10)
    assert 0.7 * rate < link.rate < 1.4 * rate


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.floats(0.001, 5), st.floats(0.001, 5))
def test_more_bytes_or_less_time_never_raise_the_chance(a: int, b: int, s: float, t: float) -> None:
    link = LinkEstimate()
    assert link.chance(max(a, b), min(s, t), 0.0) <= link.chance(min(a, b), max(s, t), 0.0)


@given(st.integers(1, 10**6), st.floats(0.002, 10))
def test_waiting_for_an_answer_never_raises_the_rate(size: int, seconds: float) -> None:
    link = LinkEstimate()
    before = link.rate
    link.bound(size, seconds, now=1.0)
    assert link.rate <= before
    assert link.rate <= max(size * 8 / seconds, 0) * 1.0001 or link.rate == before


def test_a_collapse_is_believed_after_one_frame_and_doubt_remains() -> None:
    policy = taught(2e7)
    policy.link.observe(30_000, 0.8, now=4.0)
    assert policy.link.rate == pytest.approx(3e5)
    assert policy.link.spread >= 0.5


def test_jitter_of_small_frames_is_not_taken_for_a_slow_link() -> None:
    link, noise = LinkEstimate(rate=2e7), random.Random(1)
    link.trip(0.01)
    for i in range(100):
        link.trip(0.01 + noise.expovariate(1 / 0.005))
        link.observe(90, 90 * 8 / 2e7 + noise.expovariate(1 / 0.005), now=i / 10)
    assert link.rate > 3e5, "taken at face value these frames say 0.14 Mbit/s"


@pytest.mark.parametrize(("rate", "route"), [(2e7, "jpeg-75"), (5e5, "split-4"), (2e4, "local")])
def test_the_route_follows_the_link(rate: float, route: str) -> None:
    policy = taught(rate)
    policy.decide(GOOD)  # a first look may try the link
    assert policy.decide(Situation(10.05, 0.2, True)).route == route


def test_without_a_server_the_device_answers_alone_and_says_so() -> None:
    decision = taught(2e7).decide(Situation(10.0, 0.2, connected=False))
    assert decision.route == "local"
    assert "no server" in decision.why


def test_when_no_way_fits_the_time_left_the_frame_is_dropped() -> None:
    decision = taught(2e7).decide(Situation(10.0, 0.001, True))
    assert decision.route == "drop"
    assert "ms are left" in decision.why


def test_bytes_still_under_way_count() -> None:
    policy = taught(5e6)
    assert policy.decide(GOOD).route == "jpeg-75"
    assert policy.decide(Situation(10.1, 0.2, True, backlog=400_000, oldest=0.05)).route == "local"


def test_a_busy_server_makes_the_device_answer_alone() -> None:
    policy = taught(2e7)
    for _ in range(20):
        policy.observe_server("jpeg-75", wait=0.5, busy=0.01)
    assert policy.decide(Situation(10.1, 0.2, True)).route in ("local", "split-4")
    assert policy.decide(Situation(10.2, 0.2, True)).route == "local"


def test_the_budget_bars_points_whatever_the_link() -> None:
    policy = taught(2e7, budget=Budget.parse("bytes_up<=50KB/s"))
    assert "jpeg-75" in policy.barred
    assert policy.decide(GOOD).route == "split-4"


def test_a_budget_that_bars_everything_drops_with_its_sentence() -> None:
    decision = taught(2e7, budget=Budget.parse("quality>=0.99")).decide(GOOD)
    assert decision.route == "drop"
    assert "quality" in decision.why


def test_the_condition_decides_which_figures_count() -> None:
    night = OperatingPoint("split-4", "split", "affine", 4, 2_000, 0, 0.01, 0.005, quality(0.8, night=0.3))
    policy = taught(5e5, points=(LOCAL, night))
    assert policy.decide(Situation(10.0, 0.2, True)).route == "split-4"
    assert policy.decide(Situation(11.0, 0.2, True, condition="night")).route == "local", "nor does it try a worse answer"


def test_two_points_of_nearly_the_same_worth_do_not_alternate() -> None:
    a = OperatingPoint("a", "split", "affine", 4, 2_000, 0, 0.01, 0.005, quality(0.800))
    b = OperatingPoint("b", "split", "affine", 8, 2_100, 0, 0.01, 0.005, quality(0.803))
    policy, noise = taught(1e6, points=(LOCAL, a, b)), random.Random(0)
    routes = []
    for i in range(100):
        policy.link.observe(2_000, 0.016 * math.exp(noise.gauss(0, 0.2)), now=10 + i / 10)
        routes.append(policy.decide(Situation(10 + i / 10, 0.2, True)).route)
    assert sum(x != y for x, y in pairwise(routes)) <= 2


def test_answering_alone_it_tries_the_link_now_and_then() -> None:
    policy = taught(2e4)
    routes = [policy.decide(Situation(10 + i / 10, 0.2, True)).route for i in range(40)]
    tries = [i for i, r in enumerate(routes) if r == "split-4"]
    assert 5 <= len(tries) <= 10
    assert routes.count("local") == 40 - len(tries)


def test_a_budget_of_energy_needs_a_figure_of_energy() -> None:
    budget = Budget.parse("device_energy<=0.05J")
    blind = taught(2e7, budget=budget)
    assert "unknown" in blind.barred["split-4"]

    def joules(busy: float, up: float, down: float, rate_up: float, rate_down: float, latency: float) -> float:
        return 2 * busy + 1e-6 * up

    seeing = taught(2e7, budget=budget, joules=joules)
    assert set(seeing.barred) == set()
    dear = taught(2e7, budget=Budget.parse("device_energy<=0.03J"), joules=joules)
    assert set(dear.barred) == {"local", "jpeg-75"}
    assert dear.decide(GOOD).route == "split-4"
    assert dear.insurer() is None, "what the budget bars does not stand by either"


def test_a_latency_bound_bars_what_the_link_is_too_slow_for() -> None:
    policy = taught(5e5, budget=Budget.parse("p95 latency<=100ms"))
    policy.decide(GOOD)
    assert "jpeg-75" in policy.barred
    assert "split-4" not in policy.barred


def test_what_a_bad_link_barred_is_tried_again() -> None:
    policy = taught(2e4, budget=Budget.parse("p95 latency<=150ms"))
    routes = [policy.decide(Situation(10 + i / 10, 0.2, True)).route for i in range(20)]
    assert "split-4" in policy.barred
    assert "split-4" in routes, "else the estimate would never change again"
    floor = taught(2e4, budget=Budget.parse("p95 latency<=150ms, quality>=0.7"))
    routes = [floor.decide(Situation(10 + i / 10, 0.2, True)).route for i in range(20)]
    assert set(routes) == {"drop", "split-4"}, "also where nothing stands by"


def test_what_the_server_refuses_is_not_tried() -> None:
    policy = taught(2e7)
    policy.refused = {"jpeg-75": "no such model", "split-4": "no such model"}
    assert {policy.decide(Situation(10 + i / 10, 0.2, True)).route for i in range(20)} == {"local"}


def test_layers_of_known_worth_are_sent_by_what_they_promise_and_never_below_what_stands_by() -> None:
    """The first layer alone is worth less than the local answer: it is not sent in its place while more may pass."""
    point = msgspec.structs.replace(SPLIT, quality=quality(0.9) | layered([Quality(v, v, v, 1) for v in (0.2, 0.7, 0.9)]))
    ends = (700, 1_400, 2_000)
    slow = taught(9e4, (LOCAL, point))  # 0.2 s pass 2.2 KB: all three may, one surely does
    assert slow.layers("split-4", ends, Situation(4.0, 0.15, True)) > 1
    assert taught(9e4, (SPLIT,)).layers("split-4", ends, Situation(4.0, 0.15, True)) == 1, "the worth is unknown: what is sure"
    assert taught(2e7, (LOCAL, point)).layers("split-4", ends, Situation(4.0, 0.15, True)) == 3


def test_a_point_in_layers_is_chosen_on_a_link_that_only_some_of_them_pass() -> None:
    steps = layered([Quality(v, v, v, 1) for v in (0.75, 0.78, 0.8)])
    point = msgspec.structs.replace(SPLIT, bytes_up=6_000, quality=quality(0.8) | steps)
    whole = msgspec.structs.replace(SPLIT, bytes_up=6_000)
    assert "the local answer stands by" in taught(1.5e5, (LOCAL, whole)).decide(GOOD).why, "only to try the link"
    chosen = taught(1.5e5, (LOCAL, point)).decide(GOOD)
    assert chosen.route == "split-4" and "in time with" in chosen.why


def test_learning_is_drawn_by_the_seed_at_its_share_and_not_for_frames_that_are_dropped() -> None:
    def drawn(seed: int) -> list[bool]:
        policy = taught(2e7, learn=0.2, seed=seed)
        return [policy.decide(msgspec.structs.replace(GOOD, now=10 + i / 10)).learn for i in range(500)]

    assert 60 < sum(drawn(1)) < 140
    assert drawn(1) == drawn(1) != drawn(2)
    assert not any(taught(2e7, learn=1.0).decide(msgspec.structs.replace(GOOD, left=-1.0)).learn for _ in range(5))


def test_what_the_filter_leaves_out_tried_nothing_with_the_link() -> None:
    policy = taught(2e4)
    first = policy.decide(msgspec.structs.replace(GOOD, now=20.0))
    assert "tries the link" in first.why
    policy.observe_filter(passed=False)
    assert "tries the link" in policy.decide(msgspec.structs.replace(GOOD, now=20.1)).why
    policy.observe_filter(passed=True)
    assert "tries the link" not in policy.decide(msgspec.structs.replace(GOOD, now=20.2)).why


def test_a_frame_in_layers_outlives_its_point_in_a_swap() -> None:
    """Its turn may come after other points were adopted, without its own."""
    policy = taught(1e6)
    policy.adopt((LOCAL, IMAGE))
    soon = Situation(now=3.0, left=0.1, connected=True)
    assert policy.layers("split-4", (500, 1_000, 40_000), soon) == 2, "as many as are sure to be in time"
