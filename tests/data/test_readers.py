"""One form behind four kinds of labels: the same boxes written in each are read as the same; what is malformed says where."""

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgewise.core.errors import ConfigError, InputError, SourceError
from edgewise.data.clip import by_time, frame, read_clip
from edgewise.data.labelled import NO_AREA, Labels, clipped
from edgewise.data.pack import open_pack
from edgewise.data.readers.classes import read_class_folders
from edgewise.data.readers.coco import read_coco
from edgewise.data.readers.voc import read_voc
from edgewise.data.readers.yolo import class_names, read_yolo

# One picture of 40 × 20 px with a car at 10, 5 … 30, 15 and a box of no area.
CORNERS, FLAT = (10, 5, 30, 15), (7, 3, 7, 9)
VOC = "<annotation><filename>a.png</filename><size><width>40</width><height>20</height></size>{}</annotation>"


def picture(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(folder / "a.png")


def coco(tmp: Path, **changes: object) -> Labels:
    picture(tmp / "images")
    boxes = [{"image_id": 1, "category_id": 3, "bbox": [x0, y0, x1 - x0, y1 - y0]} for x0, y0, x1, y1 in (CORNERS, FLAT)]
    said = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": boxes,
        "categories": [{"id": 3, "name": "car"}],
    }
    (tmp / "said.json").write_text(json.dumps(said | changes))
    return read_coco(open_pack(tmp), "said.json", "images")


def voc(tmp: Path, text: str | None = None) -> Labels:
    picture(tmp / "images")
    corners = [dict(zip(("xmin", "ymin", "xmax", "ymax"), c, strict=True)) for c in (CORNERS, FLAT)]
    boxes = ["".join(f"<{k}>{v}</{k}>" for k, v in c.items()) for c in corners]
    objects = "".join(f"<object><name>car</name><bndbox>{b}</bndbox></object>" for b in boxes)
    (tmp / "xml").mkdir()
    (tmp / "xml" / "a.xml").write_text(VOC.format(objects) if text is None else text)
    return read_voc(open_pack(tmp), "xml", "images")


def yolo(tmp: Path, text: str = "0 0.5 0.5 0.5 0.5\n\n0 0.175 0.3 0 0.3\n") -> Labels:
    picture(tmp / "images")
    (tmp / "labels").mkdir()
    (tmp / "labels" / "a.txt").write_text(text)
    (tmp / "classes.txt").write_text("car\n")
    pack = open_pack(tmp)
    return read_yolo(pack, class_names(pack, "classes.txt"))


def test_the_same_boxes_in_three_forms_are_the_same(tmp_path: Path) -> None:
    read = [coco(tmp_path / "coco"), voc(tmp_path / "voc"), yolo(tmp_path / "yolo")]
    assert read[0] == read[1] == read[2]
    (only,) = read[0].pictures
    (box,) = only.boxes
    assert (only.identity, only.size) == ("images/a.png", (40, 20))
    assert (box.x0, box.y0, box.x1, box.y1, box.label) == (0.25, 0.25, 0.75, 0.75, "car")
    assert read[0].skipped == {NO_AREA: 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": 5}, "Expected `array`"),
        ({"categories": []}, r"category_id 3 in annotation 0 of said\.json"),
        ({"images": []}, "image_id 1"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 20}]}, "without width"),
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3]}]}, "length 4"),
    ],
)
def test_malformed_coco_names_the_place(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        coco(tmp_path / "c", **changes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<annotation>", "no element found"),
        ("<annotation/>", "size/width = None"),
        (VOC.replace("40", "many").format(""), "size/width = 'many'"),
        (VOC.replace("40", "0").format(""), "0 × 20"),
        (VOC.format("<object><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object>"), "finite"),
    ],
)
def test_malformed_voc_names_the_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        voc(tmp_path / "v", text)
    assert "xml/a.xml" in str(caught.value)


@pytest.mark.parametrize("line", ["0 0.5 0.5", "car 0.5 0.5 0.5 0.5", "1 0.5 0.5 0.5 0.5", "0 20 10 5 5", "0 nan 0.5 0.5 0.5"])
def test_malformed_yolo_names_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"line 2 of labels/a\.txt"):
        yolo(tmp_path / "y", f"0 0.5 0.5 0.5 0.5\n{line}\n")


def test_a_picture_without_yolo_labels_has_no_boxes(tmp_path: Path) -> None:
    picture(tmp_path / "images")
    assert read_yolo(open_pack(tmp_path), ["car"]).pictures[0].boxes == ()


def test_class_folders_name_the_class_and_count_what_is_no_picture(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "cat")
    (tmp_path / "train" / "cat" / "b.png").write_text("text")
    labels = read_class_folders(open_pack(tmp_path), "train")
    assert [(p.identity, p.boxes[0].label) for p in labels.pictures] == [("train/cat/a.png", "cat")]
    assert labels.skipped == {"the file is not a picture": 1}
    with pytest.raises(SourceError, match="no class folders"):
        read_class_folders(open_pack(tmp_path), "train/cat")


@given(st.lists(st.floats(-50, 90, allow_nan=False), min_size=4, max_size=4))
def test_a_box_lies_in_the_picture_or_is_none(corners: list[float]) -> None:
    box = clipped(corners, (40, 20), 1.0, "x")
    if box is not None:
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


def test_real_coco_and_voc(data_pack: Callable[[str], Path]) -> None:
    pack = open_pack(data_pack("coco-open.tar"))
    val = read_coco(pack, "coco-open/annotations/instances_val2017.json", "coco-open/val2017")
    assert (len(val.pictures), sum(len(p.boxes) for p in val.pictures), sum(len(p.ignored) for p in val.pictures)) == (27, 173, 2)
    for p in val.pictures:
        with Image.open(io.BytesIO(pack.read(p.identity))) as image:
            assert image.size == p.size
    cells = read_voc(open_pack(data_pack("bccd.tar")), "bccd/Annotations", "bccd/JPEGImages")
    assert Counter(b.label for p in cells.pictures for b in p.boxes) == {"RBC": 4153, "WBC": 372, "Platelets": 361}
    assert cells.skipped == {NO_AREA: 2}


def test_the_real_clip_splits_by_time(data_pack: Callable[[str], Path]) -> None:
    pack = open_pack(data_pack("opendatacam.tar"))
    clip = read_clip(pack, ["car"])
    assert sum(clip.skipped.values()) == 8  # the buses
    parts = by_time(clip.pictures)
    assert [len(p) for p in parts] == [262, 88, 87]
    numbers = [int(p.identity[-7:-4]) for part in parts for p in part]
    assert numbers == list(range(16, 453))
    assert frame(pack, parts[2][-1]).shape == (360, 640, 3)
    with pytest.raises(ConfigError, match="does not use up"):
        by_time(clip.pictures, (262, 88))


@pytest.mark.parametrize("text", ["[", "{}", '[{"frame_id": 1}]', '[{"frame_id": 1, "objects": [{"name": "car"}]}]'])
def test_a_malformed_clip_is_a_sentence(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "frames")
    (tmp_path / "said.json").write_text(text)
    with pytest.raises(InputError, match="malformed"):
        read_clip(open_pack(tmp_path))
