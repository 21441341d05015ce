"""Laws of the batcher: nothing lost, nothing twice, one key a run, earliest deadline first, no work for what is too late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.node.batch import Batcher, Item

ITEMS = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 10)), max_size=60)


@given(ITEMS, st.integers(1, 9), st.floats(0, 10))
def test_every_item_leaves_once_in_a_run_of_its_own_key(items: list[tuple[str, float]], largest: int, now: float) -> None:
    batcher: Batcher[int] = Batcher(largest)
    for i, (key, deadline) in enumerate(items):
        assert batcher.add(Item(key, deadline, 0.0, i))
    seen: list[int] = []
    while (batch := batcher.next(now)) is not None:
        assert len(batch.items) <= largest
        assert len({i.key for i in batch.items}) <= 1
        assert all(i.deadline <= now for i in batch.expired)
        assert all(i.deadline > now for i in batch.items)
        deadlines = [i.deadline for i in batch.items]
        assert deadlines == sorted(deadlines)
        seen += [i.value for i in (*batch.items, *batch.expired)]
    assert sorted(seen) == list(range(len(items)))


@given(ITEMS)
def test_the_most_urgent_item_is_in_the_next_run(items: list[tuple[str, float]]) -> None:
    batcher: Batcher[int] = Batcher(4)
    for i, (key, deadline) in enumerate(items):
        batcher.add(Item(key, deadline + 1, 0.0, i))
    batch = batcher.next(0.0)
    if items:
        assert batch is not None
        assert min(d for _, d in items) + 1 in {i.deadline for i in batch.items}
    else:
        assert batch is None


@given(st.lists(st.floats(0.1, 2), min_size=1, max_size=30), st.floats(0.01, 1))
def test_what_cannot_be_in_time_is_refused_before_it_costs_anything(deadlines: list[float], seconds: float) -> None:
    batcher: Batcher[int] = Batcher(4)
    batcher.took("a", seconds)
    for i, deadline in enumerate(deadlines):
        batcher.add(Item("a", deadline, 0.0, i))
    batch = batcher.next(0.0)
    assert batch is not None
    assert all(i.deadline > batcher.seconds("a") for i in batch.items)


def test_one_slow_run_does_not_refuse_for_ever() -> None:
    batcher: Batcher[int] = Batcher()
    batcher.took("a", 60.0)
    for i in range(100):
        batcher.add(Item("a", 0.2, 0.0, i))
        batch = batcher.next(0.0)
        if batch is not None and batch.items:
            return
    raise AssertionError("it never ran again")


def test_a_full_queue_says_no() -> None:
    batcher: Batcher[int] = Batcher(longest=2)
    assert [batcher.add(Item("a", 1.0, 0.0, i)) for i in range(3)] == [True, True, False]


def test_what_is_dropped_is_handed_back_and_never_run() -> None:
    batcher: Batcher[int] = Batcher()
    for i in range(6):
        batcher.add(Item("a", 1.0 + i, 0.0, i))
    assert sorted(i.value for i in batcher.drop(lambda v: v % 2 == 0)) == [0, 2, 4]
    batch = batcher.next(0.0)
    assert batch is not None
    assert [i.value for i in batch.items] == [1, 3, 5]


def test_the_forecast_counts_runs_not_frames() -> None:
    batcher: Batcher[int] = Batcher(largest=4)
    batcher.took("a", 0.1)
    for i in range(9):
        batcher.add(Item("a", 1.0, 0.0, i))
    assert abs(batcher.forecast() - 0.3) < 1e-9
