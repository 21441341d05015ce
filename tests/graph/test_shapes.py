"""Inferred shapes are the shapes that onnxruntime really makes, at any batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate
from edgewise.graph.shapes import concrete, infer, zeros
from tests.zoo import ZOO


def made(model: onnx.ModelProto, batch: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that onnxruntime writes."""
    shown = concrete(model, {}, batch)
    names = [o for n in shown.graph.node for o in n.output]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    return {k: v.shape for k, v in evaluate(shown, zeros(shown), optimise=False).items()}


@pytest.mark.parametrize("name", ZOO)
def test_inference_agrees_with_a_run(name: str) -> None:
    model = load(ZOO[name]().SerializeToString())
    tensors = infer(model)
    once, thrice = made(model, 1), made(model, 3)
    for tensor, shape in once.items():
        assert tensors[tensor].shape == shape
        moved = tuple(a for a, (x, y) in enumerate(zip(shape, thrice[tensor], strict=True)) if x != y)
        assert tensors[tensor].free == moved, tensor


def squared(shape: list[int | str], kind: str = "Mul") -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(kind, ["x", "x"], ["y"])], "squared", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_other_free_dimensions_need_a_size() -> None:
    model = load(squared(["batch", 3, "height", 4]).SerializeToString())
    with pytest.raises(ConfigError, match="besides the batch; got axis 2"):
        infer(model)
    assert infer(model, {"height": 7})["y"].shape == (1, 3, 7, 4)
    assert infer(model, {"x:2": 5})["y"].free == (0,)


def test_what_inference_leaves_open_is_run() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Add", ["total", "three"], ["length"]),
        helper.make_node("Cast", ["length"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Unsqueeze", ["whole", "axis"], ["times"]),
        helper.make_node("Tile", ["flat", "times"], ["y"]),
    ]
    weights = [
        helper.make_tensor("three", TensorProto.FLOAT, [], [3.0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
        helper.make_tensor("shape", TensorProto.INT64, [1], [-1]),
    ]
    graph = helper.make_graph(nodes, "open", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert infer(load(model.SerializeToString()))["y"].shape == (36,)


def test_shapes_that_contradict_are_refused() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "wrong", [x, w], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="cannot run the model"):
        infer(model)


@pytest.mark.parametrize("name", ["detectors/yolox_nano.onnx", "fastestdet/FastestDet.onnx"])
def test_real_models(name: str, data_pack: Callable[[str], Path]) -> None:
    model = load(data_pack(name))
    tensors = infer(model)
    assert all(tensors[k].shape == shape for k, shape in made(model, 1).items())
    assert np.prod(tensors[model.graph.output[0].name].shape) > 0
