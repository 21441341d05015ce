"""Cell F1, average precision and the block bootstrap: known values and laws."""

import numpy as np

from edgewise.core.answer import Box
from edgewise.data.metrics import average_precision, bootstrap, cell_quality, counts, f1


def test_f1_is_one_for_the_truth_and_falls_with_every_error():
    generator = np.random.default_rng(0)
    true = generator.random((6, 23, 40)) < 0.3
    assert f1(counts(true, true)) == 1.0
    said = true.copy()
    before = 1.0
    for cell in range(5):
        said[0, 3, cell] = ~said[0, 3, cell]
        after = f1(counts(said, true))
        assert after < before
        before = after


def test_f1_pools_frames_so_an_empty_frame_neither_helps_nor_breaks():
    true = np.zeros((2, 4, 4), bool)
    true[0, 0, :2] = True
    said = true.copy()
    said[0, 0, 1] = False
    assert f1(counts(said, true)) == f1(counts(said[:1], true[:1])) == 2 / 3


def test_the_interval_holds_the_value_and_blocks_widen_it():
    generator = np.random.default_rng(1)
    skill = np.repeat(generator.uniform(0.5, 1.0, 8), 10)  # eight scenes of ten like frames
    true = generator.random((80, 10, 10)) < 0.4
    said = np.where(generator.random(true.shape) < skill[:, None, None], true, ~true)
    by_scene = cell_quality(said, true, np.repeat(np.arange(8), 10).tolist())
    by_frame = cell_quality(said, true, list(range(80)))
    assert by_scene.low <= by_scene.value <= by_scene.high
    assert by_scene.high - by_scene.low > by_frame.high - by_frame.low


def test_the_bootstrap_is_a_function_of_its_seed():
    rows = np.random.default_rng(2).integers(0, 9, (20, 3))
    assert bootstrap(rows, list(range(20)), f1, seed=3) == bootstrap(rows, list(range(20)), f1, seed=3)


def box(x0, y0, x1, y1, score):
    return Box(x0, y0, x1, y1, score, "vehicle")


def test_average_precision_of_perfect_half_and_no_answers():
    true = [np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]]), np.zeros((0, 4))]
    perfect = [[box(0.1, 0.1, 0.3, 0.3, 0.9), box(0.5, 0.5, 0.8, 0.8, 0.8)], []]
    assert average_precision(perfect, true) == 1.0
    assert average_precision([perfect[0][:1], []], true) == 0.5
    assert average_precision([[], []], true) == 0.0
    assert np.isnan(average_precision([[]], [np.zeros((0, 4))]))


def test_a_second_box_on_one_vehicle_is_a_false_alarm():
    true = [np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]])]
    said = [[box(0.1, 0.1, 0.3, 0.3, 0.9), box(0.1, 0.1, 0.3, 0.31, 0.85), box(0.5, 0.5, 0.8, 0.8, 0.8)]]
    assert np.isclose(average_precision(said, true), 0.5 + 0.5 * 2 / 3)
