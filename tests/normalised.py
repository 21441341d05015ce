"""A small model with normalisation in its graph, whose statistics are those of known pictures; and these pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 6
CLASSES = 4


def pictures(seed: int, count: int = 64) -> NDArray[np.float32]:
    """(count, 3, 8, 8): blobs of a colour and a brightness of their own, with texture."""
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(count, 3, 1, 1)) + draw.normal(size=(count, 3, 8, 8))).astype(np.float32)


def dimmed(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A shift that the statistics of one layer can take back exactly: less contrast, more light."""
    return (0.3 * batch + 0.8).astype(np.float32)


def network(opset: int = 18, batches: Any = "n", **changes: NDArray[Any]) -> bytes:
    """x → conv (no border) → first (BN) → relu → conv → second (BN) → relu → mean → scores (n, CLASSES)."""
    draw = np.random.default_rng(1)
    shapes = {"conv1.weight": (CHANNELS, 3, 3, 3), "conv2.weight": (CHANNELS, CHANNELS, 3, 3), "out": (CHANNELS, CLASSES)}
    kept = {name: draw.normal(size=shape, scale=0.4).astype(np.float32) for name, shape in shapes.items()}
    for layer in ("first", "second"):
        kept |= {
            f"{layer}.weight": draw.uniform(0.5, 1.5, CHANNELS).astype(np.float32),
            f"{layer}.bias": draw.normal(size=CHANNELS, scale=0.2).astype(np.float32),
            f"{layer}.running_mean": np.zeros(CHANNELS, np.float32),
            f"{layer}.running_var": np.ones(CHANNELS, np.float32),
        }
    kept |= changes

    def normal(layer: str, taken: str) -> Any:
        names = [f"{layer}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        return helper.make_node("BatchNormalization", [taken, *names], [f"{layer}.out"], epsilon=1e-5)

    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight"], ["a"]),
        normal("first", "a"),
        helper.make_node("Relu", ["first.out"], ["b"]),
        helper.make_node("Conv", ["b", "conv2.weight"], ["c"]),
        normal("second", "c"),
        helper.make_node("Relu", ["second.out"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "out"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batches, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batches, CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in kept.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()
