"""Classes, regions and raw outputs: what an answer holds is what the model said, and a hostile output or answer is a sentence."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.decoding import Classes, Raw, Regions
from edgewise.core.errors import TensorError
from edgewise.data.decoding import answers, raw, regions

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(3, 7)).astype(np.float32)
MAP = RANDOM.normal(size=(2, 5, 12, 16)).astype(np.float32)


def test_the_likeliest_classes_come_first_with_their_probabilities() -> None:
    said = answers({"y": LOGITS}, Classes("y", 3), ("a", "b", "c", "d"))
    share = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    for row, answer in enumerate(said):
        order = np.argsort(-LOGITS[row])[:3]
        assert [c.label for c in answer.classes] == ["abcd456"[i] for i in order], "a class without a label is its number"
        assert [c.score for c in answer.classes] == pytest.approx(share[row, order], abs=1e-6)


def test_scores_that_are_probabilities_stay_and_logits_never_overflow() -> None:
    assert answers({"y": np.array([[0.2, 0.8]])}, Classes("y", logits=False), "ab")[0].classes[0].score == 0.8
    huge = answers({"y": np.array([[3e38, -3e38]], np.float32)}, Classes("y"), "ab")[0]
    assert [(c.label, c.score) for c in huge.classes] == [("a", 1.0), ("b", 0.0)]
    flat = answers({"y": LOGITS[:, :, None, None]}, Classes("y"), ())
    assert flat == answers({"y": LOGITS}, Classes("y"), ())


def test_regions_are_the_class_of_each_cell_at_its_middle() -> None:
    said = answers({"y": MAP}, Regions("y", 12, 16), ())
    assert all((regions.classes(a) == MAP[i].argmax(axis=0)).all() for i, a in enumerate(said))
    wide = answers({"y": MAP}, Regions("y", 24, 48), ())[0]
    assert (regions.classes(wide) == MAP[0].argmax(axis=0).repeat(2, axis=0).repeat(3, axis=1)).all()
    narrow = answers({"y": MAP}, Regions("y", 4, 4), ())[1]
    assert (regions.classes(narrow) == MAP[1].argmax(axis=0)[1::3, 2::4]).all()


def test_regions_of_numbers_and_of_one_logit() -> None:
    numbers = RANDOM.integers(0, 200, (1, 6, 6))
    assert (regions.classes(answers({"y": numbers}, Regions("y", 6, 6), ())[0]) == numbers[0]).all()
    assert (regions.classes(answers({"y": MAP[:, :1]}, Regions("y", 12, 16), ())[0]) == (MAP[0, 0] > 0)).all()


def test_raw_outputs_come_back_within_float16_and_integers_as_they_are() -> None:
    outputs: dict[str, NDArray[np.generic]] = {"a": MAP, "b": np.arange(2, dtype=np.int64)[:, None], "c": np.full((2, 1), 1e9)}
    said = answers(outputs, Raw(), ())
    for row, answer in enumerate(said):
        found = raw.outputs(answer)
        assert found["a"] == pytest.approx(MAP[row], rel=2**-11) and found["a"].shape == (5, 12, 16)
        assert found["b"].tolist() == [row] and found["c"].tolist() == [65504.0]


@pytest.mark.parametrize(
    ("outputs", "decoding"),
    [
        ({}, Classes("y")),
        ({"y": LOGITS[0]}, Classes("y")),
        ({"y": MAP}, Classes("y")),
        ({"y": np.full((1, 2), np.nan)}, Classes("y")),
        ({"y": LOGITS}, Regions("y", 2, 2)),
        ({"x": MAP}, Regions("y", 2, 2)),
        ({"y": np.full((1, 2, 4, 4), np.inf)}, Regions("y", 2, 2)),
        ({"y": np.full((1, 4, 4), 256)}, Regions("y", 2, 2)),
        ({"y": np.full((1, 4, 4), -1)}, Regions("y", 2, 2)),
        ({}, Raw()),
        ({"a": MAP, "b": LOGITS}, Raw()),
        ({"a": np.float32(1.0)}, Raw()),
        ({"a": np.full((1, 1), np.nan)}, Raw()),
    ],
)
def test_hostile_outputs_are_a_sentence(outputs: dict[str, NDArray[np.generic]], decoding: Classes | Regions | Raw) -> None:
    with pytest.raises(TensorError):
        answers(outputs, decoding, ("a",))


def test_hostile_answers_are_a_sentence() -> None:
    good = answers({"y": MAP}, Regions("y", 12, 16), ())[0]
    for bad in (
        replace(good, regions=b"x"),
        replace(good, regions=good.regions[:-1]),
        replace(good, rows=11),
        Answer(rows=1, columns=1),
    ):
        with pytest.raises(TensorError):
            regions.classes(bad)
    bomb = zlib.compress(bytes(raw.LARGEST + 1))
    for data in (b"", b"x", bomb, zlib.compress(b"{}"), zlib.compress(b"\xff" * 8)):
        with pytest.raises(TensorError):
            raw.outputs(Answer(raw=data))
