"""Shapes of every tensor, by inference; where inference stays silent, by one run on zeros.

Free dimensions: the first axis of an input is its batch when it has no number, and is taken as 1. Which axes further on
follow the batch is found by inferring twice, at batch 1 and 2, and comparing: it is never guessed from a name.
Any other free dimension needs a size from the person who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, shape_inference

from edgewise.core.errors import ConfigError, ModelError
from edgewise.core.graph import Tensor
from edgewise.graph.reference import evaluate

# Weights beyond this many values are of no use to inference and only cost time to copy.
_SMALL = 1024
Shape = tuple[int | None, ...]


def infer(model: Any, sizes: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """Every input and every tensor that a node writes, by name; `sizes` gives lengths of free dimensions by their names."""
    once = concrete(model, sizes or {}, 1)
    shapes, dtypes = _inferred(once)
    names = [x.name for x in data_inputs(model)] + [o for n in model.graph.node for o in n.output if o]
    silent = [n for n in names if n not in dtypes or not _known(shapes.get(n))]
    if silent:
        for name, value in evaluate(_exposing(once, silent, dtypes), zeros(once), optimise=False).items():
            if not isinstance(value, np.ndarray):
                raise ModelError(f"tensor {name!r} is a sequence or a map", got=type(value).__name__, allowed="tensors")
            shapes[name], dtypes[name] = value.shape, str(value.dtype)
    twice = _inferred(concrete(model, sizes or {}, 2))[0] if free_batch(model) else shapes
    return {n: Tensor(n, dtypes[n], _whole(shapes[n]), _moving(shapes[n], twice.get(n))) for n in names}


def data_inputs(model: Any) -> list[Any]:
    """Inputs that are not weights (old models list weights among their inputs)."""
    weights = {x.name for x in model.graph.initializer}
    return [x for x in model.graph.input if x.name not in weights]


def free_batch(model: Any) -> bool:
    """Whether the model takes any batch."""
    return any(
        x.type.tensor_type.shape.dim and not x.type.tensor_type.shape.dim[0].HasField("dim_value") for x in data_inputs(model)
    )


def concrete(model: Any, sizes: Mapping[str, int], batch: int) -> Any:
    """A light copy whose inputs have numbers for all dimensions; large weights are replaced by inputs of the same shape."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    for value in data_inputs(light):
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"input {value.name!r} is not a tensor", got=value.type.WhichOneof("value"), allowed="tensors")
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(f"input {value.name!r} has no shape", allowed="inputs with a known number of dimensions")
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value"):
                continue
            word = dimension.dim_param or f"{value.name}:{axis}"
            length = sizes.get(word, sizes.get(f"{value.name}:{axis}", batch if axis == 0 else 0))
            if length < 1:
                raise ConfigError(
                    f"input {value.name!r} has a free dimension besides the batch",
                    got=f"axis {axis} ({word!r})",
                    allowed="a size of 1 or more",
                    hint=f"Say how long it is, as in {word}=320.",
                )
            dimension.dim_value = length
    # What the model says of later tensors may hold its old, free dimensions: inference must find them itself.
    del light.graph.value_info[:]
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    return light


def zeros(model: Any) -> dict[str, NDArray[Any]]:
    """A feed of zeros for a model whose dimensions are all numbers."""
    return {
        x.name: np.zeros(
            [d.dim_value for d in x.type.tensor_type.shape.dim], helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
        )
        for x in data_inputs(model)
    }


def weight_shapes(model: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape of every weight, by name."""
    return {x.name: (_dtype(x.data_type), tuple(x.dims)) for x in model.graph.initializer}


def _inferred(model: Any) -> tuple[dict[str, Shape], dict[str, str]]:
    light = onnx.ModelProto()
    light.CopyFrom(model)
    named = {x.name for x in light.graph.input}
    heavy = [x for x in light.graph.initializer if int(np.prod(x.dims)) > _SMALL]
    light.graph.input.extend(
        helper.make_tensor_value_info(x.name, x.data_type, list(x.dims)) for x in heavy if x.name not in named
    )
    kept = [x for x in light.graph.initializer if int(np.prod(x.dims)) <= _SMALL]
    del light.graph.initializer[:]
    light.graph.initializer.extend(kept)
    # Not strict: where the rules of ONNX give up (operators of other domains among them) the run on zeros decides.
    inferred = shape_inference.infer_shapes(light, check_type=False, strict_mode=False, data_prop=True)
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, str] = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type:
            dtypes[value.name] = _dtype(tensor.elem_type)
        if tensor.HasField("shape"):
            shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return shapes, dtypes


def _exposing(model: Any, names: list[str], dtypes: Mapping[str, str]) -> Any:
    """The model with these tensors as its outputs; their types are left for onnxruntime to find."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    for name in names:
        known = helper.np_dtype_to_tensor_dtype(np.dtype(dtypes[name])) if name in dtypes else TensorProto.UNDEFINED
        shown.graph.output.append(
            helper.make_tensor_value_info(name, known, None) if name in dtypes else onnx.ValueInfoProto(name=name)
        )
    return shown


def _dtype(kind: int) -> str:
    return TensorProto.DataType.Name(kind).lower().replace("double", "float64") if kind != TensorProto.FLOAT else "float32"


def _known(shape: Shape | None) -> bool:
    return shape is not None and None not in shape


def _whole(shape: Shape) -> tuple[int, ...]:
    return tuple(d for d in shape if d is not None)


def _moving(once: Shape, twice: Shape | None) -> tuple[int, ...]:
    """Axes whose length changed with the batch; where the second inference says nothing, the first axis is taken to."""
    if twice is None or len(twice) != len(once):
        return (0,) if once else ()
    return tuple(axis for axis, (a, b) in enumerate(zip(once, twice, strict=True)) if b is None or a != b)
