"""Laws of curves: a method against itself saves nothing, half the bytes are −50 %, points that are beaten change nothing,
nothing is said outside, and an interval holds the truth about as often as it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.rates.curves import accuracy_at, against, bd_rate, bytes_at, curve, drawings, front, saving, spread
from bench.rates.record import About, Record
from edgewise.core.errors import ConfigError

N = 400
WEIGHTS = drawings(N, 200)
HARD = np.random.default_rng(5).random(N)  # a picture is right where the method is better than it is hard
EVEN = (np.arange(N) + 0.5) / N
TEACHER = Record(About("teacher", "whole"), (EVEN < 0.9).astype(float), np.full(N, 4000))


def record(method: str, point: str, accuracy: float, size: float, seed: int = 0, hard: np.ndarray = EVEN) -> Record:
    sizes = np.full(N, round(size)) + np.tile([-3, 3], N // 2)
    return Record(About(method, point, seed), (hard < accuracy).astype(float), sizes)


def ladder(method: str, factor: float = 1.0, top: float = 0.0) -> list[Record]:
    return [record(method, f"p{i}", a + top, factor * s) for i, (a, s) in enumerate(((0.7, 200), (0.8, 400), (0.88, 1600)))]


def test_a_method_against_itself_saves_nothing_and_half_the_bytes_are_half() -> None:
    a, half = curve("a", ladder("a")), curve("half", ladder("half", 0.5))
    same = saving(a, a, TEACHER, (0.05, 0.15), WEIGHTS)
    assert same.value == same.low == same.high == 0
    for found in (saving(half, a, TEACHER, (0.05, 0.15), WEIGHTS), bd_rate(half, a, WEIGHTS)):
        assert found.value is not None and found.low is not None and found.high is not None
        assert math.isclose(found.value, -0.5, abs_tol=1e-3) and found.low <= found.value <= found.high
    back = bd_rate(a, half, WEIGHTS).value
    assert back is not None and math.isclose((1 + back) * 0.5, 1, abs_tol=1e-3)  # the law of reversal


def test_bytes_are_interpolated_in_their_logarithm() -> None:
    found = bytes_at(curve("a", ladder("a")), TEACHER, 0.15, WEIGHTS)  # at 0.75: half-way between 200 and 400
    assert found.value is not None and math.isclose(found.value, math.sqrt(200 * 400), rel_tol=1e-3)
    assert found.low is not None and found.high is not None and found.low <= found.value <= found.high
    there = accuracy_at(curve("a", ladder("a")), found.value, WEIGHTS).value
    assert there is not None and math.isclose(there, 0.75, abs_tol=1e-9)  # the two are each other's reversal


def test_what_is_beaten_changes_nothing() -> None:
    worse = [*ladder("a"), record("a", "poor", 0.75, 900)]
    a, b = curve("a", ladder("a")), curve("a", worse)
    ours, same = (bytes_at(one, TEACHER, 0.05, WEIGHTS) for one in (a, b))
    for x, y in ((ours.value, same.value), (ours.low, same.low), (ours.high, same.high)):
        assert x is not None and y is not None and math.isclose(x, y)
    rising, _ = front(b.accuracy, b.mean_bytes)
    assert (np.diff(rising) > 0).all() and len(rising) == 3


def test_nothing_is_said_outside_but_bounds_against_the_claim() -> None:
    a = curve("a", ladder("a"))
    assert bytes_at(a, TEACHER, 0.0, WEIGHTS).value is None and "no point" in bytes_at(a, TEACHER, 0.0, WEIGHTS).note
    assert "all better" in bytes_at(a, TEACHER, 0.4, WEIGHTS).note
    high = curve("high", ladder("high", 0.5, 0.1))  # 0.8 … 0.98: beyond a's last point, and better than its first
    bounded = saving(high, a, TEACHER, (0.0, 0.01), WEIGHTS)
    assert bounded.value is not None and "a bound: a is charged its last point" in bounded.note
    assert saving(a, high, TEACHER, (0.0, 0.01), WEIGHTS).value is None  # a never gets there: no claim
    first = against(high, a, "p0", WEIGHTS)
    assert first.value is not None and math.isclose(first.value, -0.5, abs_tol=1e-3) and "first point" in first.note


def test_a_flat_stretch_is_said() -> None:
    flat = curve("flat", [record("flat", "a", 0.84, 500), record("flat", "b", 0.8425, 4000)])
    assert "flat is flat there" in bytes_at(flat, TEACHER, 0.0585, WEIGHTS).note


def test_an_interval_holds_what_it_promises() -> None:
    held, rounds = 0, 40
    for k in range(rounds):
        hard = np.random.default_rng(k).random(N)
        one = curve("a", [record("a", "x", 0.7, 200, hard=hard), record("a", "y", 0.8, 400, hard=hard)])
        found = accuracy_at(one, 300, drawings(N, 100, k))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.7 + 0.1 * math.log2(1.5) <= found.high
    assert 0.8 * rounds <= held  # 95 % promised; 40 rounds leave room


def test_seeds_are_averaged_picture_by_picture() -> None:
    other = np.random.default_rng(9).permutation(EVEN)
    records = [record("a", "p", 0.7, 100), record("a", "p", 0.7, 200, 1, other), record("a", "q", 0.9, 300)]
    found = curve("a", records)
    assert found.points == ("p", "q") and found.seeds == (2, 1)
    assert math.isclose(found.mean_bytes[0], 150) and set(np.unique(found.right[0])) == {0.0, 0.5, 1.0}
    assert spread(records)["p"][0] == 2 and math.isclose(spread(records)["p"][4], 100 / math.sqrt(2))
    assert spread(records)["q"][2] == 0


def test_records_of_other_pictures_make_no_curve() -> None:
    short = Record(About("a", "b"), np.ones(3), np.ones(3, np.int64))
    with pytest.raises(ConfigError, match="make no curve"):
        curve("a", [record("a", "p", 0.7, 100), short])
