"""Rewrite a model so that it takes pictures as devices hold them: uint8 (batch, height, width, 3), RGB.

What a training script does to a picture before the model sees it, a Look, becomes nodes in front of the graph:

    value = (byte · scale − mean) / std   per channel, in the order of the model's channels, then its own layout

so that a device moves bytes only and nobody has to remember a mean. Bytes are brought into their layout first, where an element
is one byte, and become numbers afterwards. A model of one channel gets the luminance (ITU-R BT.601).

`freed` gives a model whose batch is written as 1 a free batch, where its graph allows that: it is believed only after a run of
two pictures gives what two runs of one give. It does not know what the person's training script really did: a Look is their word.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError, ModelError
from edgewise.graph.reference import evaluate
from edgewise.graph.shapes import data_inputs

Layout = Literal["NCHW", "NHWC"]
LUMINANCE = (0.299, 0.587, 0.114)
PICTURE = "picture"
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_TOLERANCE = 1e-4  # of an output's largest magnitude, between a batch of two and two of one


class Look(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model wants to see a picture: its size in px, `scale` on bytes, then `mean` and `std` per channel of the model.

    `mean` and `std` are in units of the scaled values, and in the model's order of channels: blue first where `bgr`.
    """

    height: int
    width: int
    channels: Literal[1, 3] = 3
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    layout: Layout = "NCHW"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ConfigError("a picture has an impossible size", got=f"{self.height} × {self.width}", allowed="1 px or more")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels) or not np.isfinite(values).all():
                raise ConfigError(
                    f"the {name} of a picture does not fit the model",
                    got=", ".join(f"{v:g}" for v in values) or "nothing",
                    allowed="one number" + ("" if self.channels == 1 else f", or {self.channels}: one a channel"),
                )
        if not np.isfinite(self.scale) or self.scale == 0 or any(s <= 0 for s in self.std):
            raise ConfigError(
                "a picture cannot be scaled so",
                got=f"scale {self.scale:g}, std {', '.join(f'{s:g}' for s in self.std)}",
                allowed="a finite scale that is not 0, and std above 0",
            )

    @property
    def picture(self) -> Picture:
        """What a manifest says of it."""
        return Picture(self.width, self.height)


def look_of(model: Any, size: tuple[int, int] | None = None) -> Look | None:
    """What the model's only input says of its pictures: size, layout and channels; None where it takes none.

    `size` (height, width) is used where the model leaves its size free. Scale, mean and order of channels cannot be read
    from a graph: they are 1/255, 0, 1 and RGB, which the caller should say aloud. ModelError where a size is missing or another.
    """
    inputs = data_inputs(model)
    if len(inputs) != 1 or is_pictured(model):
        return _own_look(inputs) if len(inputs) == 1 else None
    tensor = inputs[0].type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if len(shape) != 4 or tensor.elem_type not in (*_FLOATS, TensorProto.UINT8):
        return None
    layout: Layout
    if shape[1] in (1, 3):
        layout, channels, fixed = "NCHW", shape[1], (shape[2], shape[3])
    elif shape[3] in (1, 3):
        layout, channels, fixed = "NHWC", shape[3], (shape[1], shape[2])
    else:
        return None
    height, width = (a or b for a, b in zip(fixed, size or (0, 0), strict=True))
    if not height or not width:
        raise ModelError(
            "the model takes pictures of any size",
            got=f"input {inputs[0].name!r} {shape}",
            hint="Say which, as in --size 224,224.",
        )
    if size is not None and (height, width) != tuple(size):
        raise ModelError("the model takes pictures of another size", got=f"{size[0]} × {size[1]}", allowed=f"{height} × {width}")
    return Look(height, width, channels, layout=layout)


def is_pictured(model: Any) -> bool:
    """Whether the model takes uint8 (batch, height, width, 3) already."""
    inputs = data_inputs(model)
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return False
    dims = inputs[0].type.tensor_type.shape.dim
    return len(dims) == 4 and dims[3].dim_value == 3


def pictured(model: Any, look: Look) -> Any:
    """A copy of `model` whose input is `picture`, uint8 (batch, look.height, look.width, 3), RGB.

    A model that takes such pictures already comes back as it is. ModelError where its input is no picture of that look.
    """
    if is_pictured(model):
        return model
    inputs = data_inputs(model)
    if len(inputs) != 1:
        raise ModelError("a model of pictures has one input", got=", ".join(x.name for x in inputs) or "none", allowed="one")
    old = inputs[0]
    tensor = old.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    wanted = _shape(look)
    if tensor.elem_type not in (*_FLOATS, TensorProto.UINT8) or len(shape) != 4:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError("the model's input is no picture", got=f"{old.name!r}: {kind} {shape}", allowed="float or uint8, 4 axes")
    if any(d not in (None, n) for d, n in zip(shape[1:], wanted, strict=True)):
        raise ModelError(f"input {old.name!r} is not of that look", got=f"{look.layout} {wanted}", allowed=f"{shape[1:]}")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    taken = {x for n in model.graph.node for x in (*n.input, *n.output)} | {x.name for x in model.graph.initializer}
    name = _free(PICTURE, taken)
    nodes, weights = _front(name, old.name, tensor.elem_type, look, taken | {name})
    kept = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend([*nodes, *kept])
    made.graph.initializer.extend(weights)
    others = [x for x in made.graph.input if x.name != old.name]
    first = tensor.shape.dim[0]
    batch = first.dim_value if first.HasField("dim_value") else "batch"
    del made.graph.input[:]
    made.graph.input.extend(
        [helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, look.height, look.width, 3]), *others]
    )
    del made.graph.value_info[:]
    return made


