"""A device unlike all others teaches nobody; devices that differ a little all teach; nobody fills a step alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewise.adapt.suspicion import Rules, Standing, doubted, fair, noted

RULES = Rules()


def standing(disagreement: float, doubt: float, samples: int = 60, seed: int = 0) -> Standing:
    random = np.random.default_rng(seed)
    found = Standing()
    for _ in range(samples):
        found = noted(found, float(random.random() < disagreement), doubt + random.normal(0, 0.05))
    return found


def test_means_of_few_are_plain_and_of_many_forget() -> None:
    found = Standing()
    for value in (1.0, 0.0, 0.0, 1.0):
        found = noted(found, value, value / 2)
    assert (found.samples, found.disagreement, found.doubt) == (4, 0.5, 0.25)
    for _ in range(600):
        found = noted(found, 0.0, 0.0)
    assert found.disagreement < 0.01


def test_garbage_is_doubted_and_a_darker_corner_is_not() -> None:
    fleet = {f"device {i}": standing(0.3 + 0.05 * i, 0.2, seed=i) for i in range(4)}
    assert not doubted(fleet, RULES)
    assert doubted(fleet | {"garbage": standing(0.9, 0.8)}, RULES) == {"garbage"}
    assert doubted(fleet | {"misjudged": standing(0.95, 0.1)}, RULES) == {"misjudged"}
    assert not doubted(fleet | {"new": standing(1.0, 0.9, samples=10)}, RULES), "of ten samples nobody knows"


def test_of_two_nobody_knows_which_is_odd() -> None:
    assert not doubted({"a": standing(0.1, 0.1), "b": standing(0.9, 0.9)}, RULES)


def test_who_behaves_again_is_trusted_again() -> None:
    fleet = {f"device {i}": standing(0.3, 0.2, seed=i) for i in range(4)}
    bad = standing(0.95, 0.2)
    assert doubted(fleet | {"x": bad}, RULES) == {"x"}
    for _ in range(200):
        bad = noted(bad, 0.3, 0.2)
    assert not doubted(fleet | {"x": bad}, RULES)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 32))
def test_a_fair_choice_is_of_whom_there_is_and_no_more_than_a_half_of_one(devices: list[str], number: int) -> None:
    places = fair(devices, number)
    assert len(set(places)) == len(places) <= number
    counts = {d: sum(devices[i] == d for i in places) for d in set(devices)}
    if len(counts) > 1:
        assert max(counts.values()) <= max(1, number // 2)
    else:
        assert len(places) == min(number, len(devices))
    for d, count in counts.items():  # the newest of each
        assert [i for i in places if devices[i] == d] == [i for i, x in enumerate(devices) if x == d][
            len([x for x in devices if x == d]) - count :
        ]
