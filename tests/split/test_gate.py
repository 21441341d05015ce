"""A filter before a head: the parts together give what the head gave, and the classifier's answer, for any opset and bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.session import Session
from edgewise.split.bound import Certified
from edgewise.split.gate import Convolved, Plain, front, gated, with_filter

VEHICLES = Path(__file__).parents[2] / "edgewise" / "bundles" / "vehicles"
AT = "relu_1"  # (24, 46, 80)
CERTIFIED = Certified(0.25, 0.95, 0.95, 100, 0.03, 0.98, "blocks")


def made(channels: int, height: int, width: int, seed: int = 0) -> Plain:
    """A classifier of arbitrary weights: one convolution, pools to 8 × 8 before it and to 2 × 2 behind it."""
    generator = np.random.default_rng(seed)

    def mean(inside: int, outside: int) -> np.ndarray:
        return np.kron(np.eye(outside), np.ones((1, inside // outside))).astype(np.float32) * outside / inside

    weight = generator.normal(0, 0.2, (5, channels, 3, 3)).astype(np.float32)
    pools = (
        (mean(height, height // 2), mean(width, width // 2).T.copy()),
        (mean(height // 2 - 2, 3), mean(width // 2 - 2, 2).T.copy()),
    )
    return Plain(
        pools[0],
        (Convolved(weight, np.zeros(5, np.float32), 1),),
        pools[1],
        generator.normal(0, 1, 5 * 7).astype(np.float32),
        0.1,
    )


def said(plain: Plain, early: np.ndarray) -> np.ndarray:
    """What the classifier says, written out."""
    x = plain.open[0] @ early @ plain.open[1]
    for layer in plain.convolutions:
        size = layer.weight.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, :: layer.stride, :: layer.stride]
        x = np.maximum(np.einsum("nihwkl,oikl->nohw", windows, layer.weight) + layer.bias[:, None, None], 0)
    found = np.concatenate([(plain.close[0] @ x @ plain.close[1]).reshape(len(x), -1), x.max((2, 3))], 1)
    logit = found @ plain.weight + plain.bias
    return 1 / (1 + np.exp(-logit))


def test_filter_and_rest_are_the_head() -> None:
    head = (VEHICLES / "head.onnx").read_bytes()
    plain = made(24, 46, 80)
    gate, rest = (Session.load(model) for model in gated(head, AT, plain))
    pictures = np.random.default_rng(1).integers(0, 256, (3, 180, 320, 3), np.uint8)
    whole = Session.load(head).run({"picture": pictures})["bottleneck"]
    first = gate.run({"picture": pictures})
    early = Session.load(front(head, AT)).run({"picture": pictures})[AT]
    np.testing.assert_allclose(first["early"], early, atol=1e-5)
    np.testing.assert_allclose(rest.run({"early": first["early"]})["bottleneck"], whole, atol=1e-5)
    np.testing.assert_allclose(first["present"], said(plain, early), atol=1e-4)
    assert first["present"].shape == (3,)


def test_a_bundle_with_a_filter_opens_and_names_its_parameters_where_they_are(tmp_path: Path) -> None:
    manifest = with_filter(VEHICLES, tmp_path, AT, made(24, 46, 80), CERTIFIED, "vehicle")
    bundle = Bundle.open(tmp_path)
    assert bundle.manifest == manifest and manifest.filter is not None
    assert (manifest.filter.threshold, manifest.filter.of, manifest.filter.n) == (0.25, "vehicle", 100)
    assert [o.name for o in manifest.parts["filter"].outputs] == ["present", "early"]
    assert manifest.parts["head"].inputs[0].name == "early"
    before = Bundle.open(VEHICLES).manifest
    assert before.parameters.keys() < manifest.parameters.keys()
    assert manifest.parameters["head.body.0.0.weight"].part == "filter"
    assert manifest.parameters["head.squeeze.weight"].part == "head"
    slower = {p.name: p for p in before.points}
    assert all(p.device_time > slower[p.name].device_time for p in manifest.points if p.mode == "image")
    with pytest.raises(ModelError, match="has a filter already"):
        with_filter(tmp_path, tmp_path / "twice", AT, made(24, 46, 80), CERTIFIED, "vehicle")


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_a_head_of_any_opset_takes_a_filter(opset: int) -> None:
    """A head of another maker, which calls another of its tensors `early` and leaves its batch free."""
    weight = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["early"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["early"], ["seen"]),
        helper.make_node("Sigmoid", ["seen"], ["z"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "head",
        [value("x", 1, ["n", 3, 16, 16])],
        [value("z", 1, ["n", 4, 16, 16])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    plain = made(4, 16, 16)
    gate, rest = (Session.load(part) for part in gated(model.SerializeToString(), "seen", plain))
    x = np.random.default_rng(2).normal(0, 1, (2, 3, 16, 16)).astype(np.float32)
    first = gate.run({"x": x})
    whole = Session.load(model.SerializeToString()).run({"x": x})["z"]
    np.testing.assert_allclose(rest.run({"early": first["early"]})["z"], whole, atol=1e-6)
    np.testing.assert_allclose(first["present"], said(plain, first["early"]), atol=1e-5)
    assert onnx.load_from_string(gated(model.SerializeToString(), "seen", plain)[0]).opset_import[0].version == opset


def test_where_a_filter_cannot_stand() -> None:
    head = (VEHICLES / "head.onnx").read_bytes()
    with pytest.raises(ModelError, match=r"made for other features.*\(24, 46, 80\).*\(24, 40, 80\)"):
        gated(head, AT, made(24, 40, 80))
    with pytest.raises(ModelError):
        front(head, "no_such_tensor")
