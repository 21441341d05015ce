"""The watch on streams of known truth: it begins where there is something to win, and gives up where there is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.adapt.watch import Rules, Watch, audited, judged, significance

RULES = Rules()


def stream(
    watch: Watch, audits: int, source: float, gain: float, seed: int = 0, batch: int = 10, overlap: float = 0.7
) -> list[Watch]:
    """Audits on which the source agrees with the teacher with the chance `source`, the adapted with `source + gain`."""
    random = np.random.default_rng(seed)
    passed = []
    for _ in range(audits // batch):
        base = random.random(batch)
        own = np.where(random.random(batch) < overlap, base, random.random(batch))
        before = len(watch.differences)
        watch = audited(watch, (base < source).astype(float), (own < source + gain).astype(float), RULES)
        watch = judged(watch, RULES, before)
        passed.append(watch)
    return passed


def phases(passed: list[Watch]) -> list[str]:
    return [w.phase for i, w in enumerate(passed) if not i or w.phase != passed[i - 1].phase]


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=50))
def test_z_is_mcnemars(differences: list[float]) -> None:
    b, c = differences.count(1.0), differences.count(-1.0)
    assert significance(differences) == pytest.approx((b - c) / np.sqrt(b + c) if b + c else 0.0)
    assert significance([-d for d in differences]) == pytest.approx(-significance(differences))


@pytest.mark.parametrize("seed", range(4))
def test_clean_traffic_rests_within_its_first_audits(seed: int) -> None:
    passed = stream(Watch(), 200, source=0.86, gain=0.0, seed=seed)
    assert passed[-1].phase == "rest" and "alone" in next(w.why for w in passed if w.phase == "rest")


@pytest.mark.parametrize("seed", range(4))
def test_night_is_tried_soon_and_then_learned(seed: int) -> None:
    tried = stream(Watch(), 60, source=0.47, gain=0.0, seed=seed)
    assert tried[-1].phase == "trial"
    assert stream(tried[-1], 2600, source=0.47, gain=0.10, seed=seed)[-1].phase == "learning"


@pytest.mark.parametrize("seed", range(4))
def test_a_trial_that_wins_nothing_is_given_up(seed: int) -> None:
    trial = Watch(phase="trial")
    assert "rest" in phases(stream(trial, 2600, source=0.7, gain=0.0, seed=seed))


def test_a_trial_that_does_harm_is_given_up_early() -> None:
    passed = stream(Watch(phase="trial"), 2600, source=0.7, gain=-0.06)
    first = next(i for i, w in enumerate(passed) if w.phase == "rest") * 10
    assert first <= 700


def test_harm_while_learning_ends_it_and_a_rise_of_disagreement_begins_anew() -> None:
    harmed = stream(Watch(phase="learning"), 2000, source=0.7, gain=-0.08)
    assert harmed[-1].phase in ("rest", "trial") and "rest" in phases(harmed)
    resting = stream(Watch(phase="rest", rested=0.14), 300, source=0.86, gain=0.0)
    assert {w.phase for w in resting} == {"rest"}
    assert "measuring" in phases(stream(resting[-1], 300, source=0.60, gain=0.0))


def test_a_watch_is_bounded_and_no_audit_changes_nothing() -> None:
    passed = stream(Watch(phase="learning"), 4000, source=0.6, gain=0.1)
    assert len(passed[-1].differences) == RULES.window and passed[-1].audits == 4000
    assert judged(Watch(), RULES) == Watch() and Watch().disagreement is None


def test_what_was_surely_won_is_below_what_was_won() -> None:
    last = stream(Watch(phase="learning"), 1000, source=0.5, gain=0.1)[-1]
    assert last.gain is not None and 0 < last.least_gain < last.gain
    assert Watch(differences=(1.0,), missed=(1.0,)).least_gain == 0.0
