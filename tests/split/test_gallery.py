"""Pictures read once: what is unreadable is named and counted, and too much of it is an error."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.core.artifact import Picture
from edgewise.core.errors import SourceError
from edgewise.data.pack import open_pack
from edgewise.split.gallery import gathered, parted


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    for number in range(10):
        Image.new("RGB", (40, 20), (number * 20, 0, 0)).save(place / f"{number}.png")
    return place


def test_an_unreadable_picture_is_left_out_by_name(pictures: Path, tmp_path: Path) -> None:
    (pictures / "4.png").write_bytes(b"nothing of the kind")
    found = gathered(open_pack(pictures), Picture(20, 10), tmp_path / "work", most_bad=0.1)
    assert len(found) == 9 and [x.name for x in found.left] == ["4.png"] and "not a picture" in found.left[0].why
    assert found.of([8, 3])[:, 5, 5, 0].tolist() == [180, 60] and found.names[4] == "5.png"
    with pytest.raises(SourceError, match=r"1 of 10.*4\.png"):
        gathered(open_pack(pictures), Picture(20, 12), tmp_path / "work", most_bad=0.05)


def test_a_second_call_reads_nothing_again(pictures: Path, tmp_path: Path) -> None:
    pack = open_pack(pictures)
    first = np.array(gathered(pack, Picture(20, 10), tmp_path / "work").pictures)
    heard: list[str] = []
    again = gathered(pack, Picture(20, 10), tmp_path / "work", advance=lambda what, share: heard.append(what))
    assert not heard and np.array_equal(again.pictures, first)
    other = gathered(pack, Picture(20, 10), tmp_path / "work", limit=3, advance=lambda what, share: heard.append(what))
    assert heard and other.names == ("0.png", "4.png", "9.png")


def test_a_reading_that_was_killed_is_not_believed(pictures: Path, tmp_path: Path) -> None:
    (pictures / "9.png").write_bytes(b"")
    with pytest.raises(SourceError):
        gathered(open_pack(pictures), Picture(20, 10), tmp_path / "work", most_bad=0.0)
    found = gathered(open_pack(pictures), Picture(20, 10), tmp_path / "work", most_bad=0.1)
    assert len(found) == 9 and found.of([8]).max() > 0


def test_no_pictures_at_all(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(SourceError, match="no picture"):
        gathered(open_pack(tmp_path), Picture(4, 4), tmp_path / "work")


@pytest.mark.parametrize("count", [2, 7, 100, 5000])
def test_parts_are_apart_and_neighbours_together(count: int) -> None:
    learn, judge = parted(count, 0.1, 3)
    assert sorted((*learn, *judge)) == list(range(count)) and learn and judge
    assert (learn, judge) == parted(count, 0.1, 3)
    runs = sum(b - a > 1 for a, b in itertools.pairwise(judge)) + 1
    assert runs <= max(1, len(judge) // min(16, max(1, count // 20))) + 1
