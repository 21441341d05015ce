"""The score of bench split_coco: a box that is coded as the network codes it comes back, and counts once."""

import numpy as np
import pytest

from bench.split_coco import Set, average, found, matched


def output(*cells: tuple[int, int, float]) -> np.ndarray:
    """A raw output with a box of 40 × 24 px in the middle of cells of stride 8: (cell, class, score)."""
    raw = np.zeros((3549, 85), np.float32)
    for cell, label, score in cells:
        raw[cell, :5] = 0.5, 0.5, np.log(5.0), np.log(3.0), score
        raw[cell, 5 + label] = 1.0
    return raw


def test_a_box_comes_back_in_pixels() -> None:
    seen = found(output((52 * 3 + 10, 7, 0.9)))
    assert seen.label.tolist() == [7] and seen.score[0] == pytest.approx(0.9)
    np.testing.assert_allclose(seen.corners, [[84 - 20, 28 - 12, 84 + 20, 28 + 12]], rtol=1e-6)


def test_a_weaker_box_in_the_same_place_is_suppressed_and_one_of_another_class_is_not() -> None:
    seen = found(output((52 * 3 + 10, 7, 0.9), (52 * 3 + 11, 7, 0.5), (52 * 3 + 9, 8, 0.4), (52 * 40, 7, 0.01)))
    assert seen.label.tolist() == [7, 8]


def test_a_true_box_is_hit_once() -> None:
    seen = found(output((52 * 3 + 10, 7, 0.9), (52 * 3 + 13, 7, 0.8)))
    scores, hits = matched(seen, {7: np.array([[64.0, 16, 104, 40]])})[7]
    assert hits.tolist() == [True, False] and scores[0] > scores[1]


def test_precision_is_cocos() -> None:
    assert average(np.array([True, True]), 2) == 1.0
    assert average(np.array([False, True]), 1) == 0.5
    assert average(np.array([True]), 2) == pytest.approx(51 / 101)
    assert average(np.zeros(0, bool), 3) == 0.0


def test_all_boxes_found_is_one_and_the_intervals_know_it() -> None:
    raw = output((52 * 3 + 10, 7, 0.9))
    at = Set((np.zeros((1, 1, 3), np.uint8),) * 2, ({7: found(raw).corners},) * 2)
    way = at.way("all", [1, 1], np.stack([raw, raw]))
    assert at.precision(way, [0, 1]) == 1.0 and set(at.drawn(way)) == {1.0}
