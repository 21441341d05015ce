"""The layers of ONNX in torch: convolutions, pools, normalisation, products with weights.

Each function takes a Node and gives a kernel: values in, value out, with everything fixed that the node fixes. The meaning is
that of the ONNX operators of the node's version, checked against onnxruntime. Spatial sizes are Python numbers when a kernel
runs, so padding that depends on them (`auto_pad`) is found then.

What it does not know is refused: pools that give indices or are dilated means, statistics of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgewise.core.errors import ModelError

Value = Any  # a Tensor, or numbers of a shape: an int, a float, a list of them
Kernel = Callable[[Sequence[Value]], Value]
CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TURNED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
LARGEST = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
MEANS: dict[int, Callable[..., Tensor]] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class Node(Struct, frozen=True):
    """A node of the graph: kind, name for messages, attributes, constants by input (None: data, or `absent`), version of
    the operator set, how many outputs it has, and what its inputs are called."""

    kind: str
    name: str
    attributes: Mapping[str, Any]
    constants: tuple[NDArray[Any] | None, ...]
    version: int
    outputs: int = 1
    absent: tuple[int, ...] = ()
    inputs: tuple[str, ...] = ()

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def fixed(self, place: int) -> NDArray[Any] | None:
        """The constant at an input, or None."""
        return self.constants[place] if place < len(self.constants) else None

    def refused(self, what: str, allowed: str) -> ModelError:
        return ModelError(
            f"the operator {self.kind} is used in a way that is not known", got=f"{what} ({self.name})", allowed=allowed
        )


def convolution(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        x, weight, bias = v[0], v[1], v[2] if len(v) > 2 else None
        rank = x.ndim - 2
        strides, dilations = node.get("strides", [1] * rank), node.get("dilations", [1] * rank)
        x, pads = padded(node, x, weight.shape[2:], strides, dilations)
        return CONVOLUTIONS[rank](x, weight, bias, strides, pads, dilations, node.get("group", 1))

    return run


def turned(node: Node) -> Kernel:
    """ConvTranspose."""
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in node.attributes:
        raise node.refused("automatic padding", "explicit pads")

    def run(v: Sequence[Value]) -> Value:
        x, weight, bias = v[0], v[1], v[2] if len(v) > 2 else None
        rank = x.ndim - 2
        pads = node.get("pads", [0] * 2 * rank)
        extra, dilations = node.get("output_padding", [0] * rank), node.get("dilations", [1] * rank)
        strides, group = node.get("strides", [1] * rank), node.get("group", 1)
        if pads[:rank] == pads[rank:]:
            return TURNED[rank](x, weight, bias, strides, pads[:rank], extra, group, dilations)
        full = TURNED[rank](x, weight, bias, strides, 0, extra, group, dilations)
        return functional.pad(full, _reversed([-p for p in pads[:rank]], [-p for p in pads[rank:]]))

    return run


def pool(node: Node) -> Kernel:
    """MaxPool and AveragePool."""
    largest = node.kind == "MaxPool"
    if node.outputs > 1:
        raise node.refused("indices as a second output", "one output")
    if not largest and any(d != 1 for d in node.get("dilations", [])):
        raise node.refused("dilations", "no dilation of means")
    kernel, ceil, counted = node.get("kernel_shape", []), bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))

    def run(v: Sequence[Value]) -> Value:
        x = v[0]
        rank = len(kernel)
        strides, dilations = node.get("strides", [1] * rank), node.get("dilations", [1] * rank)
        wide, pads = padded(node, x, kernel, strides, dilations, -math.inf if largest else 0.0, [k // 2 for k in kernel])
        if largest:
            return LARGEST[rank](wide, kernel, strides, pads, dilations, ceil)
        if wide is x:
            return MEANS[rank](x, kernel, strides, pads, ceil, counted)
        mean = MEANS[rank](wide, kernel, strides, 0, ceil)
        if counted:
            return mean
        ones, _ = padded(node, torch.ones_like(x), kernel, strides, dilations, 0.0, [0] * rank)
        return mean / MEANS[rank](ones, kernel, strides, 0, ceil)

    return run


def padded(
    node: Node,
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    value: float = 0.0,
    most: Sequence[int] | None = None,
) -> tuple[Tensor, list[int]]:
    """`x` and the padding that the layer adds itself: the same on both sides and at most `most`, or else `x` padded, and 0."""
    rank = len(kernel)
    mode = node.get("auto_pad", "NOTSET")
    before: list[int]
    after: list[int]
    if mode in ("NOTSET", "", "VALID"):
        both = list(node.get("pads", [0] * 2 * rank)) if mode != "VALID" else [0] * 2 * rank
        before, after = both[:rank], both[rank:]
    else:
        before = []
        after = []
        for axis in range(rank):
            size, reach = x.shape[2 + axis], (kernel[axis] - 1) * dilations[axis] + 1
            whole = max((-(-size // strides[axis]) - 1) * strides[axis] + reach - size, 0)
            less = whole // 2
            before.append(less if mode == "SAME_UPPER" else whole - less)
            after.append(whole - before[-1])
    if before == after and (most is None or all(p <= m for p, m in zip(before, most))):
        return x, before
    return functional.pad(x, _reversed(before, after), value=value), [0] * rank


def pad(node: Node) -> Kernel:
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[node.get("mode", "constant")]

    def run(v: Sequence[Value]) -> Value:
        x = v[0]
        pads = [int(p) for p in (v[1] if len(v) > 1 else node.get("pads", node.get("paddings", [])))]
        value = node.fixed(2)
        fill = float(value) if value is not None and value.size else float(node.get("value", 0.0))
        axes = v[3] if len(v) > 3 and v[3] is not None else list(range(len(pads) // 2))
        count = len(axes)
        before, after = [0] * x.ndim, [0] * x.ndim
        for place, axis in enumerate(axes):
            before[axis], after[axis] = pads[place], pads[count + place]
        first = next((i for i in range(x.ndim) if before[i] or after[i]), x.ndim)
        if first == x.ndim:
            return x
        if mode == "constant":
            return functional.pad(x, _reversed(before[first:], after[first:]), value=fill)
        return functional.pad(x, _reversed(before[2:], after[2:]), mode)

    return run


def _reversed(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Paddings as torch wants them: the last axis first."""
    return [p for pair in zip(reversed(before), reversed(after)) for p in pair]


