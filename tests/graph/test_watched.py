"""A watched part gives the same answers; its moments are numpy's; what it normalises with is what is fed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgewise.core.errors import ModelError
from edgewise.graph.normalisation import normalisations
from edgewise.graph.watched import FEED, MOMENTS, WEIGHT, watched
from edgewise.runtime.initialisers import values
from edgewise.runtime.session import Session
from tests.normalised import CHANNELS, network, pictures

LAYERS = ("first", "second")


def feed(*rows: tuple[float | NDArray[np.float32], ...]) -> NDArray[np.float32]:
    """FEED from six vectors a layer, each a vector or the number that all of it is."""
    return np.concatenate([np.broadcast_to(one, CHANNELS) for row in rows for one in row]).astype(np.float32)


def run(model: bytes, batch: NDArray[np.float32], told: NDArray[np.float32], weight: float) -> tuple[NDArray, NDArray]:
    outputs = Session.load(watched(model, normalisations(model))).run(
        {"x": batch, FEED: told, WEIGHT: np.array([weight], np.float32)}
    )
    return outputs["scores"], outputs[MOMENTS].reshape(len(LAYERS), 2, CHANNELS)


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_at_home_the_answers_are_the_same(opset: int) -> None:
    model, batch = network(opset), pictures(0)
    onnx.checker.check_model(onnx.load_from_string(watched(model, normalisations(model))), full_check=True)
    kept = values(model, [f"{layer}.{part}" for layer in LAYERS for part in ("running_mean", "running_var")])
    home = [(0, 0, kept[f"{layer}.running_mean"], kept[f"{layer}.running_var"], 0, 0) for layer in LAYERS]
    scores, moments = run(model, batch, feed(*home), 0.0)
    np.testing.assert_allclose(scores, Session.load(model).run({"x": batch})["scores"], rtol=1e-4, atol=1e-5)
    assert np.isfinite(moments).all()


def test_moments_are_those_of_the_batch() -> None:
    model, batch = network(), pictures(0)
    kept = values(model, ["conv1.weight"])["conv1.weight"].astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(batch.astype(np.float64), (3, 3), axis=(2, 3))  # (n, 3, 6, 6, 3, 3)
    seen = np.einsum("nchwij,ocij->nohw", windows, kept)
    _, moments = run(model, batch, feed((0, 0, 0, 1, 0, 0), (0, 0, 0, 1, 0, 0)), 0.0)
    np.testing.assert_allclose(moments[0, 0], seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments[0, 1], (seen**2).mean((0, 2, 3)), rtol=1e-4)


def test_weight_one_normalises_by_the_batch_itself_layer_after_layer() -> None:
    """Twice: with the batch's statistics taken in the graph, and with the same ones fed."""
    model, batch = network(), pictures(3)
    scores, moments = run(model, batch, feed((0, 0, 0, 0, 1, 1), (0, 0, 0, 0, 1, 1)), 1.0)
    mean, variance = moments[:, 0], moments[:, 1] - moments[:, 0] ** 2
    fed, _ = run(model, batch, feed(*[(0, 0, mean[i], variance[i], 0, 0) for i in range(2)]), 0.0)
    np.testing.assert_allclose(scores, fed, rtol=1e-3, atol=1e-4)


def test_a_constant_picture_is_no_division_by_zero() -> None:
    scores, _ = run(network(), np.full((1, 3, 8, 8), 7, np.float32), feed((0, 0, 0, 0, 1, 1), (0, 0, 0, 0, 1, 1)), 1.0)
    assert np.isfinite(scores).all()


def test_what_cannot_be_watched_is_refused() -> None:
    model = network()
    with pytest.raises(ModelError, match="no statistics"):
        watched(model, ())
    with pytest.raises(ModelError, match="older form"):
        watched(network(12), normalisations(model))
