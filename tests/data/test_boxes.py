"""The cell rule and the overlap of boxes, against brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgewise.data.boxes import COLUMNS, ROWS, occupied, overlaps

corners = arrays(np.float64, (3, 4), elements=st.floats(0, 1, width=32)).map(
    lambda b: np.concatenate([np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:])], axis=1)
)


@given(corners)
@settings(max_examples=40, deadline=None)
def test_a_cell_is_occupied_iff_its_centre_lies_in_a_box(boxes):
    grid = occupied(boxes)
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = (column * 16 + 8) / 640, (row * 16 + 8) / 360 if row < ROWS - 1 else 356 / 360
            inside = any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in boxes)
            if inside:
                assert grid[row, column]
            elif grid[row, column]:  # only a box that holds no centre may claim the cell it stands in
                assert any(b[2] - b[0] < 16 / 640 + 1e-9 or b[3] - b[1] < 16 / 360 + 1e-9 for b in boxes)


def test_a_box_smaller_than_a_cell_still_occupies_one():
    assert occupied([[0.0, 0.0, 0.004, 0.004]]).sum() == 1
    assert occupied([[0.999, 0.999, 1.0, 1.0]])[ROWS - 1, COLUMNS - 1]
    assert occupied(np.zeros((0, 4))).sum() == 0


@given(corners, corners)
@settings(max_examples=40, deadline=None)
def test_overlap_is_symmetric_bounded_and_one_with_itself(a, b):
    between = overlaps(a, b)
    assert np.allclose(between, overlaps(b, a).T)
    assert between.min() >= 0 and between.max() <= 1 + 1e-9
    sizes = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    assert np.allclose(np.diag(overlaps(a, a))[sizes > 1e-6], 1)


def test_overlap_of_two_known_boxes():
    assert np.isclose(overlaps([[0, 0, 2, 2]], [[1, 1, 3, 3]])[0, 0], 1 / 7)
