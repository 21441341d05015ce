"""The operators of ONNX that have no layer in torch: arithmetic, activations, and what moves, cuts and joins tensors.

Shapes are computed in many graphs by the graph itself (Shape, Gather, Concat, Reshape). Such values are kept as Python
numbers, not as tensors: a shape then stays a shape, whatever the batch, in torch's exporter too. So the operators that occur
among them take both; `Numbers` are ints, floats and lists of them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from edgewise.core.errors import ModelError
from edgewise.training.onnx_layers import Kernel, Node, Value


def _each(f: Callable[[Any], Any], x: Value) -> Value:
    return [f(a) for a in x] if isinstance(x, list) else f(x)


def _pairs(f: Callable[[Any, Any], Any], a: Value, b: Value) -> Value:
    if not isinstance(a, list) and not isinstance(b, list):
        return f(a, b)
    size = max(len(x) for x in (a, b) if isinstance(x, list))
    a, b = ((x * (size // len(x)) if isinstance(x, list) else [x] * size) for x in (a, b))
    return [f(x, y) for x, y in zip(a, b)]


def tensor(x: Value, like: Tensor) -> Tensor:
    """Numbers as a tensor beside `like`."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=like.dtype)


def _divided(a: Value, b: Value) -> Value:
    whole = not (a.is_floating_point() or b.is_floating_point()) if isinstance(a, Tensor) and isinstance(b, Tensor) else False
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def _quotient(a: Any, b: Any) -> Any:
    return a / b if isinstance(a, float) or isinstance(b, float) else a // b


# name → (among tensors, among numbers)
PAIRS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "Add": (operator.add, operator.add),
    "Sum": (operator.add, operator.add),
    "Sub": (operator.sub, operator.sub),
    "Mul": (operator.mul, operator.mul),
    "Div": (_divided, _quotient),
    "Pow": (operator.pow, operator.pow),
    "Mod": (torch.remainder, operator.mod),
    "Min": (torch.minimum, min),
    "Max": (torch.maximum, max),
    "Equal": (operator.eq, operator.eq),
    "Greater": (operator.gt, operator.gt),
    "GreaterOrEqual": (operator.ge, operator.ge),
    "Less": (operator.lt, operator.lt),
    "LessOrEqual": (operator.le, operator.le),
    "And": (torch.logical_and, operator.and_),
    "Or": (torch.logical_or, operator.or_),
}
SINGLES: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": functional.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "HardSwish": functional.hardswish,
    "Mish": functional.mish,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Abs": torch.abs,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Erf": torch.erf,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Sign": torch.sign,
    "Round": torch.round,
    "Not": torch.logical_not,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
}
WHOLE: dict[str, Callable[[Any], Any]] = {"Floor": math.floor, "Ceil": math.ceil, "Neg": operator.neg, "Sqrt": math.sqrt}


def pair(node: Node) -> Kernel:
    among, numbers = PAIRS[node.kind]

    def two(a: Value, b: Value) -> Value:
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            return _pairs(numbers, a, b)
        like = a if isinstance(a, Tensor) else b
        return among(tensor(a, like), tensor(b, like))

    return lambda v: reduce(two, v)


def single(node: Node) -> Kernel:
    among, numbers = SINGLES[node.kind], WHOLE.get(node.kind)
    return lambda v: among(v[0]) if isinstance(v[0], Tensor) or numbers is None else _each(numbers, v[0])


