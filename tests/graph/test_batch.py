"""A size that is read from the picture behind a cut is read from what crosses, and the model gives what it gave."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewise.graph.batch import batch_from
from edgewise.graph.cut import split
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate


def model() -> onnx.ModelProto:
    """Reshapes to (batch, -1) in front of the cut at `middle` and behind it, as exporters write them."""
    constants = [
        numpy_helper.from_array(np.array([-1], np.int64), "rest"),
        numpy_helper.from_array(np.array([2, 2, 2], np.int64), "cube"),
    ]
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["x", "flat"], ["row"]),
        helper.make_node("Concat", ["batch", "cube"], ["cubes"], axis=0),
        helper.make_node("Reshape", ["row", "cubes"], ["middle"]),
        helper.make_node("Relu", ["middle"], ["risen"]),
        helper.make_node("Reshape", ["risen", "flat"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_the_tail_takes_its_batch_from_what_crosses() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    whole = evaluate(model(), {"x": x}, False)["y"]
    changed = batch_from(model(), "x", "middle")
    onnx.checker.check_model(changed, full_check=True)
    assert np.array_equal(evaluate(changed, {"x": x}, False)["y"], whole)
    head, tail = split(load(changed.SerializeToString()), "middle")
    crossing = evaluate(head, {"x": x}, False)["middle"]
    assert [i.name for i in tail.graph.input] == ["middle"]
    assert np.array_equal(evaluate(tail, {"middle": crossing}, False)["y"], whole)


def test_a_size_of_another_dimension_stays() -> None:
    other = model()
    for a in other.graph.node[0].attribute:
        a.i += 1
    same = other.SerializeToString()
    assert batch_from(other, "x", "middle").SerializeToString() == same
