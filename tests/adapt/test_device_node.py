"""The device's learner in a real agent: what goes up is what the server wished, and no answer is late for it."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.device import DeviceLearner
from edgewise.core.learning import AUDIT, CARRIED, Learning
from edgewise.core.link import Link
from edgewise.data.doubt import Doubt
from tests.learning_site import INTERVAL, LOCAL, POOR, SPLIT, TAUGHT, Run

SLOW = Link("slow", rate_up=1e6, rate_down=2e7, delay=0.02)
COUNT = 400
ENTROPIES = np.random.default_rng(0).beta(1, 3, COUNT)


def doubts(frame: int) -> Doubt:
    return Doubt(float(ENTROPIES[frame]), np.full(10, 0.1, np.float32))


@pytest.mark.parametrize("selection", ["random", "entropy", "window"])
def test_the_wishes_are_kept_and_no_answer_is_late(selection: str) -> None:
    wish = Learning(samples=1.0, bytes=20_000.0, audit=0.05, selection=selection, cascade=0.25)  # type: ignore[arg-type]
    learner = DeviceLearner(10, 1)
    run = Run(learner, (LOCAL, POOR), SLOW, COUNT, wish=lambda now: wish, doubts=doubts)
    assert all(r.outcome == "answered" and not r.late for r in run.records)
    asked = [r.frame for r in run.records if r.answer == TAUGHT]
    assert 0.15 < len(asked) / COUNT < 0.3
    others = [ENTROPIES[f] for f in range(COUNT // 2, COUNT) if f not in asked]
    assert np.mean([ENTROPIES[f] for f in asked if f >= COUNT // 2]) > 2 * np.mean(others), "the most doubtful are asked"
    up = sum(len(s.picture) for s in run.samples)
    assert up <= 20_000 * COUNT * INTERVAL * 1.05
    audits = [s for s in run.samples if s.flags & AUDIT]
    assert 0.02 < len(audits) / COUNT < 0.09
    assert sum(learner.counts.values()) == COUNT, "each frame is put to it once"
    assert {s.frame for s in run.samples if s.flags & CARRIED} == set(asked)


def test_a_budget_of_the_devices_own_comes_before_the_servers_wish() -> None:
    wish = Learning(samples=100.0, bytes=1e6, audit=0.0)
    run = Run(DeviceLearner(10, 1), (LOCAL, SPLIT), SLOW, COUNT, wish=lambda now: wish, doubts=doubts, budget="bytes_up<=35KB/s")
    used = sum(r.bytes_up for r in run.records)
    learned = sum(len(s.picture) for s in run.samples)
    assert sum(r.mode == "split" for r in run.records) > 0.9 * COUNT, "answers come first"
    assert learned > 0 and used + learned < 35_000 * COUNT * INTERVAL * 1.02