def bent(node: Node) -> Kernel:
    """Activations with a figure of their own."""
    a = {"LeakyRelu": 0.01, "Elu": 1.0, "Celu": 1.0, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Swish": 1.0}
    alpha = node.get("alpha", a.get(node.kind, 1.0))
    beta = node.get("beta", 0.5)
    kinds: dict[str, Kernel] = {
        "LeakyRelu": lambda v: functional.leaky_relu(v[0], alpha),
        "Elu": lambda v: functional.elu(v[0], alpha),
        "Celu": lambda v: functional.celu(v[0], alpha),
        "Selu": lambda v: functional.selu(v[0]),
        "ThresholdedRelu": lambda v: torch.where(v[0] > alpha, v[0], 0.0),
        "HardSigmoid": lambda v: (alpha * v[0] + beta).clamp(0, 1),
        "Swish": lambda v: v[0] * torch.sigmoid(alpha * v[0]),
        "PRelu": lambda v: torch.where(v[0] < 0, v[0] * v[1], v[0]),
        "Gelu": lambda v: functional.gelu(v[0], approximate=node.get("approximate", "none")),
    }
    return kinds[node.kind]


def clip(node: Node) -> Kernel:
    def bound(v: Sequence[Value], place: int, name: str) -> Any:
        value = node.fixed(place)
        return float(value) if value is not None else v[place] if len(v) > place else node.get(name, None)

    def run(v: Sequence[Value]) -> Value:
        low, high = bound(v, 1, "min"), bound(v, 2, "max")
        return v[0] if low is None and high is None else torch.clamp(v[0], low, high)

    return run


def softmax(node: Node) -> Kernel:
    """Softmax and LogSoftmax; before version 13 over all axes from `axis` on."""
    function = torch.softmax if node.kind == "Softmax" else torch.log_softmax
    axis = node.get("axis", -1 if node.version >= 13 else 1)
    if node.version >= 13:
        return lambda v: function(v[0], axis)

    def run(v: Sequence[Value]) -> Value:
        first = axis % v[0].ndim
        return function(v[0], first) if first == v[0].ndim - 1 else function(v[0].flatten(first), first).reshape(v[0].shape)

    return run


def reduced(node: Node) -> Kernel:
    functions: dict[str, Callable[..., Any]] = {
        "ReduceMean": torch.mean,
        "ReduceSum": torch.sum,
        "ReduceMax": torch.amax,
        "ReduceMin": torch.amin,
        "ReduceL2": torch.linalg.vector_norm,
        "ReduceLogSumExp": torch.logsumexp,
        "ReduceSumSquare": lambda x, dim, keepdim: x.square().sum(dim, keepdim=keepdim),
    }
    keep = bool(node.get("keepdims", 1))

    def run(v: Sequence[Value]) -> Value:
        axes = v[1] if len(v) > 1 and v[1] is not None else node.get("axes", None)
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return v[0]
            axes = list(range(v[0].ndim))
        return functions[node.kind](v[0], dim=list(axes), keepdim=keep)

    return run


def cast(node: Node) -> Kernel:
    wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    like = torch.from_numpy(np.zeros(1, wanted)).dtype
    number: Callable[[Any], Any] = (lambda a: a) if wanted.kind in "iu" else bool if wanted.kind == "b" else float

    def whole(a: Any) -> Any:
        return int(a) if wanted.kind in "iu" and isinstance(a, float) else number(a)

    return lambda v: v[0].to(like) if isinstance(v[0], Tensor) else _each(whole, v[0])


def where(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        if not any(isinstance(x, Tensor) for x in v):
            size = max((len(x) for x in v if isinstance(x, list)), default=0)
            wide = [x * (size // len(x)) if isinstance(x, list) else [x] * max(size, 1) for x in v]
            found = [b if a else c for a, b, c in zip(*wide)]
            return found if size else found[0]
        like = next(x for x in v[1:] if isinstance(x, Tensor))
        test = v[0] if isinstance(v[0], Tensor) else torch.tensor(v[0], dtype=torch.bool)
        return torch.where(test, tensor(v[1], like), tensor(v[2], like))

    return run


SIMPLE: dict[str, Callable[[Node], Kernel]] = {
    **dict.fromkeys(PAIRS, pair),
    **dict.fromkeys(SINGLES, single),
    **dict.fromkeys(
        ("LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "HardSigmoid", "Swish", "PRelu", "Gelu"),
        bent,
    ),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"), reduced
    ),
    "Clip": clip,
    "Softmax": softmax,
    "LogSoftmax": softmax,
    "Cast": cast,
    "Where": where,
    "Identity": lambda node: lambda v: v[0],
    "Dropout": lambda node: lambda v: v[0],
}


def unknown(kinds: Sequence[str], known: Sequence[str]) -> ModelError:
    """The sentence for operators that cannot be made into torch."""
    return ModelError(
        "the model has operators that cannot be taught here",
        got=", ".join(sorted(set(kinds))),
        allowed=", ".join(sorted(known)),
        hint="Export the model without them, or give the torch network itself, as package.module:function.",
    )
