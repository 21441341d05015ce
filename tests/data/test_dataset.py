"""A folder says by what lies in it which labels it has; what cannot be read is named, counted and left out, up to a limit."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.core.errors import EdgewiseError, SourceError
from edgewise.data.dataset import STRETCHES, open_dataset


def picture(file: Path, width: int = 40, height: int = 20) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    seed = np.random.default_rng(len(file.name))
    Image.fromarray(seed.integers(0, 255, (height, width, 3), np.uint8)).save(file)


def coco(folder: Path) -> None:
    picture(folder / "val2017/a.png")
    said = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [10, 5, 20, 10]}],
        "categories": [{"id": 3, "name": "car"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_train2017.json").write_text(json.dumps({**said, "images": [], "annotations": []}))
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(said))


def voc(folder: Path) -> None:
    picture(folder / "JPEGImages/a.png")
    (folder / "Annotations").mkdir()
    box = "<bndbox><xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>15</ymax></bndbox>"
    size = "<size><width>40</width><height>20</height></size>"
    (folder / "Annotations/a.xml").write_text(
        f"<annotation><filename>a.png</filename>{size}<object><name>car</name>{box}</object></annotation>"
    )


def yolo(folder: Path) -> None:
    picture(folder / "images/a.png")
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text("nc: 1\nnames:\n  0: car\n")


@pytest.mark.parametrize("write", [coco, voc, yolo])
def test_boxes_in_three_forms_are_the_same_boxes(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    found = open_dataset(tmp_path)
    assert (found.kind, found.labelled) == (write.__name__, True)
    (example,) = found
    (box,) = example.entry.boxes
    assert example.values.shape == (20, 40, 3)
    assert (box.x0, box.y0, box.x1, box.y1, box.label) == (0.25, 0.25, 0.75, 0.75, "car")


@pytest.mark.parametrize("write", [coco, voc, yolo])
def test_a_labelled_picture_that_cannot_be_read_is_named(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    (broken,) = tmp_path.rglob("a.png")
    broken.write_bytes(b"no picture")
    found = open_dataset(tmp_path)
    with pytest.raises(SourceError, match=r"no sample.*a\.png"):
        list(found)
    assert [Path(name).name for name in found.unreadable] == ["a.png"]


def test_class_folders_are_read_from_the_part_for_tests_and_drawn_from_all_classes(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        for i in range(6):
            picture(tmp_path / f"train/{kind}/{i}.png")
            picture(tmp_path / f"val/{kind}/{i}.png")
    found = open_dataset(tmp_path, limit=6, seed=1)
    assert found.kind == "classes" and len(found.entries) == 6
    assert all(e.name.startswith("val/") and e.label == Path(e.name).parent.name for e in found.entries)
    assert {e.label for e in found.entries} == {"cat", "dog"}


def test_a_mask_is_read_as_numbers_of_classes(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((20, 40), 3, np.uint8)).save(tmp_path / "masks/a.png")
    (example,) = open_dataset(tmp_path)
    assert example.mask is not None and set(np.unique(example.mask)) == {3}


def test_footage_keeps_its_order_in_stretches_and_a_tar_is_the_same_as_its_folder(tmp_path: Path) -> None:
    for i in range(3 * STRETCHES):
        picture(tmp_path / f"film/{i}.png")
    with tarfile.open(tmp_path / "film.tar", "w") as tar:
        tar.add(tmp_path / "film", "film")
    one, other = open_dataset(tmp_path / "film"), open_dataset(tmp_path / "film.tar")
    assert one.kind == other.kind == "pictures" and not one.labelled
    assert [Path(e.name).name for e in one.entries] == [f"{i}.png" for i in range(3 * STRETCHES)]
    assert [Path(e.name).name for e in other.entries] == [Path(e.name).name for e in one.entries]
    assert sorted({e.block for e in one.entries}) == list(range(STRETCHES))


def test_arrays_are_samples_that_are_no_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((1, 64), np.float32))
    np.save(tmp_path / "b.npy", np.full((1, 64), np.nan, np.float32))
    found = open_dataset(tmp_path)
    assert found.kind == "arrays"
    assert [e.entry.name for e in found] == ["a.npy"]
    assert list(found.unreadable) == ["b.npy"]


def test_what_cannot_be_read_is_named_and_too_much_of_it_is_an_error(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"no picture")
    (tmp_path / "5.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    found = open_dataset(tmp_path)
    assert len(list(found)) == 4
    assert set(found.unreadable) == {"4.png", "5.png"}
    with pytest.raises(SourceError, match=r"too many samples.*4\.png"):
        list(open_dataset(tmp_path, unreadable=1))


@pytest.mark.parametrize(("write", "says"), [(lambda f: None, "nothing to look at"), (None, "no such file")])
def test_a_place_without_samples_is_a_sentence(write, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    place = tmp_path / "data"
    if write is not None:
        place.mkdir()
        (place / "readme.txt").write_text("empty")
    with pytest.raises(EdgewiseError, match=says):
        open_dataset(place)


def test_yolo_labels_without_names_of_classes_are_an_error(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(SourceError, match=r"classes\.txt"):
        open_dataset(tmp_path)


def test_the_packs_are_what_they_are(data_pack) -> None:  # type: ignore[no-untyped-def]
    assert open_dataset(data_pack("bccd.tar"), 3).kind == "voc"
    found = open_dataset(data_pack("coco-open.tar"), 3)
    assert found.kind == "coco" and all(len(e.values.shape) == 3 for e in found)
