"""Turn the values of a cut so that they no longer repeat each other, nor say what the answer does not hear.

    y = A (x − μ)        x ≈ A⁺ y + μ

at the end of the head and undone in the tail. x are the channels of a position, or those of a block of 2 × 2 positions. With Σ
their covariance over calibration samples and M the sensitivity of the answer to errors in them (`edgewise.split.sensitivity`),

    A = Vᵀ M^½          V: eigenvectors of M^½ Σ M^½

An error in y costs the answer what it costs anywhere else in y, so one step serves all; and what does not vary, or does not
matter, becomes channels that hardly cost a bit (Karhunen–Loève in the metric of the answer; what transform coding does to
blocks of a picture). M is known from few samples: a share `TRUST` of it is believed, its diagonal stands for the rest.

Features of transformers and sums without an activation behind them shrink to a tenth or a half, early maps of convolutional nets
in blocks; what a ReLU has left sparse late in a net grows, because a turn fills its zeros. So all are tried: fitted to one half
of the samples, and their bits counted on the other half, which a turn that only knows its samples by heart does not survive; and
what is left of them is then tried against no turn at all, for what the samples do not show of M costs answers (`trial`).

The channels that a turn gathers reach far, and 256 levels (`edgewise.core.coding`) may be too coarse for them. Such a channel is
sent as two: `Round(y / L) · L`, which a step of L meets exactly, and what is left, within L / 2 of zero. Together they cost what
one of many levels would. A turn costs channels² (with blocks four times as many) multiply-adds a position on either side, as one
convolution; where no value was below zero, the tail takes off what noise put there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
WORTH = 0.93  # of the bits that a turn must leave to be taken
TRUST = 0.7  # of what M says beside its diagonal
FLOOR = 1e-4  # of the mean sensitivity: no direction is freer than that
MOST = 1024  # turned channels, above which a rotation would cost more than it saves
LEAST = 8  # positions a side, below which there are no blocks


class Turn(Struct, frozen=True):
    """`matrix` (turned, channel · block²) and its `inverse`, `mean` (channel,), the side of a block, and whether values are
    never negative. The turned channels `halved` are sent as multiples of `lattice` and a rest, which follow behind all others.
    """

    matrix: NDArray[np.float64]
    inverse: NDArray[np.float64]
    mean: NDArray[np.float64]
    block: int
    positive: bool
    halved: tuple[int, ...] = ()
    lattice: tuple[float, ...] = ()

    @property
    def restoring(self) -> NDArray[np.float64]:
        """What each channel that crosses adds to the values: (crossing, channel · block²)."""
        rows = self.inverse.T
        return np.concatenate([rows, rows[list(self.halved)]])

    def flops(self, positions: int) -> float:
        """FLOPs on either side."""
        return 2.0 * self.matrix.size * positions / self.block**2

    def shape(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        """The shape of turned features."""
        return tuple(len(self.matrix) + len(self.halved) if a == axis else -(-n // self.block) for a, n in enumerate(shape))

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
            weight = self.restoring.reshape(len(self.restoring), shape[0], *[self.block] * rank)
            names = _weights(model, target, weight, self.mean)
            how = {"strides": [self.block] * rank, "pads": [*[0] * rank, *(-n % self.block for n in shape[1:])]}
            nodes = [helper.make_node("ConvTranspose", [source, *names], [made], name=f"{target}_turn", **how)]
        else:
            nodes = _product(model, source, made, self.restoring, self.mean)
        if self.positive:
            nodes.append(helper.make_node("Relu", [made], [target], name=f"{target}_turn_relu"))
        return nodes


def turn_for(features: Floats, axis: int, sensitivity: NDArray[np.float64], t: float) -> Turn | None:
    """The turn of features (sample, *shape) that leaves the fewest bits at t (`edgewise.split.calibrate`), where that is worth
    it.

    `sensitivity` is M. What is taken is fitted to all samples again.
    """
    shape = features.shape[1:]
    if axis not in (0, len(shape) - 1) or shape[axis] < 2 or len(features) < 4 or t <= 0:
        return None
    first, second = features[::2], features[1::2]
    values = _flat(second, axis)
    centred = values if values.min() >= 0 else values - values.mean(1, keepdims=True)
    weights = np.sqrt(np.maximum(np.diag(sensitivity), 0.0))
    best, least = 0, WORTH * _bits(centred * weights[:, None], t)
    for block in (1, 2):
        if block > 1 and not (axis == 0 and len(shape) == 3 and min(shape[1:]) >= LEAST):
            continue
        turn = _turn(first, axis, block, sensitivity)
        if turn is not None:
            left = _bits(_flat(turn.features(second, axis), axis), t) / block**2
            if left < least:
                best, least = block, left
    return _turn(features, axis, best, sensitivity) if best else None


def straight(features: Floats, axis: int) -> Turn:
    """No turn at all, for channels that are only to be halved."""
    count = features.shape[axis + 1]
    return Turn(np.eye(count), np.eye(count), np.zeros(count), 1, False)


def _turn(features: Floats, axis: int, block: int, sensitivity: NDArray[np.float64]) -> Turn | None:
    """The turn of blocks of this side; None where there are too many channels, or too few samples to know them."""
    count = features.shape[axis + 1] * block**2
    mean = _flat(features, axis).mean(1, dtype=np.float64)
    flat = _flat(_blocks(features, block), 0) if block > 1 else _flat(features, axis)
    if count > MOST or flat.shape[1] < count:
        return None
    flat = flat - np.repeat(mean, block**2)[:, None]
    diagonal = np.diag(np.diag(sensitivity))
    level = np.trace(sensitivity) / len(sensitivity)
    believed = TRUST * sensitivity + (1 - TRUST) * diagonal + FLOOR * level * np.eye(len(sensitivity))
    root = np.kron(_power(believed, 0.5), np.eye(block**2))
    unroot = np.kron(_power(believed, -0.5), np.eye(block**2))
    _, vectors = np.linalg.eigh(root @ (flat @ flat.T / flat.shape[1]) @ root)
    vectors = vectors[:, ::-1]
    return Turn(vectors.T @ root, unroot @ vectors, mean, block, bool(features.min() >= 0))


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    result: NDArray[np.float64] = vectors * values**exponent @ vectors.T
    return result


def _flat(values: Floats, axis: int) -> NDArray[np.float64]:
    """(channel, sample and position)."""
    return np.moveaxis(values, axis + 1, 0).reshape(values.shape[axis + 1], -1).astype(np.float64)


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
