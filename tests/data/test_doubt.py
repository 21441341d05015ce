"""Doubt: within 0..1, largest where nothing is known, the same whatever is added to logits; None for what is no number."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import edgewise
from edgewise.core.decoding import Classes, Decoding, Grid, Raw, Regions, Several, Things, Told
from edgewise.core.errors import ConfigError, TensorError
from edgewise.data.doubt import ASKED, binary, doubt, entropy
from edgewise.data.junction.scene import Junction
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle

CLASSES = Classes("y")
GRID = Grid(0.5, 0.5, 0.5, 4, 8)
LOGITS = arrays(np.float32, st.integers(2, 40), elements=st.floats(-1e4, 1e4, width=32))


def of(values: object, decoding: Decoding = CLASSES, temperature: float = 1.0) -> float:
    found = doubt({"y": np.asarray(values, np.float32)[None]}, decoding, temperature=temperature)
    assert found is not None
    return found.entropy


@settings(max_examples=60, deadline=None)
@given(LOGITS)
def test_entropy_lies_between_certainty_and_knowing_nothing(logits: np.ndarray) -> None:
    found = doubt({"y": logits[None]}, CLASSES)
    assert found is not None
    assert 0 <= found.entropy <= 1 and found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found.probabilities.argmax() == logits.argmax() or np.isclose(logits.max(), logits[found.probabilities.argmax()])


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, st.integers(2, 12), elements=st.floats(0.01, 1)))
def test_it_is_the_definition(weights: np.ndarray) -> None:
    p = weights / weights.sum()
    assert entropy(p) == pytest.approx(-sum(x * math.log(x) for x in p.tolist()) / math.log(len(p)), abs=1e-9)
    assert of(np.log(p)) == pytest.approx(entropy(p), abs=1e-4)
    assert of(np.log(p) + 37) == pytest.approx(entropy(p), abs=1e-4)  # logits have no zero
    assert of(3 * p, Classes("y", logits=False)) == pytest.approx(entropy(p), abs=1e-5)  # nor do scores have a scale


def test_extremes() -> None:
    for classes in (2, 10, 1000):
        assert of(np.zeros(classes)) == pytest.approx(1, abs=1e-6)
        assert of(np.eye(classes)[0] * 1e4) == 0
    assert of([3.0]) == 0  # one class cannot be doubted
    assert of([2.0, 0.0], temperature=4) > of([2.0, 0.0]) > of([2.0, 0.0], temperature=0.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_doubt(bad: float) -> None:
    assert doubt({"y": np.array([[0.0, bad, 1.0]], np.float32)}, CLASSES) is None
    maps = {"score": np.zeros((1, 1, 4, 8)), "box": np.zeros((1, 4, 4, 8)), "occupied": np.full((1, 1, 4, 8), bad)}
    assert doubt(maps, GRID) is None and doubt(maps, Things(0.5, 0.5)) is not None
    assert doubt({"y": np.full((1, 3, 4, 4), bad, np.float32)}, Regions("y", 2, 2)) is None


def test_scores_that_sum_to_nothing_have_none() -> None:
    assert doubt({"y": np.zeros((1, 4))}, Classes("y", logits=False)) is None
    assert doubt({"y": np.zeros((1, 4))}, Raw()) is None
    assert doubt({"y": np.zeros((1, 4, 4))}, Regions("y", 2, 2)) is None  # class numbers, no probabilities


def test_a_row_is_its_own() -> None:
    batch = {"y": np.array([[9.0, 0.0], [0.0, 0.0], [math.nan, 0.0]])}
    first, second = doubt(batch, CLASSES), doubt(batch, CLASSES, row=1)
    assert first is not None and second is not None and first.entropy < 0.01 and second.entropy == pytest.approx(1)
    assert doubt(batch, CLASSES, row=2) is None


def grid(occupied: np.ndarray) -> float:
    found = doubt({"occupied": occupied[None, None]}, GRID)
    assert found is not None
    return found.entropy


def test_a_map_is_as_doubtful_as_its_cells_in_question() -> None:
    empty = np.zeros((40, 40))
    sure = empty.copy()
    sure[3:9, 4:9] = 1
    assert grid(empty) == 0 and grid(sure) < 1e-9  # however much or little there is
    assert grid(np.where(sure == 1, 0.5, 0)) == 1  # though 1570 cells are certain
    assert grid(np.full((40, 40), ASKED)) == 0  # a haze of small probabilities asks nothing
    rising = [grid(np.where(sure == 1, p, 0.01)) for p in (0.999, 0.9, 0.8, 0.6, 0.5)]
    assert (np.diff(rising) > 0).all() and rising[0] < 0.1


def test_a_detector_is_more_doubtful_where_it_is_wrong() -> None:
    """The bundle that is shipped, on frames of the rendered junction with their true cells: doubt falls as F1 rises."""
    bundle = Bundle.open(Path(edgewise.__file__).parent / "bundles" / "vehicles")
    decoding, part = bundle.manifest.decoding, bundle.manifest.parts["local"]
    assert isinstance(decoding, Grid)
    score, entropies = [], []
    junctions = [Junction(20, condition) for condition in ("clear", "night")]
    for junction, t in product(junctions, (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)):
        picture, _, cells = junction.frame(t)
        batch = fit(picture, bundle.manifest.pictures["local"])
        outputs = bundle.session("local", 1).run({part.inputs[0].name: batch})
        found = doubt(outputs, decoding)
        assert found is not None
        said = outputs["occupied"][0, 0] >= decoding.cell_threshold
        score.append(2 * (said & cells).sum() / max(said.sum() + cells.sum(), 1))
        entropies.append(found.entropy)
    f1_ranks, ranks = (np.argsort(np.argsort(values)) for values in (score, entropies))
    assert np.corrcoef(f1_ranks, ranks)[0, 1] < -0.3
    assert max(entropies) < 0.98  # not all alike


def test_binary_entropy_is_even_about_a_half() -> None:
    p = np.linspace(0, 1, 21)
    np.testing.assert_allclose(binary(p), binary(1 - p), atol=1e-6)
    assert (np.diff(binary(p)[:11]) > 0).all()


def test_regions_are_looked_at_where_the_answer_looks() -> None:
    scores = np.zeros((1, 3, 4, 4), np.float32)
    scores[:, 0] = 50
    scores[:, 0, 0, 0] = 0  # between the places of a 2 × 2 answer
    found = doubt({"y": scores}, Regions("y", 2, 2))
    whole = doubt({"y": scores}, Regions("y", 4, 4))
    assert found is not None and whole is not None and found.entropy < 1e-6 < whole.entropy
    one = doubt({"y": np.zeros((1, 1, 4, 4), np.float32)}, Regions("y", 2, 2))
    assert one is not None and one.entropy == 1


def test_several_tasks_are_as_doubtful_as_the_worst() -> None:
    both = Several((Told("a", CLASSES, ("x", "y")), Told("b", Classes("z"), ("x", "y"))))
    outputs = {"a.y": np.array([[9.0, 0.0]]), "b.z": np.array([[0.0, 0.0]])}
    found = doubt(outputs, both)
    assert found is not None and found.entropy == pytest.approx(1) and len(found.probabilities) == 4
    broken = doubt(outputs | {"b.z": np.array([[math.nan, 0.0]])}, both)
    assert broken is not None and broken.entropy < 0.01


def test_other_outputs_are_a_sentence() -> None:
    with pytest.raises(TensorError, match="allowed: y"):
        doubt({"x": np.zeros((1, 2))}, CLASSES)
    with pytest.raises(TensorError, match="row 3"):
        doubt({"y": np.zeros((1, 2))}, CLASSES, row=3)
    with pytest.raises(TensorError, match="row 0"):
        doubt({"y": np.zeros((1, 0))}, CLASSES)
    with pytest.raises(ConfigError, match="temperature"):
        doubt({"y": np.zeros((1, 2))}, CLASSES, temperature=0)
