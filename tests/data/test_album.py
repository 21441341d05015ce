"""Albums: the same number the same picture, labels where there are some, what cannot be read counted."""

import math

import numpy as np
import pytest
from PIL import Image

from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError, SourceError
from edgewise.data import album
from edgewise.data.album import UNKNOWN, kept, open_album
from edgewise.data.preprocess import fit
from edgewise.data.source import open_source


def folder(tmp_path, classes=("car", "lorry"), each=3):
    for c, name in enumerate(classes):
        (tmp_path / name).mkdir()
        for i in range(each):
            Image.fromarray(np.full((20, 30, 3), 40 * c + i, np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("bytes_kept", [0, 10_000_000])
def test_pictures_of_class_folders_by_number_from_memory_or_disk(tmp_path, monkeypatch, bytes_kept):
    monkeypatch.setattr(album, "KEPT", bytes_kept)
    found = open_album(folder(tmp_path))
    assert len(found) == 6 and found.names == ("car", "lorry") and found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [int(found.of(i)[0, 0, 0]) for i in (4, 0, 4)] == [41, 0, 41]
    assert found.stack([0, 5]).shape == (2, 20, 30, 3)


def test_a_size_is_kept_to_and_a_bad_picture_is_counted(tmp_path):
    place = folder(tmp_path)
    (place / "car" / "bad.png").write_bytes(b"no picture")
    found = open_album(place, picture=Picture(8, 8))
    assert len(found) == 6 and found.of(5).shape == (8, 8, 3) and found.skipped == {album.UNREADABLE: 1}


def test_frames_of_a_rendered_junction_are_the_same_again():
    pytest.importorskip("cv2")
    found = open_album("junction:7:fog", limit=3, picture=Picture(160, 90))
    assert len(found) == 3 and found.labels.tolist() == [UNKNOWN] * 3 and found.of(1).shape == (90, 160, 3)
    first = next(iter(open_source("junction:7:fog", rate=math.inf))).image
    assert np.array_equal(found.of(0), fit(first, Picture(160, 90))[0])


def test_what_is_no_album_says_so(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros(4, np.float32))
    with pytest.raises(SourceError, match="arrays"):
        open_album(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        open_album(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="each picture"):
        kept(np.zeros((3, 4, 4, 3), np.uint8), entries=[])
    monkeypatch.setattr(album, "MOST_BYTES", 1000)
    pytest.importorskip("cv2")
    with pytest.raises(SourceError, match="memory"):
        open_album("junction:7", limit=2)
