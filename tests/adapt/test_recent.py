"""A share of the most doubtful frames: kept whatever the doubts are like, and by the most doubtful."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.recent import KEPT, Recent, added, rank


def share_chosen(values: np.ndarray, share: float, seed: int = 0) -> float:
    draw, recent, chosen = np.random.default_rng(seed), Recent(), 0
    for value in values.tolist():
        recent = added(recent, value)
        chosen += rank(recent, value, float(draw.random())) < share
    return chosen / len(values)


@pytest.mark.parametrize("share", [0.02, 0.33, 0.9])
@pytest.mark.parametrize("kind", ["even", "sure", "constant", "two"])
def test_the_share_holds_whatever_the_doubts_are_like(kind: str, share: float) -> None:
    draw = np.random.default_rng(1)
    values = {
        "even": draw.random(6000),
        "sure": draw.random(6000) ** 40,
        "constant": np.full(6000, 0.25),
        "two": (draw.random(6000) < 0.1).astype(float),
    }[kind]
    assert share_chosen(values, share) == pytest.approx(share, abs=5 * (share * (1 - share) / 6000) ** 0.5 + 0.003)


def test_it_holds_from_the_first_frames_on() -> None:
    firsts = [share_chosen(np.random.default_rng(i).random(5), 0.3, i + 1_000_000) for i in range(800)]
    assert np.mean(firsts) == pytest.approx(0.3, abs=0.03)


def test_those_that_are_chosen_are_the_most_doubtful() -> None:
    recent = Recent(np.linspace(0, 1, 101, dtype=np.float32))
    ranks = [rank(recent, float(v), 0.5) for v in recent.values]
    assert (np.diff(ranks) < 0).all() and ranks[-1] < 0.01 and ranks[0] > 0.98


def test_between_bounds_a_rank_is_still_a_share_of_all() -> None:
    recent = Recent(np.array([0.05, 0.2, 0.3, 0.9, 0.95], np.float32))
    assert rank(recent, 0.3, 0.0) == pytest.approx(2 / 5)
    assert rank(recent, 0.3, 0.0, low=0.1, high=0.4) == 0


def test_only_the_last_frames_are_remembered() -> None:
    recent = Recent()
    for value in np.linspace(0, 1, 3 * KEPT + 7).tolist():
        recent = added(recent, value)
    assert len(recent.values) == KEPT and recent.values.min() > 0.6
    before = recent
    added(recent, 0.0)
    assert before.values.min() > 0.6  # a value: what is added to it leaves it as it was
