"""A Subject is what a method is given: the source model as one net from inputs to logits, and what its pieces are called.

All methods of one replay get the same Subject and copy what they change (`layers.taken`), so none can disturb another. Paths of
layers and of affine values are those of deltas and statistics, as the Student has them (`edgewise.adapt.training.student`).

It does not know what is learned, or from what.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn

from edgewise.adapt.method import Inputs, Values
from edgewise.adapt.step import Kind, likelihood
from edgewise.adapt.training.methods.layers import Given, taken
from edgewise.adapt.training.student import Student, scores
from edgewise.core.decoding import Decoding


class Scored(nn.Module):
    """A net whose outputs became logits (n, C), by its decoding."""

    def __init__(self, net: nn.Module, decoding: Decoding | None) -> None:
        super().__init__()
        self.net, self._decoding = net, decoding

    def forward(self, inputs: Tensor) -> Tensor:
        return scores(self.net(inputs), self._decoding)


class Subject(Struct, frozen=True, eq=False):
    """`net` gives logits; `kind` says what an answer is, `labels` name the classes.

    `layers` (module → path of statistics) and `affine` (its parameters → paths of deltas) name what is in it.
    """

    net: nn.Module
    kind: Kind
    labels: tuple[str, ...]
    layers: dict[str, str]
    affine: dict[str, str]


def subject(student: Student, labels: tuple[str, ...]) -> Subject:
    """The source that `student` was made of; later steps of the student do not change it."""
    scored = Scored(student.net, student.decoding)
    modules = {id(module): path for path, module in scored.named_modules()}
    parameters = {id(parameter): path for path, parameter in scored.named_parameters()}
    layers = {modules[id(layer)]: path for path, layer in student.layers.items()}
    affine = {parameters[id(value)]: path for path, value in student.affine.items()}
    own, found = taken(scored, Given)
    for path, layer in found.items():
        if path in layers:
            layer.follow(*student.source[layers[path]])
    return Subject(own, student.kind, labels, layers, affine)


def learned(net: nn.Module, of: Subject) -> dict[str, nn.Parameter]:
    """The affine values of a copy of the subject's net, by module path; from now on they take gradients."""
    found = {path: net.get_parameter(path) for path in of.affine}
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


def forward(net: nn.Module, inputs: Inputs, kind: Kind) -> Values:
    """(n, C): probabilities, without a gradient."""
    with torch.inference_mode():
        return likelihood(net(torch.from_numpy(inputs)).numpy(), kind)
