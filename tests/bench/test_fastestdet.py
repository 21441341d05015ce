"""The borrowed baseline decodes as its repository says: on the real clip it finds what the labels hold."""

import numpy as np

from bench.fastestdet import FastestDet
from edgewise.data.boxes import occupied
from edgewise.data.clip import by_time, frame, read_clip
from edgewise.data.metrics import counts, f1
from edgewise.data.pack import open_pack


def test_cells_of_fastestdet_agree_with_the_labels_of_the_clip_far_better_than_chance(data_pack):
    detector = FastestDet(data_pack("fastestdet"))
    files = open_pack(data_pack("opendatacam.tar"))
    pictures = by_time(read_clip(files).pictures)[1][::20]
    said, true = [], []
    for picture in pictures:
        score, corners = detector.boxes(frame(files, picture))
        assert corners.shape == (len(score), 4) and (np.diff(score) <= 0).all()
        said.append(occupied(corners[score >= 0.5]))
        true.append(occupied([(b.x0, b.y0, b.x1, b.y1) for b in picture.boxes]))
    table = counts(np.stack(said), np.stack(true))
    assert f1(table) > 0.6
    assert f1(counts(np.stack(said)[:, :, ::-1], np.stack(true))) < f1(table) - 0.1  # mirrored, it would not


def test_an_empty_grey_picture_holds_no_vehicle(data_pack):
    score, _ = FastestDet(data_pack("fastestdet")).boxes(np.full((360, 640, 3), 128, np.uint8))
    assert (score < 0.5).all()
