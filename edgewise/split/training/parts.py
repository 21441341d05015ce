"""A trained student as the parts of a bundle: exported whole to ONNX, then cut at its bottleneck.

The student gives its bottleneck as an output beside the teacher's own; where that tensor is made, the graph is cut in head
and tail (`edgewise.graph.cut`). So nothing needs to be known of the network but that it takes one picture. The teacher itself
becomes the part `full`, for pictures that come whole. Preprocessing goes into head and full, the batch stays free, weights keep
their paths in the person's network as their names, and normalisation stays unfolded, so that deltas can speak of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import torch
from msgspec import Struct
from torch import Tensor, nn

from edgewise.core.artifact import Parameter, PartName
from edgewise.graph.batch import batch_from
from edgewise.graph.cut import split as cut_in_two
from edgewise.graph.load import load
from edgewise.graph.picture import Look, pictured
from edgewise.runtime.initialisers import initialisers
from edgewise.training.export import STATISTICS, exported
from edgewise.training.outputs import named
from edgewise.training.paths import module

BOTTLENECK = "bottleneck"
SOURCE = "looked"
PREFIX = "net."


class Parts(Struct, frozen=True):
    """ONNX bytes by part, the paths of their parameters, the names of the outputs and the bottleneck's shape without batch."""

    models: Mapping[PartName, bytes]
    parameters: Mapping[str, Parameter]
    outputs: tuple[str, ...]
    shape: tuple[int, int, int]


class _Whole(nn.Module):
    """`net` with outputs in a row; with `tap`, the output of that module first."""

    def __init__(self, net: nn.Module, tap: str | None) -> None:
        super().__init__()
        self.net, self._tap = net, tap

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        given: list[Tensor] = []
        if self._tap is None:
            return tuple(v for _, v in named(self.net(x)))
        handle = module(self.net, self._tap).register_forward_hook(lambda _m, _i, output: given.append(output))
        try:
            outputs = [v for _, v in named(self.net(x))]
        finally:
            handle.remove()
        return (given[-1], *outputs)


def parts(teacher: nn.Module, student: nn.Module, cut: str, look: Look) -> Parts:
    """Head, tail and full of a student whose bottleneck stands at the path `cut`."""
    example = torch.zeros(2, look.channels, look.height, look.width)
    with torch.no_grad():
        shapes = named(teacher(example))
        crossing = _Whole(student, f"{cut}.encoder")(example)[0]
    outputs = _apart([name for name, _ in shapes])
    given = _named(exported(_Whole(student, f"{cut}.encoder"), example, SOURCE, [BOTTLENECK, *outputs], unfold=True))
    whole = load(_bytes(batch_from(onnx.load_model_from_string(given), SOURCE, BOTTLENECK)))
    full = load(_named(exported(_Whole(teacher, None), example, SOURCE, outputs, unfold=True)))
    head, tail = cut_in_two(whole, BOTTLENECK)
    models: dict[PartName, bytes] = {
        "head": _bytes(pictured(head, look)),
        "tail": _bytes(tail),
        "full": _bytes(pictured(full, look)),
    }
    placed = {part: {n for n, one in initialisers(model).items() if one.place is not None} for part, model in models.items()}
    nets: dict[PartName, nn.Module] = {"head": student, "tail": student, "full": teacher}
    paths = {
        f"{part}.{name}": Parameter(part, name) for part, net in nets.items() for name in _trained(net) if name in placed[part]
    }
    _, channels, rows, columns = crossing.shape
    return Parts(models, paths, tuple(outputs), (channels, rows, columns))


def _trained(net: nn.Module) -> list[str]:
    return [n for n, _ in net.named_parameters()] + [n for n, _ in net.named_buffers() if n.endswith(STATISTICS)]


def _apart(names: Sequence[str]) -> list[str]:
    """Names of outputs that do not collide with our own tensors."""
    return [name + "_" if name in (BOTTLENECK, SOURCE) else name for name in names]


def _named(model: bytes) -> bytes:
    """The same model with initialisers called as in the person's network, without the wrapper's `net.`."""
    loaded = onnx.load_model_from_string(model)
    renamed = {x.name: x.name.removeprefix(PREFIX) for x in loaded.graph.initializer if x.name.startswith(PREFIX)}
    for tensor in loaded.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in loaded.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    return _bytes(loaded)


def _bytes(model: Any) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
