"""Average precision of boxes, masks and keypoints: what is exact scores 1, what is spoiled scores less, and in its own task."""

import msgspec
import numpy as np
import pytest

from edgewise.core.answer import Answer, Box
from edgewise.data.junction.footage import LABEL, footage
from edgewise.data.things import Scene, differences, intervals, keypoint_likeness, mask_overlaps, matches, scores

SIDE = 28


def perfect(scene: Scene) -> Answer:
    """What a detector without fault says: true boxes and corners, and masks as its squares of bits can hold them."""
    boxes = []
    rows, columns = scene.mask.shape
    for corners, label, number, points in zip(scene.boxes, scene.label, scene.number, scene.points):
        x0, y0, x1, y1 = corners
        at = (np.arange(SIDE) + 0.5) / SIDE
        x, y = ((x0 + (x1 - x0) * at) * columns).astype(int), ((y0 + (y1 - y0) * at) * rows).astype(int)
        mask = np.packbits(scene.mask[y[:, None], x] == number).tobytes()
        boxes.append(Box(*map(float, corners), 0.9, label, tuple(points.ravel().tolist()), mask))
    return Answer(boxes=tuple(boxes))


def changed(answer: Answer, **values) -> Answer:
    return Answer(boxes=tuple(msgspec.structs.replace(b, **values) for b in answer.boxes))


@pytest.fixture(scope="module")
def seen():
    return [f for f in footage(range(100, 104), 1, ("clear", "fog")) if len(f.truth.boxes)]


def test_what_is_exact_scores_one_and_nothing_scores_zero(seen):
    truth = [f.truth for f in seen]
    said = scores([perfect(t) for t in truth], truth)
    assert said["box"] == said["points"] == said["mask50"] == 1.0
    assert said["mask"] > 0.9  # 28 places across a box are not its pixels
    assert set(scores([Answer()] * len(truth), truth).values()) == {0.0}


def test_each_task_has_its_own_score(seen):
    truth = [f.truth for f in seen]
    exact = [perfect(t) for t in truth]
    unmasked = scores([changed(a, mask=bytes(98)) for a in exact], truth)
    assert unmasked["mask"] == 0.0 and unmasked["box"] == unmasked["points"] == 1.0
    unpointed = scores([changed(a, points=(0.0,) * 16) for a in exact], truth)
    assert unpointed["points"] < 0.2 and unpointed["box"] == 1.0


def test_a_doubled_box_is_found_once_and_a_higher_level_is_never_easier():
    likeness = np.array([[0.9, 0.2], [0.8, 0.7], [0.85, 0.1]])
    hits = matches(likeness)
    assert hits[:, 0].tolist() == [True, True, False]
    assert (np.diff(hits.sum(0)) <= 0).all()


def test_the_overlap_of_masks_is_that_of_their_pixels(seen):
    scene = seen[0].truth
    said = perfect(scene).boxes
    found = mask_overlaps(said, scene, SIDE)
    rows, columns = scene.mask.shape
    for i, box in enumerate(said):  # painted pixel by pixel
        y, x = np.mgrid[:rows, :columns]
        u, v = ((x + 0.5) / columns - box.x0) / (box.x1 - box.x0), ((y + 0.5) / rows - box.y0) / (box.y1 - box.y0)
        inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
        bits = np.unpackbits(np.frombuffer(box.mask, np.uint8)).reshape(SIDE, SIDE).astype(bool)
        cells = (np.clip(v * SIDE, 0, SIDE - 1).astype(int), np.clip(u * SIDE, 0, SIDE - 1).astype(int))
        painted = inside & bits[cells]
        for j, number in enumerate(scene.number):
            true = scene.mask == number
            assert found[i, j] == pytest.approx((painted & true).sum() / (painted | true).sum(), abs=0.02)


def test_keypoints_farther_off_are_less_alike_and_those_outside_do_not_count():
    box = np.array([[0.2, 0.2, 0.6, 0.6]])
    points = np.array([[[0.3, 0.3], [0.5, 0.5], [1.4, 0.5]]])
    scene = Scene(box, ("a",), points=points)
    likeness = [
        keypoint_likeness([Box(0.2, 0.2, 0.6, 0.6, 1.0, "a", tuple((points + np.array((d, 0))).ravel()))], scene)[0, 0]
        for d in (0, 0.02, 0.05)
    ]
    assert likeness[0] == 1.0 and likeness[0] > likeness[1] > likeness[2]
    elsewhere = points.copy()
    elsewhere[0, 2] = 0.0
    assert keypoint_likeness([Box(0.2, 0.2, 0.6, 0.6, 1.0, "a", tuple(elsewhere.ravel()))], scene)[0, 0] == 1.0


def test_ap_is_the_mean_over_classes_and_labels_matter():
    scene = Scene(np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]), ("a", "b"))
    right = Box(0.0, 0.0, 0.5, 0.5, 0.9, "a")
    assert scores([Answer(boxes=(right,))], [scene]) == {"box": 0.5, "box50": 0.5}
    assert scores([Answer(boxes=(msgspec.structs.replace(right, label="b"),))], [scene])["box"] == 0.0


def test_intervals_hold_the_value_and_a_paired_difference_with_oneself_is_nothing(seen):
    truth, blocks = [f.truth for f in seen], [f.block for f in seen]
    exact = [perfect(t) for t in truth]
    worse = [Answer(boxes=a.boxes[::2]) for a in exact]
    found = intervals(worse, truth, blocks, draws=40)["box"]
    assert found.low <= found.value <= found.high and found.low < found.high
    same = differences(worse, worse, truth, blocks, draws=10)["mask"]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert differences(worse, exact, truth, blocks, draws=10)["box"].high < 0


def test_empty_roads_have_no_vehicle_and_the_same_road():
    (empty,) = footage([100], 1, ("clear",), empty=True)
    (busy,) = footage([100], 1, ("clear",))
    assert not len(empty.truth.boxes) and not empty.truth.mask.any() and LABEL not in empty.truth.label
    nothing = busy.truth.mask == 0
    close = np.abs(empty.image.astype(int) - busy.image).max(-1)[nothing] < 25  # noise, and shadows of those who are away
    assert close.mean() > 0.8
