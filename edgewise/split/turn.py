"""Turn the values of a cut so that they no longer repeat each other: a fixed rotation at the end of the head, undone in the tail.

    y = V (x − μ)        x ≈ Vᵀ y + μ        V: eigenvectors of the covariance over calibration samples

where x are the channels of a position, or those of a block of 2 × 2 positions (Karhunen–Loève; what transform coding does to
blocks of a picture). Noise in y is as large as in x, so the quantiser does not care, but values that are alike become one that
varies and others that hardly do and cost hardly a bit. Features of transformers, early maps of convolutional nets and sums
without an activation behind them shrink to a half or less; what a ReLU has left sparse late in a net grows, because a rotation
fills its zeros. So all are tried on calibration samples, at a step that is a share of the spread, and the smallest is taken.

The channels that a turn gathers reach far, and 256 levels (`edgewise.core.coding`) may be too coarse for them. Such a channel is
sent as two: `Round(y / L) · L`, which a step of L meets exactly, and what is left, within L / 2 of zero. Together they cost what
one of many levels would.

A turn costs channels² (with blocks four times as many) multiply-adds a position on either side, as one convolution; where no
value was below zero, the tail takes off what noise put there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
STEP = 0.25  # of the spread of all values: the step at which bits are compared
WORTH = 0.9  # of the bits that a turn must leave to be taken
FLAT = 1e-9  # of the largest variance: below, a turned channel is left out
MOST = 1024  # turned channels, above which a rotation would cost more than it saves
LEAST = 8  # positions a side, below which there are no blocks


class Turn(Struct, frozen=True):
    """`matrix` (turned, channel · block²) with orthonormal rows, `mean` (channel,), the side of a block, and whether values are
    never negative. The turned channels `halved` are sent as multiples of `lattice` and a rest, which follow behind all others.
    """

    matrix: NDArray[np.float64]
    mean: NDArray[np.float64]
    block: int
    positive: bool
    halved: tuple[int, ...] = ()
    lattice: tuple[float, ...] = ()

    @property
    def spread(self) -> NDArray[np.float64]:
        """The matrix with a row for each channel that crosses."""
        return np.concatenate([self.matrix, self.matrix[list(self.halved)]])

    def flops(self, positions: int) -> float:
        """FLOPs on either side."""
        return 2.0 * self.matrix.size * positions / self.block**2

    def shape(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        """The shape of turned features."""
        return tuple(len(self.spread) if a == axis else -(-n // self.block) for a, n in enumerate(shape))

    def features(self, values: Floats, axis: int) -> Floats:
        """Features (sample, *shape), turned along `axis` of the shape."""
        if self.block > 1:
            values, axis = _blocks(values, self.block), 0
        mean = np.repeat(self.mean, self.block**2).astype(np.float32)
        moved = np.moveaxis(values, axis + 1, -1) - mean
        turned = moved @ self.matrix.T.astype(np.float32)
        if self.halved:
            part, step = turned[..., list(self.halved)], np.array(self.lattice, np.float32)
            rest = part - np.round(part * (1 / step).astype(np.float32)) * step
            turned[..., list(self.halved)] -= rest
            turned = np.concatenate([turned, rest], -1)
        return np.ascontiguousarray(np.moveaxis(turned, -1, axis + 1))

    def models(self, head: Any, tail: Any, tensor: str, axis: int, shape: tuple[int, ...]) -> tuple[Any, Any, str]:
        """Head and tail with the turn between them, and the name of the tensor that crosses now."""
        name = f"{tensor}_turned"
        front, back = _copy(head), _copy(tail)
        front.graph.node.extend(self._forth(front, tensor, name, axis, shape))
        kept = list(back.graph.node)
        del back.graph.node[:]
        back.graph.node.extend([*self._back(back, name, tensor, axis, shape), *kept])
        dims = next(o for o in head.graph.output if o.name == tensor).type.tensor_type.shape.dim
        batch = dims[0].dim_value if dims[0].HasField("dim_value") else "batch"
        crossing = helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *self.shape(shape, axis)])
        outputs = [crossing if o.name == tensor else o for o in front.graph.output]
        inputs = [crossing if i.name == tensor else i for i in back.graph.input]
        del front.graph.output[:], back.graph.input[:]
        front.graph.output.extend(outputs)
        back.graph.input.extend(inputs)
        onnx.checker.check_model(front)
        onnx.checker.check_model(back)
        return front, back, name

    def _forth(self, model: Any, source: str, target: str, axis: int, shape: tuple[int, ...]) -> list[Any]:
        bias = -(self.matrix @ np.repeat(self.mean, self.block**2))
        made = f"{target}_whole" if self.halved else target
        if _maps(axis, shape):
            rank = len(shape) - 1
            names = _weights(model, made, self.matrix.reshape(len(self.matrix), shape[0], *[self.block] * rank), bias)
            how = {"strides": [self.block] * rank, "pads": [*[0] * rank, *(-n % self.block for n in shape[1:])]}
            nodes = [helper.make_node("Conv", [source, *names], [made], name=f"{target}_turn", **how)]
        else:
            nodes = _product(model, source, made, self.matrix.T, bias)
        return nodes + (self._halves(model, made, target, axis, shape) if self.halved else [])

    def _halves(self, model: Any, source: str, target: str, axis: int, shape: tuple[int, ...]) -> list[Any]:
        """Multiples of the lattice in the place of the halved channels, and what is left of them behind all."""
        along = [-1, *[1] * (len(shape) - 1)] if _maps(axis, shape) else [-1]
        step = np.ones(len(self.matrix), np.float32)
        step[list(self.halved)] = self.lattice
        chosen = np.zeros(len(self.matrix), np.float32)
        chosen[list(self.halved)] = 1
        values = {
            "inverse": (1 / step).reshape(along),
            "step": step.reshape(along),
            "chosen": chosen.reshape(along),
            "halved": np.array(self.halved, np.int64),
        }
        model.graph.initializer.extend(numpy_helper.from_array(v, f"{target}_{word}") for word, v in values.items())
        chain = (
            ("Mul", (source, f"{target}_inverse"), f"{target}_scaled"),
            ("Round", (f"{target}_scaled",), f"{target}_rounded"),
            ("Mul", (f"{target}_rounded", f"{target}_step"), f"{target}_near"),
            ("Sub", (source, f"{target}_near"), f"{target}_off"),
            ("Mul", (f"{target}_off", f"{target}_chosen"), f"{target}_rests"),
            ("Sub", (source, f"{target}_rests"), f"{target}_firsts"),
        )
        nodes = [helper.make_node(kind, list(read), [made], name=made) for kind, read, made in chain]
        where = 1 if _maps(axis, shape) else len(shape)
        rest = f"{target}_rest"
        nodes.append(helper.make_node("Gather", [f"{target}_rests", f"{target}_halved"], [rest], name=rest, axis=where))
        nodes.append(helper.make_node("Concat", [f"{target}_firsts", rest], [target], name=f"{target}_join", axis=where))
        return nodes

    def _back(self, model: Any, source: str, target: str, axis: int, shape: tuple[int, ...]) -> list[Any]:
        made = f"{target}_unclipped" if self.positive else target
        if _maps(axis, shape):
            rank = len(shape) - 1
            weight = self.spread.reshape(len(self.spread), shape[0], *[self.block] * rank)
            names = _weights(model, target, weight, self.mean)
            how = {"strides": [self.block] * rank, "pads": [*[0] * rank, *(-n % self.block for n in shape[1:])]}
            nodes = [helper.make_node("ConvTranspose", [source, *names], [made], name=f"{target}_turn", **how)]
        else:
            nodes = _product(model, source, made, self.spread, self.mean)
        if self.positive:
            nodes.append(helper.make_node("Relu", [made], [target], name=f"{target}_turn_relu"))
        return nodes


def turn_for(features: Floats, axis: int) -> Turn | None:
    """The turn of these features (sample, *shape) that leaves the fewest bits, where that is worth its while."""
    shape = features.shape[1:]
    if axis not in (0, len(shape) - 1):
        return None
    plain = np.moveaxis(features, axis + 1, 0).reshape(shape[axis], -1)
    spread = float(plain.std())
    if spread == 0 or shape[axis] < 2:
        return None
    centred = plain if plain.min() >= 0 else plain - plain.mean(1, keepdims=True)
    best, bits = None, WORTH * _bits(centred, STEP * spread)
    for block in (1, 2):
        if block > 1 and not (axis == 0 and len(shape) == 3 and min(shape[1:]) >= LEAST):
            continue
        turn = _turn(features, axis, block)
        if turn is None:
            continue
        turned = turn.features(features, axis)
        left = _bits(np.moveaxis(turned, axis + 1, 0).reshape(turned.shape[axis + 1], -1), STEP * spread) / block**2
        if left < bits:
            best, bits = turn, left
    return best


def straight(features: Floats, axis: int) -> Turn:
    """No turn at all, for channels that are only to be halved."""
    return Turn(np.eye(features.shape[axis + 1]), np.zeros(features.shape[axis + 1]), 1, False)


def _turn(features: Floats, axis: int, block: int) -> Turn | None:
    """The eigenvectors of blocks; None where there are too many channels, or too few samples to know them."""
    count = features.shape[axis + 1] * block**2
    mean = np.moveaxis(features, axis + 1, 0).reshape(features.shape[axis + 1], -1).mean(1, dtype=np.float64)
    values = _blocks(features, block) if block > 1 else features
    flat = np.moveaxis(values, (0 if block > 1 else axis) + 1, 0).reshape(count, -1).astype(np.float64)
    if count > MOST or flat.shape[1] < count:
        return None
    flat -= np.repeat(mean, block**2)[:, None]
    variances, vectors = np.linalg.eigh(flat @ flat.T / flat.shape[1])
    enough = flat.shape[1] >= 4 * count  # to say that a direction is flat
    kept = variances > (FLAT * variances.max() if enough else -np.inf)
    return Turn(vectors[:, kept].T[::-1], mean, block, bool(features.min() >= 0))


def _blocks(values: Floats, block: int) -> Floats:
    """(sample, channel, height, width) → (sample, channel · block², rows, columns), with zeros beyond the edges."""
    n, channels, height, width = values.shape
    rows, columns = -(-height // block), -(-width // block)
    whole = np.zeros((n, channels, rows * block, columns * block), np.float32)
    whole[:, :, :height, :width] = values
    parts = whole.reshape(n, channels, rows, block, columns, block).transpose(0, 1, 3, 5, 2, 4)
    return parts.reshape(n, channels * block**2, rows, columns)


def _bits(values: NDArray[Any], step: float) -> float:
    """Bits of a position, with codes of this step and a table for each channel."""
    total = 0.0
    for row in values:
        codes = np.floor(row / step + 0.5).astype(np.int64)
        counts = np.bincount(codes - codes.min())
        share = counts[counts > 0] / counts.sum()
        total -= float((share * np.log2(share)).sum())
    return total


def _maps(axis: int, shape: tuple[int, ...]) -> bool:
    """Whether channels come first and positions follow, as convolutions have them."""
    return axis == 0 and len(shape) > 1


def _product(model: Any, source: str, target: str, matrix: NDArray[np.float64], bias: NDArray[np.float64]) -> list[Any]:
    """The last axis of `source` times a matrix (in, out)."""
    weight, added = _weights(model, target, matrix, bias)
    return [
        helper.make_node("MatMul", [source, weight], [f"{target}_product"], name=f"{target}_turn_matmul"),
        helper.make_node("Add", [f"{target}_product", added], [target], name=f"{target}_turn"),
    ]


def _weights(model: Any, target: str, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> list[str]:
    names = [f"{target}_turn_weight", f"{target}_turn_bias"]
    values = (np.ascontiguousarray(weight, np.float32), bias.astype(np.float32))
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in zip(names, values, strict=True))
    return names


def _copy(model: Any) -> Any:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.value_info[:]
    return made
