"""A class for each picture from four forms of labels; what does not fit, and a teacher that knows nothing, are sentences."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.core.errors import ConfigError, ModelError
from edgewise.split.labels import NONE, above_chance, labels_of

NAMES = ("cat", "dog")


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), (len(file.stem) * 20, 0, 0)).save(file)


def folders(place: Path) -> list[str]:
    for name in ("train/cat/1.png", "train/dog/2.png", "train/cow/3.png", "val/cat/4.png"):
        picture(place / name)
    return ["train/cat/1.png", "train/dog/2.png", "train/cow/3.png"]


BOXES = {"1": ["cat", "cat"], "2": ["dog"], "3": ["cat", "dog"], "4": []}


def coco(place: Path) -> list[str]:
    for name in BOXES:
        picture(place / f"train2017/{name}.png")
    said = {
        "images": [{"id": int(n), "file_name": f"{n}.png", "width": 40, "height": 20} for n in BOXES],
        "annotations": [
            {"image_id": int(n), "category_id": 3 + NAMES.index(w), "bbox": [1, 1, 9, 9]} for n, row in BOXES.items() for w in row
        ],
        "categories": [{"id": 3 + i, "name": n} for i, n in enumerate(NAMES)],
    }
    (place / "annotations").mkdir()
    empty = {**said, "images": [], "annotations": []}
    (place / "annotations/instances_val2017.json").write_text(json.dumps(empty))
    (place / "annotations/instances_train2017.json").write_text(json.dumps(said))
    return [f"train2017/{n}.png" for n in BOXES]


def yolo(place: Path) -> list[str]:
    (place / "labels/train").mkdir(parents=True)
    for name, row in BOXES.items():
        picture(place / f"images/train/{name}.png")
        (place / f"labels/train/{name}.txt").write_text("".join(f"{1 - NAMES.index(w)} 0.5 0.5 0.2 0.2\n" for w in row))
    (place / "data.yaml").write_text("names: [dog, cat]\n")  # another order than the network's
    return [f"images/train/{n}.png" for n in BOXES]


def voc(place: Path) -> list[str]:
    (place / "Annotations").mkdir()
    for name, row in BOXES.items():
        picture(place / f"JPEGImages/{name}.png")
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        things = "".join(f"<object><name>{w}</name>{box}</object>" for w in row)
        size = "<size><width>40</width><height>20</height></size>"
        (place / f"Annotations/{name}.xml").write_text(f"<annotation><filename>{name}.png</filename>{size}{things}</annotation>")
    return [f"JPEGImages/{n}.png" for n in BOXES]


@pytest.mark.parametrize(("write", "form"), [(coco, "COCO"), (yolo, "YOLO"), (voc, "VOC")])
def test_boxes_of_one_class_are_a_class(write, form: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = labels_of(tmp_path, write(tmp_path), NAMES, 2)
    assert found is not None and found.of == f"{form} boxes" and found.classes == (0, 1, NONE, NONE)
    assert found.left == {"boxes of several classes": 1, "no box": 1} and found.labelled == 2
    assert [found.word(i) for i in range(4)] == ["cat", "dog", "", ""]
    with pytest.raises(ConfigError, match=r"which output.*--labels with 2 names"):
        labels_of(tmp_path, [], (), 2)


def test_folders_are_classes_in_the_order_that_is_said_or_else_of_the_alphabet(tmp_path: Path) -> None:
    pictures = folders(tmp_path)
    found = labels_of(tmp_path, pictures, (), 3)
    assert found is not None and found.names == ("cat", "cow", "dog") and found.classes == (0, 2, 1)
    found = labels_of(tmp_path, pictures, ("dog", "cat"), 2)
    assert found is not None and found.classes == (1, 0, NONE) and found.left == {"a class that the network does not have": 1}


def test_what_does_not_fit_the_network_is_said(tmp_path: Path) -> None:
    pictures = folders(tmp_path)
    with pytest.raises(ConfigError, match=r"3 folders: cat, cow, dog; allowed: 10"):
        labels_of(tmp_path, pictures, (), 10)
    with pytest.raises(ConfigError, match=r"2 labels: cat, dog; allowed: 10, one for each"):
        labels_of(tmp_path, pictures, NAMES, 10)
    with pytest.raises(ConfigError, match=r"no label of the pictures.*got cat, cow, dog; allowed: n01, n02"):
        labels_of(tmp_path, pictures, ("n01", "n02"), 2)
    assert labels_of(tmp_path, pictures, ("n01", "n02"), 2, needed=False) is None, "folders by day, not by class"
    with pytest.raises(ConfigError, match="one name"):
        labels_of(tmp_path, pictures, ("cat", "cat"), 2)


def test_pictures_without_labels_have_none(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    assert labels_of(tmp_path, ["1.png"], NAMES, 2) is None


def test_chance_is_what_an_answer_without_a_look_would_reach() -> None:
    generator = np.random.default_rng(0)
    true = generator.choice(3, 3000, p=[0.7, 0.2, 0.1]).tolist()
    with pytest.raises(ModelError, match=r"70\.\d% of 3000 pictures right by class folders, where chance alone.*70\.\d%"):
        above_chance([0] * 3000, true, 3, "class folders")  # right on most pictures, and knows nothing
    with pytest.raises(ModelError, match="not better than chance"):
        above_chance([(t + 1) % 3 for t in true], true, 3, "class folders")  # classes in another order
    good = [t if g < 0.2 else 0 for t, g in zip(true, generator.random(3000), strict=True)]
    assert "The network has" in above_chance(good, true, 3, "class folders")
    flip = [0, 1] * 10
    assert "hardly better" in above_chance([*flip[:11], *(1 - t for t in flip[11:])], flip, 2, "class folders")
    assert "100.0% of 2 pictures" in above_chance([0, 1, 1], [0, 1, NONE], 2, "YOLO boxes"), "what has no label is not asked"
