"""Scores against what can be counted by hand, and the laws that hold for any answers."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.answer import Answer, Box, Class
from edgewise.core.errors import InputError
from edgewise.data.decoding import raw
from edgewise.data.metrics import average_precision
from edgewise.data.scoring import Truth, agreement, of_boxes, of_classes, of_regions


def box(x: float, score: float = 1.0, label: str = "car", size: float = 0.2) -> Box:
    return Box(x, 0.1, x + size, 0.1 + size, score, label)


def regions(cells: np.ndarray) -> Answer:
    return Answer(rows=cells.shape[0], columns=cells.shape[1], regions=zlib.compress(cells.astype(np.uint8).tobytes()))


def test_top_1_counts_first_places_and_its_interval_holds_it() -> None:
    said = [Answer(classes=(Class("a", 0.6), Class("b", 0.4))) for _ in range(40)]
    true = [Truth(label="a" if i % 4 else "b") for i in range(40)]
    found = of_classes(said, true, range(40))
    assert found.value == 0.75 and found.low <= 0.75 <= found.high and found.n == 40
    assert found.low < 0.75 < found.high
    assert found.more["top-5"] == 1.0


def test_a_perfect_detector_has_ap_1_and_a_missed_half_costs_half() -> None:
    true = [Truth((box(0.1), box(0.5)))] * 6
    perfect = [Answer(t.boxes) for t in true]
    assert of_boxes(perfect, true, range(6)).value == 1.0
    half = [Answer(t.boxes[:1]) for t in true]
    assert of_boxes(half, true, range(6)).value == pytest.approx(0.5)
    shifted = [Answer((box(0.1 + 0.045), box(0.5 + 0.045))) for _ in true]  # IoU 0.63
    found = of_boxes(shifted, true, range(6))
    assert found.value == 1.0 and found.more["AP"] == pytest.approx(0.3)


def test_a_second_box_on_a_thing_is_wrong_and_one_in_an_ignored_region_is_neither() -> None:
    true = [Truth((box(0.1),), ignored=(box(0.6),))]
    twice = [Answer((box(0.1, 0.8), box(0.1, 0.9), box(0.6, 0.95)))]
    assert of_boxes(twice, true, [0]).value == 1.0, "what is behind the last hit costs nothing; the ignored one never does"
    before = [Answer((box(0.1, 0.8), box(0.11, 0.7)))], [Truth((box(0.1),), ())]
    assert of_boxes(*before, [0]).value == 1.0
    wrong_first = [Answer((box(0.4, 0.9), box(0.1, 0.8)))]
    assert of_boxes(wrong_first, [Truth((box(0.1),))], [0]).value == 0.5


def test_labels_are_apart_unless_there_is_one_class() -> None:
    said, true = [Answer((box(0.1, label="car"),))], [Truth((box(0.1, label="bus"),))]
    assert of_boxes(said, true, [0]).value == 0.0
    assert of_boxes(said, true, [0], one_class=True).value == 1.0
    with pytest.raises(InputError, match="no box"):
        of_boxes(said, [Truth()], [0])


corner = st.floats(0, 0.8).map(lambda x: round(x, 2))
some = st.lists(st.builds(box, corner, st.integers(1, 100).map(lambda i: i / 100)), max_size=4, unique_by=lambda b: b.score)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(some, some), min_size=1, max_size=4).filter(lambda ps: any(t for _, t in ps)))
def test_ap50_of_one_class_is_that_of_the_metrics(pictures: list) -> None:  # type: ignore[type-arg]
    scores = [b.score for said, _ in pictures for b in said]
    if len(set(scores)) < len(scores):
        return  # ties between pictures: either order is right
    said = [Answer(tuple(s)) for s, _ in pictures]
    true = [Truth(tuple(t)) for _, t in pictures]
    corners = [np.array([[b.x0, b.y0, b.x1, b.y1] for b in t], float).reshape(-1, 4) for _, t in pictures]
    want = average_precision([a.boxes for a in said], corners)
    assert of_boxes(said, true, range(len(said))).value == pytest.approx(want, abs=1e-9)


def test_miou_by_hand_and_255_is_not_scored() -> None:
    said = regions(np.array([[0, 0], [1, 1]]))
    true = np.array([[0, 1], [1, 255]], np.uint8)
    found = of_regions([said], [Truth(mask=true)], [0])
    assert found.value == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert (
        of_regions([said], [Truth(mask=np.kron(np.array([[0, 0], [1, 1]]), np.ones((8, 8))).astype(np.uint8))], [0]).value == 1.0
    )


@pytest.mark.parametrize(
    "answer",
    [
        Answer((box(0.1, 0.9), box(0.4, 0.7))),
        Answer(classes=(Class("a", 0.7),)),
        regions(np.arange(6).reshape(2, 3)),
        raw.answers({"logits": np.array([[0.1, 0.9]], np.float32), "map": np.ones((1, 2, 3, 3), np.float32)})[0],
    ],
)
def test_a_model_agrees_with_itself_wholly(answer: Answer) -> None:
    assert agreement([answer] * 3, [answer] * 3, range(3)).value == 1.0


def test_maps_that_differ_agree_less_the_more_they_differ() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 2, 8, 8)).astype(np.float32)
    noise = rng.standard_normal(values.shape).astype(np.float32)
    one = raw.answers({"map": values})
    found = [agreement(raw.answers({"map": values + s * noise}), one, [0]).value for s in (0.01, 0.1, 0.5)]
    assert found == sorted(found, reverse=True) and found[0] > 0.98 and found[2] < 0.7


def test_where_the_model_sees_nothing_seeing_nothing_agrees() -> None:
    blank, busy = Answer(), Answer((box(0.2, 0.9),))
    assert agreement([blank, busy], [blank, blank], [0, 1]).value == 0.5
