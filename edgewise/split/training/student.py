"""A Student: a copy of a frozen teacher in which one early module has become a bottleneck, and only that learns.

What stands before the cut and behind it is the teacher's, in evaluation mode and without gradients for its weights; gradients
pass through it to the bottleneck (paper 2, §III-B). The teacher itself is never touched.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split, narrow
from edgewise.training.paths import module, replace


def geometry(teacher: nn.Module, cut: str, pictures: Tensor) -> Geometry:
    """What the module at `cut` takes and gives, found by running `pictures` (batch, 3, rows, columns) through `teacher`."""
    seen: list[tuple[tuple[Any, ...], Any]] = []
    handle = module(teacher, cut).register_forward_hook(lambda _, inputs, output: seen.append((inputs, output)))
    try:
        with torch.no_grad():
            teacher(pictures)
    finally:
        handle.remove()
    if len(seen) != 1:
        raise ModelError(
            f"the module at {cut!r} cannot be replaced", got=f"{len(seen)} calls in one forward pass", allowed="exactly one call"
        )
    inputs, output = seen[0]
    if len(inputs) != 1 or not _is_map(inputs[0]) or not _is_map(output):
        raise ModelError(
            f"the module at {cut!r} cannot be replaced by a bottleneck of convolutions",
            got=f"{', '.join(map(_words, inputs)) or 'no positional input'} → {_words(output)}",
            allowed="one map (batch, channels, rows, columns) in and one out",
            hint="Choose a module that takes and gives a feature map; for others there is `edgewise split quick`.",
        )
    _, *inside = inputs[0].shape
    _, *outside = output.shape
    return Geometry(tuple(inside), tuple(outside), bool((output < 0).any()))


def student(
    teacher: nn.Module, cut: str, shape: Geometry, channels: int, seed: int, wide: float = 1.0, fine: bool = False
) -> nn.Module:
    """A copy of `teacher` with a Split of `channels` at `cut`, its first weights drawn from `seed`, ready to learn."""
    net = copy.deepcopy(teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        replace(net, cut, narrow(shape, channels, wide, fine))
    return learning(net, cut)


def learning(net: nn.Module, cut: str) -> nn.Module:
    """Everything frozen and in evaluation mode but the bottleneck."""
    net.eval().requires_grad_(False)
    split(net, cut).train().requires_grad_(True)
    return net


def split(net: nn.Module, cut: str) -> Split:
    """The bottleneck of a student."""
    found = module(net, cut)
    if not isinstance(found, Split):
        raise ModelError("this network is no student", got=f"{type(found).__name__} at {cut!r}", allowed="a bottleneck there")
    return found


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _words(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
