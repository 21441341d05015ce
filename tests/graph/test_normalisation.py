"""Layers are found by the paths of their parameters, in every form that exporters give them; a folded model is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.core.errors import ModelError
from edgewise.graph.nodes import nodes, opset, shapes
from edgewise.graph.normalisation import normalisations, required
from tests.normalised import CHANNELS, network
from tests.zoo import ZOO

BUNDLES = Path(__file__).parents[2] / "edgewise" / "bundles"


def model(steps: list[Any], kept: dict[str, Any], version: int = 18) -> bytes:
    told = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6])
    end = helper.make_tensor_value_info(steps[-1].output[0], TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in kept.items()]
    graph = helper.make_graph(steps, "g", [told], [end], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)]).SerializeToString()


@pytest.mark.parametrize("name", ZOO)
def test_nodes_are_those_that_onnx_reads(name: str) -> None:
    known = ZOO[name]()
    found = nodes(known.SerializeToString())
    assert [(n.kind, n.taken, n.given) for n in found] == [(n.op_type, tuple(n.input), tuple(n.output)) for n in known.graph.node]
    for one, other in zip(found, known.graph.node, strict=True):
        for attribute in other.attribute:
            if attribute.type == onnx.AttributeProto.INT:
                assert one.attributes[attribute.name] == attribute.i
            elif attribute.type == onnx.AttributeProto.FLOAT:
                assert one.attributes[attribute.name] == pytest.approx(attribute.f)
            elif attribute.type == onnx.AttributeProto.INTS:
                assert one.attributes.get(attribute.name, ()) == tuple(attribute.ints)
    assert opset(known.SerializeToString()) == next(o.version for o in known.opset_import if o.domain in ("", "ai.onnx"))


def test_batch_normalisation_by_its_path() -> None:
    first, second = normalisations(network(), {"second.weight": "head.second.weight"})
    assert (first.path, first.kind, first.channels) == ("first", "batch", CHANNELS)
    assert (first.mean, first.variance) == ("first.running_mean", "first.running_var")
    assert (first.taken, first.given, first.affine) == ("a", "first.out", ("first.weight", "first.bias"))
    assert first.epsilon == pytest.approx(1e-5)
    assert second.path == "head.second"


@pytest.mark.parametrize(
    ("part", "layers"), [("vehicles/head", 9), ("vehicles/local", 7), ("vehicles/tail", 10), ("things/full", 19)]
)
def test_the_shipped_parts_have_all_of_theirs(part: str, layers: int) -> None:
    data = (BUNDLES / f"{part}.onnx").read_bytes()
    found = normalisations(data)
    assert len(found) == layers == sum(node.kind == "BatchNormalization" for node in nodes(data))
    assert all(shapes(data)[layer.mean] == (layer.channels,) for layer in found)


def test_layer_and_group_normalisation_have_scale_and_shift_alone() -> None:
    ones, wide = np.ones(6, np.float32), np.ones((4, 1, 1), np.float32)
    layer = helper.make_node("LayerNormalization", ["x", "norm.weight", "norm.bias"], ["y"], epsilon=1e-3)
    (found,) = normalisations(model([layer], {"norm.weight": ones, "norm.bias": ones}))
    assert (found.kind, found.path, found.mean, found.epsilon) == ("layer", "norm", "", pytest.approx(1e-3))
    steps = [
        helper.make_node("Reshape", ["x", "grouped"], ["a"]),
        helper.make_node("InstanceNormalization", ["a", "one", "nil"], ["b"]),
        helper.make_node("Reshape", ["b", "whole"], ["c"]),
        helper.make_node("Mul", ["c", "norm.weight"], ["d"]),
        helper.make_node("Add", ["d", "norm.bias"], ["y"]),
    ]
    kept = {
        "grouped": np.array([0, 2, -1], np.int64),
        "whole": np.array([0, 4, 6, 6], np.int64),
        "one": np.ones(2, np.float32),
        "nil": np.zeros(2, np.float32),
        "norm.weight": wide,
        "norm.bias": wide,
    }
    (found,) = normalisations(model(steps, kept))
    assert (found.kind, found.path, found.channels, found.taken, found.given) == ("group", "norm", 4, "x", "y")
    assert found.affine == ("norm.weight", "norm.bias")


def test_layer_normalisation_in_pieces() -> None:
    steps = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[-1]),
        helper.make_node("Sub", ["x", "mean"], ["off"]),
        helper.make_node("Mul", ["off", "off"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["variance"], axes=[-1]),
        helper.make_node("Sqrt", ["variance"], ["root"]),
        helper.make_node("Div", ["off", "root"], ["even"]),
        helper.make_node("Mul", ["even", "norm.weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "norm.bias"], ["y"]),
    ]
    kept = {"norm.weight": np.ones(6, np.float32), "norm.bias": np.zeros(6, np.float32)}
    (found,) = normalisations(model(steps, kept, 13))
    assert (found.kind, found.path, found.given) == ("layer", "norm", "y")


def test_scale_behind_identity_is_found() -> None:
    steps = [
        helper.make_node("Identity", ["norm.weight"], ["w"]),
        helper.make_node("InstanceNormalization", ["x", "w", "norm.bias"], ["y"]),
    ]
    kept = {"norm.weight": np.ones(4, np.float32), "norm.bias": np.zeros(4, np.float32)}
    (found,) = normalisations(model(steps, kept))
    assert (found.kind, found.scale) == ("instance", "norm.weight")


def test_a_folded_model_is_told_how_to_be_exported() -> None:
    folded = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": np.ones((2, 4, 3, 3), np.float32)})
    assert normalisations(folded) == ()
    with pytest.raises(ModelError, match=r"1 convolutions.*unfold=True"):
        required(folded, "a model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        normalisations(b"\x0a\x00")
