"""Draw a network layer by layer and get an ONNX model: for calibration, for reference graphs, and for tests.

Weights are drawn from a seed, scaled so that activations keep their size (He et al. 2015). A *hollow* sketch has weights
with shapes and no values: enough to count a large published network, and nothing that could run.

It knows images ([batch, channel, height, width]) and sequences ([batch, time, width]); it does not check what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class Sketch:
    """A network that is being drawn: every method adds nodes and gives the name of what they write.

    >>> s = Sketch("tiny")
    >>> x = s.conv(s.input("x", 3, 8, 8), 4, stride=2)
    >>> s.model(s.dense(s.flat_mean(x), 10)).graph.output[0].name
    'gemm_5'
    """

    def __init__(self, name: str, seed: int = 0, hollow: bool = False) -> None:
        self.name = name
        self.hollow = hollow
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []
        self._wide: dict[str, int] = {}  # channels of images, width of sequences

    def input(self, name: str, *shape: int, batch: int | str = "batch") -> str:
        """A float input of `shape` (channel, height, width or time, width) after the batch."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape]))
        self._wide[name] = shape[0] if len(shape) == 3 else shape[-1]
        return name

    def weight(self, *shape: int, spread: float = 1.0, centre: float = 0.0) -> str:
        name = f"w{len(self._weights)}"
        if self.hollow:
            self._weights.append(TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT))
        else:
            values = (centre + spread * self._rng.standard_normal(shape)).astype(np.float32)
            self._weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, values: Any, dtype: str = "int64") -> str:
        name = f"c{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(
        self, kind: str, *inputs: str, wide: int | None = None, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> Any:
        """Any operator; `wide` is the number of channels that it gives, that of its first input by default."""
        stem = f"{kind.lower()}_{len(self._nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=f"{stem}_node", domain=domain, **attributes))
        for name in names:
            self._wide[name] = self._wide.get(inputs[0], 0) if wide is None else wide
        return names[0] if outputs == 1 else names

    def wide(self, x: str) -> int:
        return self._wide[x]

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        group: int = 1,
        act: str = "Relu",
        norm: bool = False,
        pad: int | None = None,
    ) -> str:
        """Convolution with bias, or with a batch norm after it; `act` is an activation of `activate`, or nothing."""
        inner = self._wide[x] // group
        filters = self.weight(channels, inner, kernel, kernel, spread=math.sqrt(2 / (inner * kernel * kernel)))
        around = kernel // 2 if pad is None else pad
        bias = [] if norm else [self.weight(channels, spread=0.1)]
        attributes: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [around] * 4, "group": group}
        y = self.node("Conv", x, filters, *bias, wide=channels, **attributes)
        return self.activate(self.norm(y) if norm else y, act)

    def depthwise(self, x: str, kernel: int = 3, stride: int = 1, act: str = "Relu", norm: bool = False) -> str:
        return self.conv(x, self._wide[x], kernel, stride, self._wide[x], act, norm)

    def upconv(self, x: str, channels: int) -> str:
        """Transposed convolution 2 × 2 with stride 2."""
        filters = self.weight(self._wide[x], channels, 2, 2, spread=math.sqrt(2 / self._wide[x]))
        return str(self.node("ConvTranspose", x, filters, wide=channels, kernel_shape=[2, 2], strides=[2, 2]))

    def norm(self, x: str) -> str:
        """Batch norm with scale near 1 and variance near 1."""
        c = self._wide[x]
        near_one = [self.weight(c, spread=0.05, centre=1.0), self.weight(c, spread=0.1), self.weight(c, spread=0.1)]
        return str(self.node("BatchNormalization", x, *near_one, self.weight(c, spread=0.02, centre=1.0)))

    def activate(self, x: str, act: str) -> str:
        """`Relu`, `Relu6`, `SiLU` (x · sigmoid x), any ONNX activation by its name, or "" for none."""
        if act == "Relu6":
            return str(self.node("Clip", x, self.constant(0.0, "float32"), self.constant(6.0, "float32")))
        if act == "SiLU":
            return str(self.node("Mul", x, self.node("Sigmoid", x)))
        return str(self.node(act, x)) if act else x

    def gelu(self, x: str) -> str:
        """x · (1 + erf(x / √2)) / 2, as exporters write it."""
        half = self.add(self.node("Erf", self.node("Div", x, self.constant(2**0.5, "float32"))), self.constant(1.0, "float32"))
        return str(self.node("Mul", self.node("Mul", x, half), self.constant(0.5, "float32")))

    def add(self, *xs: str) -> str:
        return str(self.node("Add", *xs))

    def concat(self, xs: Sequence[str], axis: int = 1) -> str:
        return str(self.node("Concat", *xs, wide=sum(self._wide[x] for x in xs), axis=axis))

    def pool(self, x: str, kind: str = "MaxPool", kernel: int = 2, stride: int = 2, pad: int = 0) -> str:
        return str(self.node(kind, x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4))

    def resize(self, x: str, scale: float = 2.0, mode: str = "nearest") -> str:
        how = "asymmetric" if mode == "nearest" else "half_pixel"
        scales = self.constant([1.0, 1.0, scale, scale], "float32")
        rounding: dict[str, Any] = {"nearest_mode": "floor"} if mode == "nearest" else {}
        return str(self.node("Resize", x, "", scales, mode=mode, coordinate_transformation_mode=how, **rounding))

    def flat_mean(self, x: str) -> str:
        """Global average pool, then [batch, channel]."""
        return str(self.node("Flatten", self.node("GlobalAveragePool", x)))

    def dense(self, x: str, width: int, act: str = "") -> str:
        """Gemm on [batch, features]."""
        weight = self.weight(width, self._wide[x], spread=math.sqrt(2 / self._wide[x]))
        return self.activate(self.node("Gemm", x, weight, self.weight(width, spread=0.1), wide=width, transB=1), act)

    def project(self, x: str, width: int) -> str:
        """MatMul and bias on the last axis of a sequence."""
        y = self.node("MatMul", x, self.weight(self._wide[x], width, spread=math.sqrt(1 / self._wide[x])), wide=width)
        return self.add(y, self.weight(width, spread=0.1))

    def reshape(self, x: str, shape: Sequence[int], wide: int | None = None) -> str:
        """`shape` with 0 for an axis that stays and -1 for the rest."""
        return str(self.node("Reshape", x, self.constant(list(shape)), wide=wide))

    def transpose(self, x: str, order: Sequence[int], wide: int | None = None) -> str:
        return str(self.node("Transpose", x, perm=list(order), wide=wide))

    def shuffle(self, x: str, groups: int, height: int, width: int) -> str:
        """ShuffleNet's exchange of channels between groups (Zhang et al. 2018)."""
        c = self._wide[x]
        y = self.transpose(self.reshape(x, [-1, groups, c // groups, height, width]), [0, 2, 1, 3, 4])
        return self.reshape(y, [-1, c, height, width], wide=c)

    def layer_norm(self, x: str) -> str:
        w = self._wide[x]
        return str(
            self.node("LayerNormalization", x, self.weight(w, spread=0.05, centre=1.0), self.weight(w, spread=0.1), axis=-1)
        )

    def attention(self, x: str, heads: int) -> str:
        """Multi-head self-attention on [batch, time, width], as exporters write it."""
        w = self._wide[x]
        q, k, v = (
            self.transpose(self.reshape(self.project(x, w), [0, 0, heads, w // heads]), order)
            for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        scores = self.node("Mul", self.node("MatMul", q, k), self.constant(1 / math.sqrt(w // heads), "float32"))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), v)
        return self.project(self.reshape(self.transpose(mixed, [0, 2, 1, 3]), [0, 0, w], wide=w), w)

    def model(self, *outputs: str) -> Any:
        """The `onnx.ModelProto` with these tensors as its outputs."""
        free = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, free, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
