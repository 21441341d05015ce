"""The operators of ONNX that move, cut and join tensors, and those that compute shapes (see `onnx_values`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from edgewise.training.onnx_layers import Kernel, Node, Value


def shape(node: Node) -> Kernel:
    start, end = node.get("start", 0), node.get("end", None)
    return lambda v: list(v[0].shape)[start:end] if isinstance(v[0], Tensor) else [len(v[0])]


def reshape(node: Node) -> Kernel:
    copied = not node.get("allowzero", 0)

    def run(v: Sequence[Value]) -> Value:
        x, wanted = v[0], v[1] if len(v) > 1 else node.attributes["shape"]
        if not isinstance(x, Tensor):  # numbers: [-1] makes a list, [] a number
            flat = x if isinstance(x, list) else [x]
            return flat if wanted else flat[0]
        sizes = [x.shape[i] if s == 0 and copied else s for i, s in enumerate(wanted)]
        if (wanted[0] == 0 and copied) or isinstance(wanted[0], torch.SymInt):
            sizes = _left(sizes, list(x.shape[1:]))
        return x.reshape(sizes)

    return run


def _left(sizes: list[Any], others: list[Any]) -> list[Any]:
    """The batch as what is left, not as a number: an exported graph would ask its input for that, across any cut."""
    known = math.prod(s for s in sizes[1:] if not (isinstance(s, int) and s == -1))
    return [-1, *(math.prod(others) // known if isinstance(s, int) and s == -1 else s for s in sizes[1:])]


def flatten(node: Node) -> Kernel:
    axis = node.get("axis", 1)

    def run(v: Sequence[Value]) -> Value:
        x = v[0]
        place = axis % x.ndim if axis < 0 else axis
        if place == 1:
            return x.flatten(1)
        return x.reshape(math.prod(x.shape[:place]), -1)

    return run


def transpose(node: Node) -> Kernel:
    return lambda v: v[0].permute(node.get("perm", list(reversed(range(v[0].ndim)))))


def squeeze(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        x, axes = v[0], v[1] if len(v) > 1 and v[1] is not None else node.get("axes", None)
        if not isinstance(x, Tensor):
            return x[0] if isinstance(x, list) else x
        axes = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else axes
        return x.squeeze(tuple(axes) if isinstance(axes, list) else axes)

    return run


def unsqueeze(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        x, axes = v[0], v[1] if len(v) > 1 else node.attributes["axes"]
        axes = axes if isinstance(axes, list) else [axes]
        if not isinstance(x, Tensor):
            return [x]
        rank = x.ndim + len(axes)
        for axis in sorted(a % rank for a in axes):
            x = x.unsqueeze(axis)
        return x

    return run


def concat(node: Node) -> Kernel:
    axis = node.attributes["axis"]

    def run(v: Sequence[Value]) -> Value:
        if not any(isinstance(x, Tensor) for x in v):
            return list(itertools.chain.from_iterable(v))
        like = next(x for x in v if isinstance(x, Tensor))
        return torch.cat([x if isinstance(x, Tensor) else torch.tensor(x, dtype=like.dtype) for x in v], axis)

    return run


def cut(node: Node) -> Kernel:
    """Slice."""

    def run(v: Sequence[Value]) -> Value:
        given: list[Any]
        if node.version < 10:
            given = [node.attributes["starts"], node.attributes["ends"], node.get("axes", None), None]
        else:
            given = [*v[1:], None, None][:4]
        starts, ends, *rest = (x if isinstance(x, list) or x is None else [x] for x in given)
        assert starts is not None and ends is not None  # ONNX's checker wants them
        axes, steps = rest[0] or list(range(len(starts))), rest[1] or [1] * len(starts)
        x = v[0]
        if not isinstance(x, Tensor):
            return x[slice(starts[0], None if ends[0] < -len(x) else ends[0], steps[0])]
        for start, end, axis, step in zip(starts, ends, axes, steps):
            axis %= x.ndim
            if step < 0:  # torch has no way back
                size = x.shape[axis]
                places = list(range(size))[slice(start, None if end < -size else end, step)]
                x = x.index_select(axis, torch.tensor(places))
            else:
                x = x[(slice(None),) * axis + (slice(start, end if end < 2**31 - 1 else None, step),)]
        return x

    return run


def split(node: Node) -> Kernel:
    axis = node.get("axis", 0)

    def run(v: Sequence[Value]) -> Value:
        sizes = v[1] if len(v) > 1 and v[1] is not None else node.get("split", None)
        if sizes is None:
            each = -(-v[0].shape[axis] // node.outputs)
            return tuple(torch.split(v[0], each, axis))
        if isinstance(v[0], Tensor):
            return tuple(torch.split(v[0], sizes, axis))
        return tuple(v[0][first : first + n] for first, n in zip(itertools.accumulate([0, *sizes]), sizes))

    return run


def gather(node: Node) -> Kernel:
    axis = node.get("axis", 0)

    def run(v: Sequence[Value]) -> Value:
        x, places = v
        if not isinstance(x, Tensor):
            return [x[i] for i in places] if isinstance(places, list) else x[places]
        if isinstance(places, Tensor):
            found = x.index_select(axis, places.flatten())
            return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis % x.ndim + 1 :])
        size = x.shape[axis]
        if isinstance(places, list):
            return x.index_select(axis, torch.tensor([p % size if p < 0 else p for p in places]))
        return x.select(axis, places)

    return run


def expand(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        x, sizes = v
        x = x if isinstance(x, Tensor) else torch.tensor(x)
        own = [1] * (len(sizes) - x.ndim) + list(x.shape)
        sizes = [1] * (len(own) - len(sizes)) + list(sizes)
        return x.expand([a if b == 1 else b for a, b in zip(own, sizes)])

    return run


def blocks(node: Node) -> Kernel:
    """DepthToSpace and SpaceToDepth."""
    size, mode = node.attributes["blocksize"], node.get("mode", "DCR")

    def run(v: Sequence[Value]) -> Value:
        x = v[0]
        _, channels, height, width = x.shape
        if node.kind == "SpaceToDepth":
            parts = x.reshape(-1, channels, height // size, size, width // size, size).permute(0, 3, 5, 1, 2, 4)
            return parts.reshape(-1, channels * size**2, height // size, width // size)
        inside = channels // size**2
        if mode == "DCR":
            parts = x.reshape(-1, size, size, inside, height, width).permute(0, 3, 4, 1, 5, 2)
        else:
            parts = x.reshape(-1, inside, size, size, height, width).permute(0, 1, 4, 2, 5, 3)
        return parts.reshape(-1, inside, height * size, width * size)

    return run


def filled(node: Node) -> Kernel:
    """ConstantOfShape; a short row of integers stays numbers."""
    value = node.get("value", None)
    fill = value.flatten()[0].item() if value is not None else 0.0

    def run(v: Sequence[Value]) -> Value:
        if len(v[0]) == 1 and isinstance(fill, int):
            return [fill] * v[0][0]
        return torch.full(list(v[0]), fill)

    return run


def ranged(node: Node) -> Kernel:
    def run(v: Sequence[Value]) -> Value:
        if any(isinstance(x, float) for x in v):
            return torch.arange(*v)
        return list(range(*v))

    return run


SHAPES: dict[str, Callable[[Node], Kernel]] = {
    "Shape": shape,
    "Size": lambda node: lambda v: math.prod(v[0].shape),
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Slice": cut,
    "Split": split,
    "Gather": gather,
    "Expand": expand,
    "Tile": lambda node: lambda v: v[0].repeat(v[1]) if isinstance(v[0], Tensor) else v[0] * v[1][0],
    "DepthToSpace": blocks,
    "SpaceToDepth": blocks,
    "ConstantOfShape": filled,
    "Range": ranged,
}
