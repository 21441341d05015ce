"""FLOPs, weight bytes and bytes of every tensor: an ONNX model becomes a `core.graph.Graph`.

The idea is one table: a rule for each kind of operator, from shapes to FLOPs. A multiply-add counts as two; an element-wise
function counts as one an element, however dear its instructions are; moving data counts as none (its bytes are in `read`
and `written`). Convolutions count padded positions too, as the papers do: ResNet-50 at 224² is 8.2 GFLOP, 4.1 GMAC.

Operators that do not depend on an input (constants, and shapes that are fixed) are folded before a run and not listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec.structs

from edgewise.core.graph import Graph, Operator, Tensor
from edgewise.graph.load import used
from edgewise.graph.shapes import data_inputs, infer, weight_shapes

# Kinds that compute one value an output element, to the accuracy of this count.
_ELEMENTWISE = frozenset(
    """
    Abs Add And BitShift Ceil Celu Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish
    LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin
    Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where Xor QuantizeLinear DequantizeLinear
    """.split()  # noqa: SIM905
)
# Kinds that move or name data and compute nothing.
_MOVING = frozenset(
    """
    Cast Concat Constant ConstantOfShape DepthToSpace Dropout Expand Flatten Gather GatherElements GatherND Identity NonZero
    OneHot Pad Range Reshape ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze
    """.split()  # noqa: SIM905
)
# Kinds that compute one value an input element.
_REDUCING = frozenset(
    ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ArgMax", "ArgMin", "CumSum")
)
# FLOPs an input element of the normalising kinds: passes for mean, variance, scale and shift.
_NORMALISING = {
    "BatchNormalization": 2.0,
    "LayerNormalization": 8.0,
    "InstanceNormalization": 8.0,
    "GroupNormalization": 8.0,
    "LpNormalization": 3.0,
    "MeanVarianceNormalization": 7.0,
    "Softmax": 5.0,
    "LogSoftmax": 6.0,
    "LRN": 10.0,
}


def graph_of(model: Any, sizes: Mapping[str, int] | None = None) -> Graph:
    """The Graph of a loaded model at batch 1; `sizes` gives lengths to free dimensions besides the batch."""
    shapes = infer(model, sizes)
    weights = {name: Tensor(name, dtype, shape) for name, (dtype, shape) in weight_shapes(model).items()}
    varying = [x.name for x in data_inputs(model)]
    alive = set(varying)
    operators: list[Operator] = []
    names: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not alive & set(used(node)):
            weights.update({o: shapes[o] for o in node.output if o})
            continue
        alive.update(o for o in node.output if o)
        operator = _operator(node, _unique(node.name or f"{node.op_type}_{i}", names), alive, shapes, weights)
        operators.append(operator)
    needed = {w for o in operators for w in o.weights}
    return Graph(
        name=model.graph.name or "model",
        operators=tuple(operators),
        inputs=tuple(varying),
        outputs=tuple(o.name for o in model.graph.output),
        tensors={n: t for n, t in shapes.items() if n in alive},
        constants={n: weights[n].bytes for n in sorted(needed)},
    )


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _operator(node: Any, name: str, alive: set[str], shapes: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Operator:
    read = used(node)
    inputs = tuple(n for n in read if n in alive)
    constant = tuple(n for n in read if n not in alive and n in weights)
    outputs = tuple(o for o in node.output if o)
    filters = [weights[n].shape for n in constant if len(weights[n].shape) >= 2]
    attributes = {a.name: a for a in node.attribute}
    operator = Operator(
        name=name,
        kind=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        inputs=inputs,
        outputs=outputs,
        weights=constant,
        weight_bytes=sum(weights[n].bytes for n in constant),
        read=sum(shapes[n].bytes for n in inputs),
        written=sum(shapes[n].bytes for n in outputs),
        shape_in=shapes[inputs[0]].shape,
        shape_out=shapes[outputs[0]].shape,
        filter=filters[0] if filters else (),
        kernel=tuple(attributes["kernel_shape"].ints) if "kernel_shape" in attributes else _kernel(node, filters),
        stride=tuple(attributes["strides"].ints) if "strides" in attributes else (),
        group=attributes["group"].i if "group" in attributes else 1,
        mode=attributes["mode"].s.decode() if "mode" in attributes and node.op_type in ("Resize", "Upsample") else "",
        axis=attributes["axis"].i if "axis" in attributes else None,
    )
    known = [shapes[n] if n in shapes else weights[n] for n in node.input if n in shapes or n in weights]
    return msgspec.structs.replace(operator, flops=flops(operator, [t.shape for t in known]))


def _kernel(node: Any, filters: list[tuple[int, ...]]) -> tuple[int, ...]:
    return filters[0][2:] if filters and node.op_type in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv") else ()


def flops(operator: Operator, shapes: list[tuple[int, ...]]) -> float | None:
    """FLOPs of one operator whose inputs, weights among them, have these `shapes`; None where no rule counts it."""
    kind, out = operator.kind, float(math.prod(operator.shape_out))
    if operator.domain not in ("", "ai.onnx.ml"):
        return None
    if kind in _ELEMENTWISE:
        return out
    if kind in _MOVING:
        return 0.0
    if kind in _NORMALISING:
        return _NORMALISING[kind] * math.prod(shapes[0])
    if kind in _REDUCING:
        return float(math.prod(shapes[0]))
    rule = _RULES.get(kind)
    return None if rule is None else float(rule(operator, shapes))


def _convolution(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    weight = shapes[1]  # [out, in / group, *kernel]
    return 2.0 * math.prod(weight[1:]) * math.prod(o.shape_out)


def _transposed(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    weight = shapes[1]  # [in, out / group, *kernel]
    return 2.0 * math.prod(weight[1:]) * math.prod(shapes[0])


def _product(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    return 2.0 * shapes[0][-1] * math.prod(o.shape_out)


def _general_product(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    inner = math.prod(shapes[0]) / max(1, o.shape_out[0])
    return 2.0 * inner * math.prod(o.shape_out)


def _pool(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    return float(math.prod(o.kernel) * math.prod(o.shape_out))


def _global_pool(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    return float(math.prod(shapes[0]))


# FLOPs an output value of a picture: weighted sums of 4 and of 16 neighbours; the nearest one is only moved.
_INTERPOLATION = {"linear": 7.0, "cubic": 31.0}


def _resize(o: Operator, shapes: list[tuple[int, ...]]) -> float:
    return _INTERPOLATION.get(o.mode, 0.0) * math.prod(o.shape_out)


def _recurrent(gates: int) -> Callable[[Operator, list[tuple[int, ...]]], float]:
    def rule(o: Operator, shapes: list[tuple[int, ...]]) -> float:
        steps, batch, width = shapes[0]
        hidden, directions = shapes[2][-1], shapes[1][0]
        return 2.0 * steps * batch * directions * gates * hidden * (width + hidden)

    return rule


_RULES: dict[str, Callable[[Operator, list[tuple[int, ...]]], float]] = {
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "MatMulInteger": _product,
    "Gemm": _general_product,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Resize": _resize,
    "Upsample": _resize,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
}
