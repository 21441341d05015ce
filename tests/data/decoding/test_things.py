"""Things from maps: boxes kept by class, masks that lie where the prototypes say, and sentences for maps that are none."""

import numpy as np
import pytest

from edgewise.core.decoding import Things
from edgewise.core.errors import TensorError
from edgewise.data.decoding import answers
from edgewise.data.decoding.things import bits

ROWS, COLUMNS, SIDE = 4, 8, 16
DECODING = Things(threshold=0.3, overlap=0.5, keypoints=2, mask=SIDE)


def maps(batch=1, classes=2):
    """Nothing anywhere; prototype 0 is the picture's left half, prototype 1 its upper half."""
    prototypes = np.full((batch, 2, 32, 64), -1.0, np.float32)
    prototypes[:, 0, :, :32] = 1.0
    prototypes[:, 1, :16] = 1.0
    return {
        "score": np.zeros((batch, classes, ROWS, COLUMNS), np.float32),
        "box": np.zeros((batch, 4, ROWS, COLUMNS), np.float32),
        "points": np.zeros((batch, 4, ROWS, COLUMNS), np.float32),
        "coefficients": np.zeros((batch, 2, ROWS, COLUMNS), np.float32),
        "prototypes": prototypes,
    }


def put(outputs, cell, box, score=0.9, label=0, coefficients=(1.0, 0.0)):
    row, column = cell
    outputs["score"][0, label, row, column] = score
    outputs["box"][0, :, row, column] = box
    outputs["points"][0, :, row, column] = (box[0], box[1], box[2], box[3])
    outputs["coefficients"][0, :, row, column] = coefficients


def test_a_mask_is_the_prototype_seen_through_the_box():
    outputs = maps()
    put(outputs, (1, 3), (0.25, 0.25, 0.75, 0.75))  # the left half of this box lies in the left half of the picture
    put(outputs, (3, 7), (0.0, 0.375, 0.25, 0.75), 0.8, coefficients=(0.0, 1.0))  # its upper third lies in the upper half
    first, second = answers(outputs, DECODING, ["a", "b"])[0].boxes
    assert bits(first, SIDE)[:, : SIDE // 2].all() and not bits(first, SIDE)[:, SIDE // 2 :].any()
    assert bits(second, SIDE)[:5].all() and not bits(second, SIDE)[6:].any()
    assert first.points == pytest.approx((0.25, 0.25, 0.75, 0.75))


def test_the_weaker_of_two_that_overlap_goes_only_within_a_class():
    outputs = maps()
    put(outputs, (1, 3), (0.2, 0.2, 0.6, 0.6), 0.9)
    put(outputs, (1, 4), (0.21, 0.2, 0.61, 0.6), 0.8)
    put(outputs, (2, 4), (0.2, 0.2, 0.6, 0.6), 0.7, label=1)
    put(outputs, (0, 0), (0.0, 0.0, 0.1, 0.1), 0.2)  # below the threshold
    boxes = answers(outputs, DECODING, ["a", "b"])[0].boxes
    assert [(b.label, b.score) for b in boxes] == [("a", 0.9), ("b", 0.7)]


def test_each_frame_of_a_batch_has_its_own_answer_and_boxes_without_area_are_none():
    outputs = maps(batch=2)
    put(outputs, (1, 3), (0.5, 0.5, 0.5, 0.9))
    outputs["score"][1, 1, 0, 0] = 0.5
    outputs["box"][1, :, 0, 0] = (-0.2, 0.0, 0.5, 1.2)
    first, second = answers(outputs, DECODING, ["a", "b"])
    assert not first.boxes
    assert (second.boxes[0].x0, second.boxes[0].y1, second.boxes[0].label) == (0.0, 1.0, "b")


def test_a_threshold_of_zero_does_not_make_every_cell_a_thing():
    outputs = maps()
    put(outputs, (1, 3), (0.2, 0.2, 0.6, 0.6))
    assert len(answers(outputs, Things(0.0, 0.5, 0, 0), ["a", "b"])[0].boxes) == 1


@pytest.mark.parametrize("name", ["score", "box", "points", "coefficients", "prototypes"])
def test_maps_that_are_missing_bent_or_not_finite_are_refused_by_name(name):
    outputs = maps()
    put(outputs, (1, 3), (0.2, 0.2, 0.6, 0.6))
    with pytest.raises(TensorError, match=name):
        answers({k: v for k, v in outputs.items() if k != name}, DECODING, ["a", "b"])
    with pytest.raises(TensorError, match="wrong shape"):
        answers(outputs | {name: outputs[name][:, :, :0]}, DECODING, ["a", "b"])
    spoiled = outputs[name].copy()
    spoiled.flat[0] = np.nan
    with pytest.raises(TensorError, match=name):
        answers(outputs | {name: spoiled}, DECODING, ["a", "b"])


def test_a_mask_of_another_side_cannot_be_unpacked():
    outputs = maps()
    put(outputs, (1, 3), (0.2, 0.2, 0.6, 0.6))
    with pytest.raises(TensorError, match="another size"):
        bits(answers(outputs, DECODING, ["a", "b"])[0].boxes[0], SIDE + 8)
