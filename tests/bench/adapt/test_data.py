"""What adaptation is judged on: parts that share no picture, shifts that share no family, truth that belongs to its frame."""

import numpy as np
import pytest

from bench.adapt.data import CHOOSING, REPORTED, cifar10, clip, road
from bench.adapt.sheet import sheet
from edgewise.data.boxes import occupied
from edgewise.data.streams import Domain, parse


def test_constants_are_chosen_on_other_families_than_reported():
    assert not {d.kind for d in CHOOSING} & {d.kind for d in REPORTED}


def test_parts_of_cifar_share_no_picture_and_a_kept_part_is_taken_up(data_pack, tmp_path):
    packs = data_pack("cifar10.tar").parent
    parts = [cifar10(part, tmp_path, 40, packs) for part in ("teach", "choose", "report")]
    names = [{e.name for e in p.entries} for p in parts]
    assert not names[0] & names[1] and all("/train/" in n for n in names[0] | names[1]) and all("/test/" in n for n in names[2])
    for part in parts:
        assert len(part.names) == 10 and np.bincount(part.labels, minlength=10).tolist() == [4] * 10
    assert np.array_equal(cifar10("choose", tmp_path, 40, packs).of(7), parts[1].of(7))


def test_roads_keep_their_truth_through_a_shift():
    pytest.importorskip("cv2")
    clear, dark = (list(road(0, d, 2)) for d in (Domain(), Domain("night", 5)))
    for a, b in zip(clear, dark, strict=True):
        assert np.array_equal(a.cells, b.cells) and np.array_equal(occupied(a.boxes), a.cells)
        assert b.image.mean() < 0.4 * a.image.mean() and a.drawn == b.drawn
    assert not np.array_equal(clear[0].image, clear[1].image)


def test_the_clip_is_read_in_order_of_time_and_darkened(data_pack):
    frames = clip(*parse("night:4"), packs=data_pack("opendatacam.tar").parent)
    first = next(frames)
    assert first.image.shape == (360, 640, 3) and first.image.mean() < 60 and first.cells.any()


def test_a_sheet_has_a_place_for_each_kind_and_severity():
    page = sheet(np.full((32, 48, 3), 90, np.uint8), ("fog", "night"), (1, 5))
    assert page.shape == (3 * (96 + 15), 2 * (144 + 3), 3)
