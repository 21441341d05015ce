"""A reservoir holds what it may and no more, keeps something of every class, and draws from one domain alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.adapt.reservoir import Kept, Reservoir, strata


def kept(stratum: int, domain: int = 0, device: str = "d", side: int = 2, mark: int = 0) -> Kept:
    return Kept(np.full((side, side, 3), mark % 256, np.uint8), np.eye(12, dtype=np.float32)[stratum], device, domain, stratum)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(1, 6)), max_size=80), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_uncounted_and_nothing_is_over(added: list[tuple[int, int, int]], capacity: int) -> None:
    reservoir = Reservoir(capacity, largest=400)
    gone = sum(reservoir.add(kept(s, d, side=side)) for s, d, side in added)
    assert len(reservoir) + gone == len(added)
    assert len(reservoir) <= capacity and (reservoir.size <= 400 or len(reservoir) == 1)
    assert sum(reservoir.count(d).total() for d in range(3)) == len(reservoir)
    assert sum(reservoir.forget(d) for d in range(3)) + gone == len(added) and len(reservoir) == reservoir.size == 0


def test_a_stream_sorted_by_class_leaves_something_of_every_class() -> None:
    reservoir = Reservoir(40)
    for stratum in range(10):
        for number in range(200):
            reservoir.add(kept(stratum, mark=number))
    counts = reservoir.count(0)
    assert set(counts) == set(range(10)) and max(counts.values()) - min(counts.values()) <= 1
    newest = [s.picture[0, 0, 0] for s in reservoir.draw(40, np.random.default_rng(0), 0) if s.stratum == 3]
    assert min(newest) >= 190, "of each class the newest stay"


def test_a_step_draws_from_one_domain_each_at_most_once_and_not_from_whom_is_doubted() -> None:
    reservoir = Reservoir(100)
    for number in range(60):
        reservoir.add(kept(number % 3, domain=number % 2, device="bad" if number % 5 == 0 else "good", mark=number))
    drawn = reservoir.draw(100, np.random.default_rng(0), 1, {"bad"})
    assert len({id(s) for s in drawn}) == len(drawn) == 24
    assert all(s.domain == 1 and s.device == "good" for s in drawn)
    assert len(reservoir.draw(7, np.random.default_rng(0), 0)) == 7


def test_maps_are_sorted_by_how_much_is_in_them() -> None:
    maps = np.zeros((4, 30), np.float32)
    maps[1, :1], maps[2, :3], maps[3, :20] = 1, 1, 1
    assert strata(maps, "cells") == [0, 1, 2, 5]
