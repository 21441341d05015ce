"""A teacher is a bundle or an ONNX file that speaks of the student's classes; anything else is a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgewise.adapt.teacher import OnnxTeacher, Teacher
from edgewise.core.artifact import Manifest
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import read_manifest
from tests.small_bundles import HEIGHT, SCALED, WHITE, WIDTH, colours, model, node, painted, pooled

PAINTED = [painted(colour, 200) for colour in (2, 0, 1)]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return colours(tmp_path_factory.mktemp("student"))


def file(folder: Path, data: bytes, **metadata: str) -> Path:
    loaded = onnx.load_from_string(data)
    onnx.helper.set_model_props(loaded, metadata)
    place = folder / "teacher.onnx"
    onnx.save(loaded, place)
    return place


def whole(classes: int = 3, last: str = "") -> bytes:
    """The colours' model, with a softmax perhaps, or its scores `classes` wide."""
    nodes = [*SCALED, *pooled("early")]
    nodes[-1] = node("Flatten", ["pooled"], "flat")
    nodes.append(node("MatMul", ["flat", "wide"], "more"))
    nodes.append(node(last or "Identity", ["more"], "answer"))
    wide = 9 * np.eye(3, classes, dtype=np.float32)
    picture = {"picture": (TensorProto.UINT8, ["n", HEIGHT, WIDTH, 3])}
    return model(picture, {"answer": ["n", classes]}, nodes, white=WHITE, wide=wide)


def test_a_bundle_teaches(tmp_path: Path, student: Manifest) -> None:
    colours(tmp_path)
    teacher = OnnxTeacher.load(tmp_path, student)
    assert isinstance(teacher, Teacher)
    soft = teacher.probabilities(PAINTED)
    assert soft.dtype == np.float32 and soft.argmax(axis=1).tolist() == [2, 0, 1]
    assert np.allclose(soft.sum(axis=1), 1, atol=1e-5)


def test_a_file_teaches_whether_it_gives_logits_or_probabilities(tmp_path: Path, student: Manifest) -> None:
    logits = OnnxTeacher.load(file(tmp_path, whole()), student).probabilities(PAINTED)
    already = OnnxTeacher.load(file(tmp_path, whole(last="Softmax")), student).probabilities(PAINTED)
    assert np.allclose(logits, already, atol=1e-5) and logits.max() > 0.9


def test_pictures_of_any_size_and_none_at_all(tmp_path: Path, student: Manifest) -> None:
    teacher = OnnxTeacher.load(file(tmp_path, whole()), student)
    large = painted(1, 200).repeat(5, axis=0).repeat(3, axis=1)
    assert teacher.probabilities([large, *[PAINTED[0]] * 40]).argmax(axis=1).tolist() == [1] + [2] * 40
    assert teacher.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "sound"), [("red, green, blue", True), ('["red", "green", "blue"]', True), ("blue,red,green", False)]
)
def test_labels_in_a_file_are_the_students_or_it_does_not_teach(
    tmp_path: Path, student: Manifest, labels: str, sound: bool
) -> None:
    place = file(tmp_path, whole(), names=labels)
    if sound:
        OnnxTeacher.load(place, student)
    else:
        with pytest.raises(ModelError, match="other labels than the student"):
            OnnxTeacher.load(place, student)


def test_another_number_of_classes_is_a_sentence(tmp_path: Path, student: Manifest) -> None:
    with pytest.raises(ModelError, match="other classes than the student; got 5"):
        OnnxTeacher.load(file(tmp_path, whole(5)), student)


def test_a_teacher_that_gives_no_number_has_no_answer(tmp_path: Path, student: Manifest) -> None:
    data = whole(last="Log")  # of scores that may be 0: −∞
    teacher = OnnxTeacher.load(file(tmp_path, data), student)
    soft = teacher.probabilities([painted(0, 200), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)])
    assert np.isnan(soft[0]).all() and np.isfinite(soft[1]).all()


def test_what_takes_no_picture_does_not_teach(tmp_path: Path, student: Manifest) -> None:
    flat = model({"x": (TensorProto.FLOAT, ["n", 7])}, {"y": ["n", 7]}, [node("Identity", ["x"], "y")])
    with pytest.raises(ModelError, match="takes no picture"):
        OnnxTeacher.load(file(tmp_path, flat), student)


def test_a_detector_of_another_kind_does_not_teach_classes(student: Manifest) -> None:
    vehicles = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"
    with pytest.raises(ModelError, match="teacher"):
        OnnxTeacher.load(vehicles, student)


def test_a_detector_teaches_its_cells() -> None:
    vehicles = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"
    teacher = OnnxTeacher.load(vehicles, read_manifest(vehicles))
    soft = teacher.probabilities([np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)])
    assert soft.shape[1] > 100 and (soft >= 0).all() and (soft <= 1).all()
