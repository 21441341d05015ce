"""Turn the channels of a cut so that they no longer repeat each other: a fixed rotation at the end of the head, undone in the
tail.

    y = V (x − μ)        x ≈ Vᵀ y + μ        V: eigenvectors of the covariance of the channels over calibration samples

(Karhunen–Loève; what transform coding does to a picture's blocks). Noise in y is as large as in x, so the quantiser does not
care, but channels that are alike become one that varies and others that hardly do and cost hardly a bit. Features of
transformers, and other sums without an activation behind them, shrink to a half or a fifth; what a ReLU has left sparse grows,
because a rotation fills its zeros. So both are tried on calibration samples, at a step that is a share of the spread, and the
smaller is taken. A turn costs channels² multiply-adds a position on either side, as a 1 × 1 convolution; where no value was
below zero, the tail takes off what noise put there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
STEP = 0.15  # of the spread of all values: the step at which bits are compared
WORTH = 0.85  # of the bits that a turn must leave to be taken
FLAT = 1e-9  # of the largest variance: below, a turned channel is left out
MOST = 1024  # channels, above which the rotation would cost more than it saves


class Turn(Struct, frozen=True):
    """`matrix` (turned, channel) with orthonormal rows, `mean` (channel,), and whether values are never negative."""

    matrix: NDArray[np.float64]
    mean: NDArray[np.float64]
    positive: bool

    def flops(self, positions: int) -> float:
        """FLOPs on either side."""
        return 2.0 * self.matrix.size * positions

    def features(self, values: Floats, axis: int) -> Floats:
        """Features (sample, *shape), turned along `axis` of the shape."""
        moved = np.moveaxis(values, axis + 1, -1) - self.mean.astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(moved @ self.matrix.T.astype(np.float32), -1, axis + 1))

    def models(self, head: Any, tail: Any, tensor: str, axis: int, shape: tuple[int, ...]) -> tuple[Any, Any, str]:
        """Head and tail with the turn between them, and the name of the tensor that crosses now."""
        name = f"{tensor}_turned"
        front, back = _copy(head), _copy(tail)
        bias = -(self.matrix @ self.mean)
        front.graph.node.extend(_product(front, tensor, name, self.matrix, bias, axis, len(shape)))
        kept = list(back.graph.node)
        del back.graph.node[:]
        back.graph.node.extend(_product(back, name, tensor, self.matrix.T, self.mean, axis, len(shape), self.positive))
        back.graph.node.extend(kept)
        batch = _batch(head, tensor)
        sizes = [batch, *(len(self.matrix) if a == axis else n for a, n in enumerate(shape))]
        crossing = helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        outputs = [crossing if o.name == tensor else o for o in front.graph.output]
        inputs = [crossing if i.name == tensor else i for i in back.graph.input]
        del front.graph.output[:], back.graph.input[:]
        front.graph.output.extend(outputs)
        back.graph.input.extend(inputs)
        onnx.checker.check_model(front)
        onnx.checker.check_model(back)
        return front, back, name


def turn_for(features: Floats, axis: int) -> Turn | None:
    """The turn of these features (sample, *shape), where it is worth its while."""
    count = features.shape[axis + 1]
    if count < 2 or count > MOST or features[0].size // count * len(features) < count or features.ndim - axis > 5:
        return None
    if axis not in (0, features.ndim - 2):
        return None
    values = np.moveaxis(features, axis + 1, 0).reshape(count, -1).astype(np.float64)
    mean = values.mean(1)
    centred = values - mean[:, None]
    spread = float(centred.std())
    if spread == 0:
        return None
    variances, vectors = np.linalg.eigh(centred @ centred.T / values.shape[1])
    enough = values.shape[1] >= 4 * count  # to say that a direction is flat
    kept = variances > (FLAT * variances.max() if enough else -np.inf)
    matrix = vectors[:, kept].T[::-1]
    positive = bool(values.min() >= 0)
    plain = _bits(values if positive else centred, STEP * spread)
    return Turn(matrix, mean, positive) if _bits(matrix @ centred, STEP * spread) < WORTH * plain else None


def _bits(values: NDArray[np.float64], step: float) -> float:
    """Bits a position of codes at this step, channels each with their own table."""
    total = 0.0
    for row in values:
        codes = np.floor(row / step + 0.5).astype(np.int64)
        counts = np.bincount(codes - codes.min())
        share = counts[counts > 0] / counts.sum()
        total -= float((share * np.log2(share)).sum())
    return total


def _product(
    model: Any,
    source: str,
    target: str,
    matrix: NDArray[np.float64],
    bias: NDArray[np.float64],
    axis: int,
    rank: int,
    positive: bool = False,
) -> list[Any]:
    """Nodes that multiply the channels of `source` into `target`; their weights are put into the model."""
    word = f"{target}_turn"
    weight = matrix.astype(np.float32)
    if axis == 0 and rank > 1:
        weight = weight.reshape(*weight.shape, *[1] * (rank - 1))
        nodes = [helper.make_node("Conv", [source, f"{word}_weight", f"{word}_bias"], [f"{word}_sum"], name=word)]
    else:
        weight = np.ascontiguousarray(weight.T)
        nodes = [
            helper.make_node("MatMul", [source, f"{word}_weight"], [f"{word}_product"], name=f"{word}_matmul"),
            helper.make_node("Add", [f"{word}_product", f"{word}_bias"], [f"{word}_sum"], name=word),
        ]
    if positive:
        nodes.append(helper.make_node("Relu", [f"{word}_sum"], [target], name=f"{word}_relu"))
    else:
        nodes[-1].output[0] = target
    model.graph.initializer.extend(
        [numpy_helper.from_array(weight, f"{word}_weight"), numpy_helper.from_array(bias.astype(np.float32), f"{word}_bias")]
    )
    return nodes


def _copy(model: Any) -> Any:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.value_info[:]
    return made


def _batch(head: Any, tensor: str) -> int | str:
    """The first dimension of the tensor as the head declares it."""
    dims = next(o for o in head.graph.output if o.name == tensor).type.tensor_type.shape.dim
    return dims[0].dim_value if dims[0].HasField("dim_value") else "batch"
