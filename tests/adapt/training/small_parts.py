"""Tiny ONNX parts with each kind of normalisation, written node by node, and what onnxruntime says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewise.core.artifact import Parameter

Norm = Literal["batch", "group", "layer"]
WIDE, SIDE, CLASSES = 4, 5, 3


def weights(seed: int = 0) -> dict[str, NDArray[Any]]:
    draw = np.random.default_rng(seed)
    small = {"conv.weight": (WIDE, 3, 3, 3), "fc.weight": (CLASSES, WIDE), "fc.bias": (CLASSES,), "norm.bias": (WIDE,)}
    drawn = {name: draw.normal(0, 0.5, shape).astype(np.float32) for name, shape in small.items()}
    drawn["norm.weight"] = draw.uniform(0.5, 1.5, WIDE).astype(np.float32)
    drawn["norm.running_mean"] = draw.normal(0, 0.3, WIDE).astype(np.float32)
    drawn["norm.running_var"] = draw.uniform(0.5, 2, WIDE).astype(np.float32)
    return drawn


def part(norm: Norm, seed: int = 0, pictures: bool = False) -> tuple[bytes, dict[str, Parameter]]:
    """`x` (batch, 3, 5, 5), or bytes (batch, 5, 5, 3) as `picture` → `logits` (batch, 3): the file, and its parameter map."""
    held = weights(seed)
    nodes = [helper.make_node("Conv", ["x", "conv.weight"], ["c"], pads=[1, 1, 1, 1])]
    if pictures:
        nodes = [
            helper.make_node("Transpose", ["picture"], ["t"], perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "scale"], ["x"]),
            *nodes,
        ]
        held["scale"] = np.float32(1 / 255)  # type: ignore[assignment]
    if norm == "batch":
        inputs = ["c", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
        nodes.append(helper.make_node("BatchNormalization", inputs, ["n"]))
    else:
        held = {n: v for n, v in held.items() if "running" not in n}
    if norm == "group":  # as torch's exporter writes it
        for name in ("norm.weight", "norm.bias"):
            held[name] = held[name].reshape(WIDE, 1, 1)
        held |= {"one": np.ones(2, np.float32), "zero": np.zeros(2, np.float32), "apart": np.array([0, 2, -1])}
        nodes += [
            helper.make_node("Reshape", ["c", "apart"], ["g"]),
            helper.make_node("InstanceNormalization", ["g", "one", "zero"], ["i"]),
            helper.make_node("Shape", ["c"], ["s"]),
            helper.make_node("Reshape", ["i", "s"], ["r"]),
            helper.make_node("Mul", ["r", "norm.weight"], ["m"]),
            helper.make_node("Add", ["m", "norm.bias"], ["n"]),
        ]
    if norm == "layer":
        for name in ("norm.weight", "norm.bias"):
            held[name] = np.resize(held[name], SIDE)
        nodes.append(helper.make_node("LayerNormalization", ["c", "norm.weight", "norm.bias"], ["n"]))
    nodes += [
        helper.make_node("Relu", ["n"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("Gemm", ["q", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    kind, shape = (TensorProto.UINT8, ["batch", SIDE, SIDE, 3]) if pictures else (TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    model = _model(nodes, held, helper.make_tensor_value_info("picture" if pictures else "x", kind, shape), "logits", [CLASSES])
    return model, {f"local.{n}": Parameter("local", n) for n in held if "." in n}


def cut(seed: int = 0) -> tuple[dict[str, bytes], dict[str, Parameter]]:
    """A head (conv, batch normalisation) and a tail (batch normalisation, pool, linear) of classes."""
    held = weights(seed)
    norm = ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
    head = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *norm], ["n"]),
        helper.make_node("Relu", ["n"], ["bottleneck"]),
    ]
    tail = [
        helper.make_node("BatchNormalization", ["bottleneck", *norm], ["n"]),
        helper.make_node("GlobalAveragePool", ["n"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("Gemm", ["q", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    first = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    middle = helper.make_tensor_value_info("bottleneck", TensorProto.FLOAT, ["batch", WIDE, SIDE, SIDE])
    own = {n: held[n] for n in (*norm, "conv.weight")}, {n: held[n] for n in (*norm, "fc.weight", "fc.bias")}
    parts = {
        "head": _model(head, own[0], first, "bottleneck", [WIDE, SIDE, SIDE]),
        "tail": _model(tail, own[1], middle, "logits", [CLASSES]),
    }
    names = {f"{p}.{n}": Parameter(p, n) for p, one in zip(parts, own, strict=True) for n in one}
    return parts, names


def pictures(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (count, 3, SIDE, SIDE)).astype(np.float32)


def answered(model: bytes, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """The first output by onnxruntime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def _model(nodes: list[Any], held: Mapping[str, NDArray[Any]], source: Any, result: str, shape: list[int]) -> bytes:
    initialisers = [numpy_helper.from_array(np.asarray(v), n) for n, v in held.items()]
    out = helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", *shape])
    graph = helper.make_graph(nodes, "g", [source], [out], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
