"""The rules of following, as values: nothing moves at home, an alarm forgets, few labels keep late layers at home."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from edgewise.runtime.follow import (
    CAMERA,
    PLAIN,
    Course,
    Rules,
    Source,
    begun,
    dense,
    looked,
    mixed,
    observed,
    shares,
    told,
    weight,
)

WIDE, LAYERS = 5, 4
SOURCE = Source(np.zeros(WIDE * LAYERS), np.ones(WIDE * LAYERS), tuple(slice(i, i + WIDE) for i in range(0, WIDE * LAYERS, WIDE)))


def stream(course: Course, shift: float, frames: int, rules: Rules = PLAIN, seed: int = 0, spread: float = 0.2) -> Course:
    """`frames` whose every layer is `shift` deviations off, and varies from frame to frame."""
    draw = np.random.default_rng(seed)
    for _ in range(frames):
        mean = shift + spread * draw.normal(size=len(SOURCE.mean))
        course = observed(course, (mean, 1 - spread**2 + mean**2), 1, 1, SOURCE, rules)
        if course.gone:
            course = looked(course, (mean, 1 - spread**2 + mean**2), 1, 1, SOURCE, rules)
    return course


def test_at_home_the_model_is_the_source() -> None:
    course = stream(begun(SOURCE, PLAIN), 0.0, 300)
    assert not course.gone and not course.alarms
    assert mixed(course, SOURCE, PLAIN) == (SOURCE.mean, SOURCE.variance)  # the very arrays


def test_a_shift_is_followed_and_taken_back() -> None:
    away = stream(begun(SOURCE, PLAIN), 1.0, 200)
    assert away.gone == 1
    mean, _ = mixed(away, SOURCE, PLAIN)
    share = np.repeat(np.linspace(1, PLAIN.deep, LAYERS), WIDE)
    np.testing.assert_allclose(mean, share * away.running.mean)
    np.testing.assert_allclose(away.running.mean, 1.0, atol=0.1)
    home = stream(away, 0.0, 300, seed=1)
    assert not home.gone and home.alarms >= 1


def test_an_alarm_lets_every_frame_be_watched() -> None:
    course = stream(begun(SOURCE, PLAIN), 0.0, 200)
    assert not dense(course, PLAIN)
    for frames in range(1, 40):
        course = stream(course, 1.0, 1, seed=frames)
        if course.alarms:
            break
    assert frames < 20 and dense(course, PLAIN) and course.running.samples <= PLAIN.prior


def test_the_way_home_is_as_short_as_the_way_out() -> None:
    home = stream(begun(SOURCE, PLAIN), 0.0, 300)
    out = next(n for n in range(1, 100) if (home := stream(home, 2.0, 1, seed=n)).gone)
    away = stream(home, 2.0, 600, seed=1)
    back = next(n for n in range(1, 400) if not (away := stream(away, 0.0, 1, seed=n)).gone)
    assert back <= out + 10


def test_one_strange_frame_has_the_next_watched_and_a_usual_one_clears_it() -> None:
    settled = stream(begun(SOURCE, PLAIN), 0.0, 300)
    strange = stream(settled, 0.6, 1)
    assert not dense(settled, PLAIN) and dense(strange, PLAIN) and not strange.alarms
    cleared = stream(strange, 0.0, 3)
    assert not dense(cleared, PLAIN) and not cleared.alarms and not cleared.gone


def test_after_an_alarm_a_camera_asks_how_far_it_is_from_its_own_place() -> None:
    place = stream(begun(SOURCE, CAMERA), 0.4, 300, CAMERA)
    away = stream(place, 1.4, 400, CAMERA)
    back = stream(away, 0.4, 100, CAMERA, seed=1)
    assert away.gone == 1 and back.alarms > away.alarms and not back.gone


def test_answers_of_one_label_keep_late_layers_at_home_and_ask_for_more() -> None:
    away = stream(begun(SOURCE, PLAIN), 0.18, 150)
    assert away.gone and not away.concentration
    alike, even = away, away
    for number in range(200):
        alike, even = told(alike, 3, 10, PLAIN), told(even, number % 10, 10, PLAIN)
    assert alike.concentration > 0.9 and even.concentration < 0.1
    assert shares(alike, LAYERS, PLAIN)[-1] == 0 < shares(even, LAYERS, PLAIN)[-1]
    assert stream(alike, 0.18, 50).gone == 0 < stream(even, 0.18, 50).gone


def test_a_camera_is_measured_against_its_own_place() -> None:
    """A place that is 0.4 deviations off is home, and a shift from it counts as a difference."""
    place = stream(begun(SOURCE, CAMERA), 0.4, 200, CAMERA)
    assert place.normal is not None and not place.gone
    assert stream(begun(SOURCE, PLAIN), 0.4, 200).gone
    away = stream(place, 1.4, 200, CAMERA)
    assert away.gone == 1
    mean, variance = mixed(away, SOURCE, CAMERA)
    assert mean[0] == pytest.approx(away.running.mean[0] - place.normal.mean[0]) == pytest.approx(1.0, abs=0.15)
    assert (variance > 0).all()


def test_a_camera_set_up_in_strange_weather_is_measured_against_the_source() -> None:
    course = stream(begun(SOURCE, CAMERA), 1.5, 200, CAMERA)
    assert course.normal is None and course.gone == 1


@settings(max_examples=50)
@given(some.integers(1, 64), some.integers(1, 200))
def test_weights_are_shares(samples: int, stands_for: int) -> None:
    course = begun(SOURCE, PLAIN)
    assert 0 < weight(course.running, samples, stands_for, PLAIN) < 1


def test_the_variance_between_frames_is_in_the_running_one() -> None:
    course = stream(begun(SOURCE, PLAIN), 1.0, 2000, spread=0.8)
    np.testing.assert_allclose(course.running.variance, 1.0, atol=0.3)
