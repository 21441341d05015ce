"""The exclusions: a ceiling that follows the stream, within bounds; a window that forgets; redundancy as an angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.adapt.exclude import FORGETS, WARM, Window, calibrated, ceiling, excluded, kept, redundant, seen
from edgewise.core.learning import Learning

LEARNING = Learning(floor=0.1, ceiling=0.4)


def after(window: Window, doubt: float, times: int) -> Window:
    for _ in range(times):
        window = seen(window, doubt)
    return window


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=WARM + 200), st.none() | st.floats(0, 1))
def test_the_ceiling_stays_between_half_of_what_is_wished_and_that(doubts: list[float], usual: float | None) -> None:
    window = Window() if usual is None else calibrated(usual)
    for doubt in doubts:
        window = seen(window, doubt)
    assert 0.2 <= ceiling(window, LEARNING) <= 0.4


def test_the_window_forgets_as_fast_as_is_said() -> None:
    """50 samples leave 0.98 of what was: the weight does not depend on how they come."""
    kept_after = (1 - FORGETS) ** 50
    assert kept_after == pytest.approx(0.98)
    window = after(calibrated(1.0), 0.0, 2500)
    assert window.mean == pytest.approx(0.98**50)


def test_the_ceiling_follows_the_stream() -> None:
    usual = after(Window(), 0.4, WARM)
    assert ceiling(usual, LEARNING) == pytest.approx(0.4)
    calm = after(usual, 0.28, 20_000)
    assert ceiling(calm, LEARNING) == pytest.approx(0.4 * 0.7, rel=0.01)
    worse = after(calm, 0.9, 20_000)
    assert ceiling(worse, LEARNING) == 0.4  # never above what was wished, however bad it gets
    assert excluded(worse, 0.5, LEARNING) == "unreliable"


def test_a_stream_without_any_doubt_does_not_explode() -> None:
    still = after(Window(), 0.0, WARM)
    assert ceiling(still, LEARNING) == 0.2  # nothing is doubted: the narrowest
    assert ceiling(after(still, 0.001, 5000), LEARNING) <= 0.4


def test_no_number_changes_nothing() -> None:
    window = after(Window(), 0.3, 10)
    assert seen(window, math.nan) == window
    assert excluded(window, math.nan, LEARNING) == "unreliable"


@pytest.mark.parametrize(
    ("doubt", "reason"), [(0.05, "low-informative"), (0.1, "low-informative"), (0.2, ""), (0.4, "unreliable")]
)
def test_what_lies_between_is_kept(doubt: float, reason: str) -> None:
    assert excluded(Window(), doubt, LEARNING) == reason


def test_redundancy_is_an_angle() -> None:
    one, other = np.eye(3, dtype=np.float32)[:2]
    assert redundant(one, one * 7, 0.99) and not redundant(one, other, 0.01)
    assert not redundant(None, one, 0.5) and not redundant(one, one, 0.0)
    assert not redundant(one, np.ones(4, np.float32), 0.5)  # answers of another model say nothing of these
    assert not redundant(np.zeros(3, np.float32), one, 0.5)


def test_the_mean_answer_comes_to_what_is_kept() -> None:
    mean, answer = kept(None, np.array([1.0, 0.0], np.float32)), np.array([0.2, 0.8], np.float32)
    for _ in range(100):
        mean = kept(mean, answer)
    np.testing.assert_allclose(mean, answer, atol=1e-3)
    assert kept(mean, np.ones(5, np.float32)).shape == (5,)
