"""Several tasks in one answer: each says what it says alone, from its own outputs and labels; what is said twice is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgewise.core.answer import Answer
from edgewise.core.artifact import Bottleneck, Manifest, PartFile, Picture, TensorSpec, parse
from edgewise.core.decoding import Classes, Decoding, Grid, Regions, Several, Things, Told
from edgewise.core.errors import ModelError, TensorError
from edgewise.data.decoding import answers
from edgewise.data.decoding.found import found

RANDOM = np.random.default_rng(1)
THINGS = Things(0.5, 0.6, 0, 4)
OUTPUTS = {
    "weather.logits": RANDOM.normal(size=(2, 3)).astype(np.float32),
    "seen.score": RANDOM.random((2, 1, 4, 4)).astype(np.float32),
    "seen.box": np.sort(RANDOM.random((2, 4, 4, 4)).astype(np.float32), axis=1),
    "seen.coefficients": RANDOM.normal(size=(2, 2, 4, 4)).astype(np.float32),
    "seen.prototypes": RANDOM.normal(size=(2, 2, 8, 8)).astype(np.float32),
    "road.map": RANDOM.normal(size=(2, 5, 6, 6)).astype(np.float32),
}
TASKS = (
    Told("weather", Classes("logits", 2), ("fog", "sun", "rain")),
    Told("seen", THINGS, ("car",)),
    Told("road", Regions("map", 6, 6)),
)


def own(task: str) -> dict[str, np.ndarray]:
    return {name.partition(".")[2]: value for name, value in OUTPUTS.items() if name.startswith(task)}


def test_each_task_says_what_it_says_alone() -> None:
    said = answers(OUTPUTS, Several(TASKS), ())
    assert len(said) == 2
    for task, field in zip(TASKS, ("classes", "boxes", "regions"), strict=True):
        alone = answers(own(task.name), task.decoding, task.labels)
        assert [getattr(a, field) for a in said] == [getattr(a, field) for a in alone]
        assert any(getattr(a, field) for a in said), f"{field} is empty, and proves nothing"
    assert all(box.mask for a in said for box in a.boxes)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(said[0]), type=Answer) == said[0]
    assert found(said[0], "car") == bool(said[0].boxes)


def test_boxes_of_two_tasks_stand_one_after_the_other() -> None:
    outputs = OUTPUTS | {name.replace("seen", "far"): value for name, value in OUTPUTS.items() if name.startswith("seen")}
    both = answers(outputs, Several((TASKS[1], Told("far", THINGS, ("lorry",)))), ())
    for answer in both:
        labels = [box.label for box in answer.boxes]
        assert labels == ["car"] * (len(labels) // 2) + ["lorry"] * (len(labels) // 2)


@pytest.mark.parametrize(
    "outputs",
    [
        {name: value for name, value in OUTPUTS.items() if not name.startswith("weather")},
        OUTPUTS | {"weather.logits": np.zeros((3, 3), np.float32)},
        OUTPUTS | {"seen.score": np.full((2, 1, 4, 4), np.nan, np.float32)},
    ],
)
def test_outputs_that_are_not_those_of_the_tasks_are_a_sentence(outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(TensorError):
        answers(outputs, Several(TASKS), ())


def manifest(decoding: Decoding, gives: tuple[str, ...] = tuple(OUTPUTS)) -> Manifest:
    picture, crossing = TensorSpec("picture", "uint8", (None, 8, 8, 3)), TensorSpec("z", "float32", (None, 2, 4, 4))
    outputs = tuple(TensorSpec(name, "float32", (None, 1)) for name in gives)
    parts = {
        "head": PartFile("head.onnx", f"{1:064x}", 1, (picture,), (crossing,)),
        "tail": PartFile("tail.onnx", f"{2:064x}", 1, (crossing,), outputs),
    }
    bottleneck = Bottleneck((2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    return Manifest("one", "several", (), parts, {"head": Picture(8, 8)}, bottleneck, decoding, ())


def test_a_manifest_of_several_tasks_is_read_again() -> None:
    said = manifest(Several(TASKS))
    assert parse(said.canonical) == said


@pytest.mark.parametrize(
    ("decoding", "word"),
    [
        (Several((TASKS[0], TASKS[0])), "the name 'weather'"),
        (Several((TASKS[0], Told("again", Classes("logits")))), "classes"),
        (Several((TASKS[2], Told("cells", Grid(0.5, 0.5, 0.5, 6, 6), ("car",)))), "cells"),
        (Several((*TASKS, Told("more", THINGS, ("car",)))), "'more'"),
        (Several((Told("road", Grid(0.5, 0.5, 0.5, 6, 6)),)), "no label"),
        (Classes("weather.logits"), "does not fit"),
    ],
)
def test_tasks_that_would_say_the_same_or_nothing_are_refused(decoding: Decoding, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        parse(manifest(decoding).canonical)