def freed(model: Any, seed: int = 0) -> tuple[Any, bool]:
    """A copy with a free first axis, and True; the model as it is, and False, where its graph holds on to its batch.

    Reshapes to a fixed first axis are loosened; the outcome is run and compared.
    """
    inputs = data_inputs(model)
    firsts = [x.type.tensor_type.shape.dim[0] for x in inputs if len(x.type.tensor_type.shape.dim)]
    if not firsts or not any(d.HasField("dim_value") for d in firsts):
        return model, bool(firsts)
    if any(d.HasField("dim_value") and d.dim_value != 1 for d in firsts):
        return model, False
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for value in (*data_inputs(made), *made.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims):
            dims[0].Clear()
            dims[0].dim_param = "batch"
    del made.graph.value_info[:]
    _loosen(made)
    return (made, True) if _agrees(model, made, seed) else (model, False)


def _own_look(inputs: list[Any]) -> Look | None:
    """The look of a model that takes pictures as they are."""
    dims = inputs[0].type.tensor_type.shape.dim
    if len(dims) != 4 or dims[3].dim_value != 3 or inputs[0].type.tensor_type.elem_type != TensorProto.UINT8:
        return None
    return Look(dims[1].dim_value, dims[2].dim_value, scale=1.0, layout="NHWC")


def _shape(look: Look) -> list[int]:
    """The axes of the model's input after the batch."""
    return [look.channels, look.height, look.width] if look.layout == "NCHW" else [look.height, look.width, look.channels]


def _front(source: str, target: str, kind: int, look: Look, taken: set[str]) -> tuple[list[Any], list[Any]]:
    """Nodes and weights that take bytes `source` to the model's own input `target`."""
    nodes: list[Any] = []
    weights: list[Any] = []

    def weight(values: NDArray[Any]) -> str:
        name = _free(f"{PICTURE}_constant_{len(weights)}", taken)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def node(operator: str, *inputs: str, **attributes: Any) -> str:
        name = _free(f"{PICTURE}_{operator.lower()}_{len(nodes)}", taken)
        nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    first = look.layout == "NCHW"
    x = node("Transpose", source, perm=[0, 3, 1, 2]) if first else source
    along = (-1, 1, 1) if first else (-1,)
    if look.bgr and look.channels == 3:
        x = node("Gather", x, weight(np.array([2, 1, 0])), axis=1 if first else 3)
    x = node("Cast", x, to=TensorProto.FLOAT)
    if look.channels == 1:
        x = node("Mul", x, weight(np.array(LUMINANCE, np.float32).reshape(along)))
        axes = weight(np.array([1 if first else 3]))
        x = node("ReduceSum", x, axes, keepdims=1)
    std, mean = np.array(look.std), np.array(look.mean)
    factor, shift = look.scale / std, -mean / std
    if (factor != 1).any():
        x = node("Mul", x, weight(np.reshape(np.float32(factor), along if factor.size > 1 else ())))
    if (shift != 0).any():
        x = node("Add", x, weight(np.reshape(np.float32(shift), along if shift.size > 1 else ())))
    if kind != TensorProto.FLOAT:
        x = node("Cast", x, to=kind)
    nodes[-1].output[0] = target
    return nodes, weights


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _loosen(model: Any) -> None:
    """Reshapes to (1, …) keep the first axis that they are given; another first axis is whatever is left."""
    targets = {n.input[1] for n in model.graph.node if n.op_type == "Reshape" and len(n.input) > 1}
    sources = {n.output[0]: n for n in model.graph.node if n.op_type == "Constant"}
    for tensor in [
        *(x for x in model.graph.initializer if x.name in targets),
        *(a.t for name, n in sources.items() if name in targets for a in n.attribute if a.name == "value"),
    ]:
        values = numpy_helper.to_array(tensor).copy()
        if values.ndim == 1 and values.size and (values[0] == 1 or -1 not in values):
            values[0] = 0 if values[0] == 1 else -1  # 0: the axis is copied from what is reshaped; -1: whatever is left
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in model.graph.node:
        if node.op_type == "Reshape":  # torch's exporter writes it always, and then 0 would mean an empty axis
            kept = [a for a in node.attribute if a.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _agrees(old: Any, new: Any, seed: int) -> bool:
    """Whether two samples together give what the old model gives for each."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, NDArray[Any]] = {}
    for value in data_inputs(old):
        tensor = value.type.tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        shape = [2, *(d.dim_value for d in tensor.shape.dim[1:])]
        if 0 in shape:
            return False
        whole = dtype.kind in "iu"
        feeds[value.name] = (rng.integers(0, 256 if dtype == np.uint8 else 2, shape) if whole else rng.random(shape)).astype(
            dtype
        )
    try:
        both = evaluate(new, feeds, optimise=True)
        each = [evaluate(old, {k: v[i : i + 1] for k, v in feeds.items()}, optimise=True) for i in range(2)]
    except ModelError:
        return False
    for name, got in both.items():
        want = np.concatenate([one[name] for one in each]) if each[0][name].ndim else each[0][name]
        if want.shape != got.shape:
            return False
        a, b = want.astype(np.float64), got.astype(np.float64)
        if not np.abs(a - b).max(initial=0.0) <= _TOLERANCE * (np.abs(a).max(initial=0.0) or 1.0):
            return False
    return True


def with_options(
    look: Look,
    scale: float | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bgr: bool | None = None,
) -> Look:
    """The look with what a person says of it."""
    told: dict[str, Any] = {"scale": scale, "mean": mean, "std": std, "bgr": bgr}
    return replace(look, **{k: v for k, v in told.items() if v is not None})
