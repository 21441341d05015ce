"""What comes up is bounded, shared between devices, and counted to the last picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.intake import HOLD, OVER, WAITING, Intake
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.upload import Upload
from edgewise.core.learning import Learning

RECIPE = Recipe(fresh=16, least=4, patience=5.0)
TOLD = Learning(bytes=1000.0)
PICTURE = np.zeros((8, 8, 3), np.uint8)


def upload(device: str = "d", size: int = 0, picture: np.ndarray = PICTURE) -> Upload:
    return Upload(device, picture, size=size)


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (np.zeros((8, 8), np.uint8), "no picture"),
        (np.zeros((8, 8, 4), np.uint8), "no picture"),
        (np.zeros((0, 8, 3), np.uint8), "no picture"),
        (np.zeros((8, 8, 3), np.float32), "no picture"),
        (np.zeros((1, 10_000, 3), np.uint8), "a picture too large"),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray, why: str) -> None:
    intake = Intake(RECIPE)
    assert intake.take(upload(picture=picture), 0.0, TOLD) == why
    assert intake.refused == {why: 1} and not len(intake) and not intake.counts["uploads"]


def test_a_device_that_sends_without_end_is_cut_off_at_its_budget_and_alone() -> None:
    intake = Intake(RECIPE)
    taken = {"flood": 0, "fair": 0}
    for step in range(4000):  # 100 s
        now = step * 0.025
        taken["flood"] += not intake.take(upload("flood", 500), now, TOLD)
        if step % 80 == 0:
            taken["fair"] += not intake.take(upload("fair", 500), now, TOLD)
        while intake.due(now):
            intake.next(now)
    assert taken["flood"] * 500 <= OVER * TOLD.bytes * (100 + HOLD)
    assert taken["fair"] == 50, "whoever keeps to it is not refused"
    assert intake.counts["uploads"] + sum(intake.refused.values()) == 4000 + 50


def test_too_many_wait() -> None:
    intake = Intake(RECIPE)
    found = [intake.take(upload(), 0.0, TOLD) for _ in range(WAITING * RECIPE.fresh + 5)]
    assert found[-5:] == ["too many wait"] * 5 and len(intake) == WAITING * RECIPE.fresh


def test_a_batch_is_due_when_it_is_full_or_has_waited_and_takes_turns() -> None:
    intake = Intake(RECIPE)
    assert not intake.due(60.0)
    for number in range(4):
        intake.take(upload(), float(number), TOLD)
    assert not intake.due(4.9) and intake.due(5.0)
    for _ in range(40):
        intake.take(upload("flood"), 5.0, TOLD)
    batch = intake.next(5.0)
    assert [u.device for u in batch].count("d") == 4 and [u.device for u in batch].count("flood") <= 8
    waiting = len(intake)
    seen = 0
    while len(intake):
        seen += len(intake.next(5.0))
    assert seen == waiting, "none is lost, none comes twice"


def test_the_oldest_go_first() -> None:
    intake = Intake(RECIPE)
    uploads = [upload(size=i) for i in range(1, 30)]
    for one in uploads:
        assert not intake.take(one, 0.0, Learning(bytes=1e6))
    assert [u.size for u in intake.next(0.0)] == list(range(1, 17))
