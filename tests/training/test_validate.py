"""The validation table: chosen on what it is given, honest about what nothing is worth."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the renderer needs OpenCV: pip install 'edgewise[camera]'")

from edgewise.core.answer import Answer, Box
from edgewise.data.boxes import occupied
from edgewise.training import validate
from edgewise.training.frames import Frames, padded

CORNERS = np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]])


def frames(count=6):
    boxes = np.stack([padded(CORNERS)] * count)
    conditions = ("clear", "fog", "clip") * (count // 3)
    return Frames(np.zeros((count, 4, 4, 3), np.uint8), boxes, conditions, tuple(f"b{i}" for i in range(count)))


def test_the_truth_is_the_cell_rule():
    assert np.array_equal(validate.truth(frames())[0], occupied(CORNERS))


def test_the_threshold_that_separates_is_chosen():
    true = validate.truth(frames())
    occupancy = np.where(true, 0.41, 0.38).astype(np.float32)
    assert validate.chosen_cell_threshold([occupancy], true) == 0.4


def test_all_means_rendered_conditions_and_the_clip_stands_by_itself():
    true = validate.truth(frames())
    said = true.copy()
    said[2::3] = False  # wrong on the clip alone
    found = validate.by_condition(said, true, frames().condition, frames().block)
    assert found["all"].value == found["fog"].value == 1.0 and found["clip"].value == 0.0
    assert found["all"].n == 4 and found["clip"].n == 2


def test_a_drop_is_worth_nothing_and_costs_nothing():
    drop = next(p for p in validate.POINTS if p.mode == "drop")
    measured = validate.measured(drop, [], validate.Grid(0.5, 0.5, 0.5, 23, 40), frames(), validate.truth(frames()))
    assert measured.worth() == 0.0 and measured.bytes_up == measured.device_time == 0.0


def test_box_f1_counts_each_vehicle_once():
    def answer(*boxes):
        return Answer(tuple(Box(*b, score=0.9, label="vehicle") for b in boxes))

    right = [answer(*CORNERS)] * 6
    twice = [answer(CORNERS[0], CORNERS[0], CORNERS[1])] * 6
    assert validate.box_f1(right, frames()) == 1.0
    assert validate.box_f1(twice, frames()) == pytest.approx(2 * 2 / 5)
    assert validate.box_f1([answer()] * 6, frames()) == 0.0


def test_points_have_names_of_their_own_and_one_of_each_mode():
    names = [p.name for p in validate.POINTS]
    assert len(set(names)) == len(names)
    assert {p.mode for p in validate.POINTS} == {"local", "split", "image", "drop"}
