"""Pictures read once: what is unreadable is named and counted, and too much of it is an error."""

import itertools
import tarfile
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


@pytest.mark.parametrize("tarred", [False, True])
def test_a_picture_replaced_under_its_name_is_read_again(tarred: bool, pictures: Path, tmp_path: Path) -> None:
    def found() -> list[int]:
        place = pictures
        if tarred:
            place = tmp_path / "pictures.tar"
            with tarfile.open(place, "w") as tar:
                tar.add(pictures, ".")
        gallery = gathered(open_pack(place), Picture(20, 10), tmp_path / "work")
        return [int(p[5, 5, 0]) for p in gallery.pictures]

    before, size = found(), (pictures / "6.png").stat().st_size
    Image.new("RGB", (40, 20), (121, 0, 0)).save(pictures / "6.png")
    assert (pictures / "6.png").stat().st_size == size  # so that its time alone tells
    assert found() == [*before[:6], 121, *before[7:]]


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


@pytest.mark.parametrize("count", [2, 7, 40, 205, 5000])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_stretches_judge_with_a_border_to_what_teaches(count: int, share: float) -> None:
    names = [f"{i}.png" for i in range(count)]
    learn, judge = parted(names, share, 3)
    assert learn and judge and not set(learn) & set(judge)
    assert (learn, judge) == parted(names, share, 3)
    assert len(judge) == max(1, round(share * count)) and len(learn) >= 0.8 * (count - len(judge))
    stretches = sum(b - a > 1 for a, b in itertools.pairwise(judge)) + 1
    assert stretches <= max(1, min(8, count // 100))
    border = min(16, count // (20 * max(1, min(8, count // 100))))
    distance = np.abs(np.array(judge)[:, None] - np.array(learn)[None]).min()
    assert distance == (border + 1 if count > 2 else 1)


def test_every_class_is_judged_where_folders_are_classes() -> None:
    names = [f"{folder}/{i}.png" for folder in ("ants", "bees", "cats") for i in range(50)] + ["rare/0.png", "rare/1.png"]
    learn, judge = parted(names, 0.1, 0)
    for side in (learn, judge):
        assert {names[i].split("/")[0] for i in side} == {"ants", "bees", "cats", "rare"}
    assert len(judge) == 16


def test_folders_of_one_picture_each_are_one_row() -> None:
    learn, judge = parted([f"{i}/frame.png" for i in range(60)], 0.1, 0)
    assert len(judge) == 6 and judge == tuple(range(judge[0], judge[0] + 6)) and len(learn) >= 48
