"""The judge: any broken goes back, all watched goes wide, unknown waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.placement import Quality
from edgewise.core.rollout import Health, Plan
from edgewise.node.delivery.guard import parse
from edgewise.node.delivery.stages import PATIENCE, Candidate, canaries, outcome

PLAN = Plan("yard", "ab" * 32, window=60.0, guard=parse("quality>-0.5pt p95<120ms failed<1%"), least=10)
Q, LESS = Quality(0.9, 0.8, 1, 9), Quality(0.8, 0.7, 0.9, 9)
GOOD = Health(61.0, 100, 0, 0.05, Q, Q)


def candidate(name: str = "a", **more: object) -> Candidate:
    return Candidate(name, **{"step": "trial", "running": True, "health": GOOD, **more})  # type: ignore[arg-type]


@given(st.integers(1, 60), st.floats(0.01, 1))
def test_canaries_are_a_share_and_at_least_one(count: int, share: float) -> None:
    nodes = [f"cam-{i}" for i in range(count)]
    found = canaries(PLAN.release, nodes, share)
    assert 1 <= len(found) <= count
    assert abs(len(found) - share * count) <= 1
    assert set(found) <= set(nodes)
    assert found == canaries(PLAN.release, list(reversed(nodes)), share)


def test_canaries_are_others_for_another_release() -> None:
    nodes = [f"cam-{i}" for i in range(50)]
    assert len({canaries(f"{i:064x}", nodes, 0.1) for i in range(10)}) == 10
    assert canaries(PLAN.release, [], 0.5) == ()


def test_all_watched_and_good_is_good() -> None:
    assert outcome(PLAN, [candidate("a"), candidate("b")]).kind == "good"


def test_any_broken_is_broken() -> None:
    late = candidate("b", health=Health(61.0, 100, 0, 0.2, Q, Q))
    found = outcome(PLAN, [candidate("a"), late])
    assert found.kind == "broken"
    assert "b: p95<120ms is broken: 200 ms" in found.sentence
    for step in ("reverted", "failed"):
        assert outcome(PLAN, [candidate("a"), Candidate("b", step=step, sentence="It burns.")]).kind == "broken"


def test_quality_breaks_at_once_and_latency_when_it_was_watched() -> None:
    assert outcome(PLAN, [candidate(health=Health(1.0, 1, 0, 0.05, LESS, Q))]).kind == "broken"
    assert outcome(PLAN, [candidate(health=Health(1.0, 1, 1, 9.0, Q, Q))]).kind == "wait"


def test_unknown_never_goes_wide_and_says_why() -> None:
    found = outcome(PLAN, [candidate(health=Health(1e6, 10**6, 0, 0.05))])
    assert found.kind == "wait"
    assert "no probe" in found.sentence


def test_what_is_missing_is_waited_for() -> None:
    assert outcome(PLAN, [candidate("a"), Candidate("b", step="fetching", sentence="900 bytes.")]).kind == "wait"
    assert "59 of 60 s" in outcome(PLAN, [candidate(health=Health(59.0, 99, 0, 0.05, Q, Q))]).sentence
    assert "9 of 10 frames" in outcome(PLAN, [candidate(health=Health(99.0, 9, 0, 0.05, Q, Q))]).sentence
    assert outcome(PLAN, []).kind == "wait"


def test_who_is_away_is_passed_over_only_beside_one_that_was_watched() -> None:
    gone, just = Candidate("b", away=PATIENCE + 1), Candidate("b", away=PATIENCE - 1)
    assert outcome(PLAN, [candidate("a"), just]).kind == "wait"
    assert outcome(PLAN, [candidate("a"), gone]).kind == "good"
    assert "passed over: b" in outcome(PLAN, [candidate("a"), gone]).sentence
    assert outcome(PLAN, [gone, Candidate("c", away=9e9)]).kind == "wait"
    assert outcome(PLAN, [candidate("a", away=9e9)]).kind == "good"  # it said enough before it left


def test_who_had_it_in_use_before_says_nothing_of_it() -> None:
    before = candidate("b", step="good", health=None)
    assert outcome(PLAN, [before]).kind == "before"
    assert outcome(PLAN, [before, candidate("a")]).kind == "good"
    assert outcome(PLAN, [before, Candidate("c", step="fetching")]).kind == "wait"
    assert outcome(PLAN, [candidate("b", step="good", health=Health(5.0, 100, 0, 0.05, Q, Q))]).kind == "good"
    assert outcome(PLAN, [candidate("b", step="good", health=Health(5.0, 100, 50, 0.05, Q, Q))]).kind == "broken"
