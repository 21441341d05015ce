"""A bucket: never more than its rate and what it holds, in any interval; no burst after hours; a refusal costs nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.adapt.bucket import HOLD, Bucket, filled, returned, take

ASKS = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 30)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.floats(0.1, 5), st.floats(0, 6), ASKS)
def test_no_interval_ever_sees_more_than_rate_and_what_is_held(rate: float, hold: float, asks: list[tuple[float, float]]) -> None:
    bucket, now, given_ = Bucket(rate, hold), 0.0, []
    for wait, amount in asks:
        now += wait
        bucket, yes = take(bucket, amount, now)
        given_.append((now, amount if yes else 0.0))
        assert bucket.left >= 0
    most = max(bucket.held, *(amount for _, amount in asks))
    for i, (begin, _) in enumerate(given_):
        for j in range(i, len(given_)):
            total = sum(amount for _, amount in given_[i : j + 1])
            assert total <= rate * (given_[j][0] - begin) + most + 1e-6


def test_a_device_that_was_away_for_hours_has_no_burst() -> None:
    bucket, _ = take(Bucket(rate=2.0), 1, 0.0)
    got = 0
    for i in range(200):
        bucket, yes = take(bucket, 1, 3 * 3600 + i / 1000)
        got += yes
    assert got <= 2.0 * HOLD + 1


def test_it_begins_empty() -> None:
    assert not take(Bucket(rate=100.0), 1, 1e6)[1]


def test_a_steady_asker_gets_the_rate() -> None:
    for rate, amount in ((1.0, 1.0), (1000.0, 20_000.0)):  # also where one amount is more than is ever held
        bucket, total = Bucket(rate), 0.0
        for i in range(30 * 600):
            bucket, yes = take(bucket, amount, i / 30)
            total += amount * yes
        assert total == pytest.approx(rate * 600, rel=0.04)


def test_what_was_saved_for_a_large_amount_does_not_stay_for_others() -> None:
    bucket, yes = take(filled(Bucket(rate=1.0, hold=2.0), 0.0), 100, 90.0)
    assert not yes and bucket.left == 90
    bucket, yes = take(bucket, 1, 90.0)
    assert yes and bucket.left == 2


@pytest.mark.parametrize("when", [math.nan, math.inf, -math.inf, -5.0])
def test_a_clock_that_lies_brings_nothing(when: float) -> None:
    bucket, _ = take(Bucket(rate=1.0), 1.0, 0.0)
    assert take(bucket, 0.5, when)[1] is False
    assert filled(filled(bucket, when), 1.0).left == 1.0


def test_nothing_impossible_is_given() -> None:
    full = filled(filled(Bucket(rate=1.0), 0.0), 4.0)
    for amount in (-1.0, math.nan, math.inf):
        assert take(full, amount, 4.0) == (full, False)
    assert not take(filled(Bucket(rate=0.0), 0.0), 0.0, 9.0)[1]  # no rate, nothing


def test_what_did_not_go_is_given_back_and_no_more() -> None:
    full = filled(filled(Bucket(rate=1.0), 0.0), 4.0)
    taken, _ = take(full, 3.0, 4.0)
    assert returned(taken, 3.0) == full
    assert returned(full, 3.0) == full