def everywhere(node: Node) -> Kernel:
    """GlobalAveragePool and GlobalMaxPool."""
    if node.kind == "GlobalMaxPool":
        return lambda v: v[0].amax(list(range(2, v[0].ndim)), keepdim=True)
    return lambda v: v[0].mean(list(range(2, v[0].ndim)), keepdim=True)


def normal(node: Node) -> Kernel:
    """BatchNormalization as it is used, InstanceNormalization, LayerNormalization, GroupNormalization."""
    epsilon = node.get("epsilon", 1e-5)
    if node.kind == "BatchNormalization":
        if node.get("training_mode", 0) or node.outputs > 1:
            raise node.refused("statistics of the batch", "a model that was exported for use")
        return lambda v: functional.batch_norm(v[0], v[3], v[4], v[1], v[2], False, 0.0, epsilon)
    if node.kind == "InstanceNormalization":
        return lambda v: functional.instance_norm(v[0], None, None, v[1], v[2], True, 0.0, epsilon)
    if node.kind == "GroupNormalization":
        groups = node.get("num_groups", 1)

        def spread(x: Tensor, by: Tensor) -> Tensor:
            return by.repeat_interleave(x.shape[1] // groups) if len(by) == groups != x.shape[1] else by

        return lambda v: functional.group_norm(v[0], groups, spread(v[0], v[1]), spread(v[0], v[2]), epsilon)
    axis = node.get("axis", -1)

    def layer(v: Sequence[Value]) -> Value:
        shape = list(v[0].shape[axis % v[0].ndim :])
        return functional.layer_norm(v[0], shape, v[1], v[2] if len(v) > 2 else None, epsilon)

    return layer


def product(node: Node) -> Kernel:
    """MatMul and Gemm."""
    if node.kind == "MatMul":
        return lambda v: torch.matmul(v[0], v[1])
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    first, second = node.get("transA", 0), node.get("transB", 0)

    def gemm(v: Sequence[Value]) -> Value:
        a, b = v[0].t() if first else v[0], v[1].t() if second else v[1]
        y = a @ b if alpha == 1 else alpha * (a @ b)
        return y if len(v) < 3 or v[2] is None else y + (v[2] if beta == 1 else beta * v[2])

    return gemm


LAYERS: dict[str, Callable[[Node], Kernel]] = {
    "Conv": convolution,
    "ConvTranspose": turned,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": everywhere,
    "GlobalMaxPool": everywhere,
    "BatchNormalization": normal,
    "InstanceNormalization": normal,
    "LayerNormalization": normal,
    "GroupNormalization": normal,
    "MatMul": product,
    "Gemm": product,
    "Pad": pad,
}
