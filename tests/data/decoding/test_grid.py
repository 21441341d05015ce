"""Output maps to answers: thresholds, suppression, the packed grid and hostile maps."""

import numpy as np
import pytest

from edgewise.core.artifact import Grid
from edgewise.core.errors import TensorError
from edgewise.data.boxes import occupied, overlaps
from edgewise.data.decoding.grid import answers, cells, suppress

DECODING = Grid(threshold=0.5, overlap=0.5, cell_threshold=0.4, rows=23, columns=40)


def maps(batch=2):
    return {
        "score": np.zeros((batch, 1, 23, 40), np.float32),
        "box": np.zeros((batch, 4, 23, 40), np.float32),
        "occupied": np.zeros((batch, 1, 23, 40), np.float32),
    }


def test_each_row_of_a_batch_gets_its_own_answer():
    outputs = maps()
    outputs["score"][1, 0, 5, 6] = 0.9
    outputs["box"][1, :, 5, 6] = (0.1, 0.2, 0.3, 1.4)
    outputs["occupied"][1, 0] = occupied([[0.1, 0.2, 0.3, 0.4]])
    first, second = answers(outputs, DECODING, ["vehicle"])
    assert first.boxes == () and not cells(first).any()
    (box,) = second.boxes
    assert (box.x0, box.y0, box.x1, box.y1, box.label) == (0.1, 0.2, 0.3, 1.0, "vehicle")
    assert np.array_equal(cells(second), occupied([[0.1, 0.2, 0.3, 0.4]]))


def test_suppression_keeps_the_strongest_and_leaves_no_overlapping_pair():
    generator = np.random.default_rng(0)
    start = generator.random((60, 2)) * 0.8
    corners = np.concatenate([start, start + 0.05 + generator.random((60, 2)) * 0.15], axis=1).astype(np.float32)
    kept = suppress(corners, 0.3)
    between = overlaps(corners[kept], corners[kept]) - np.eye(len(kept))
    assert kept[0] == 0 and between.max() <= 0.3
    for gone in set(range(60)) - set(kept):
        assert (overlaps(corners[[gone]], corners[[k for k in kept if k < gone]]) > 0.3).any()


def test_an_empty_box_is_no_answer():
    outputs = maps(1)
    outputs["score"][0, 0, 0, 0] = 1.0
    assert answers(outputs, DECODING, ["vehicle"])[0].boxes == ()


@pytest.mark.parametrize("name", ["score", "box", "occupied"])
def test_a_lying_shape_and_a_nan_are_refused_by_name(name):
    wrong = maps()
    wrong[name] = wrong[name][:, :, :-1] if name != "score" else wrong[name][:, [0, 0]]
    with pytest.raises(TensorError, match=name):
        answers(wrong, DECODING, ["vehicle"])
    wrong = maps()
    wrong[name][0, 0, 0, 0] = np.nan
    with pytest.raises(TensorError, match=name):
        answers(wrong, DECODING, ["vehicle"])
