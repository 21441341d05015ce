"""What a person's network gives, whatever container it gives it in: a tensor, a row, a dictionary, a ModelOutput.

A ModelOutput of Hugging Face `transformers` is a dictionary that leaves out what is None, so it needs no word of its own here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import ModelError
from edgewise.graph.picture import Look


def named(outputs: Any) -> list[tuple[str, Tensor]]:
    """The outputs of a network by name: the keys of a dictionary, `output` for a tensor, `output0` … for a row of them."""
    if isinstance(outputs, Tensor):
        return [("output", outputs)]
    if isinstance(outputs, Mapping):
        pairs = [(str(k), v) for k, v in outputs.items()]
    elif isinstance(outputs, (tuple, list)):
        pairs = [(f"output{i}", v) for i, v in enumerate(outputs)]
    else:
        pairs = []
    if not pairs or not all(isinstance(v, Tensor) for _, v in pairs):
        raise ModelError(
            "a network gives no tensors",
            got=type(outputs).__name__ + "".join(f", {k}: {type(v).__name__}" for k, v in pairs if not isinstance(v, Tensor)),
            allowed="a tensor, a row of tensors or a dictionary of tensors",
            hint="Wrap it in a module that gives those.",
        )
    return pairs


def classed(outputs: Any) -> Tensor:
    """The logits (batch, class) of a classifier; ModelError where a network gives anything else or more than that.

    >>> import torch
    >>> classed({"logits": torch.zeros(2, 10)}).shape
    torch.Size([2, 10])
    """
    pairs = named(outputs)
    if len(pairs) != 1 or pairs[0][1].ndim != 2 or pairs[0][1].shape[1] < 2:
        raise ModelError(
            "a network does not classify",
            got="; ".join(f"{name} {tuple(v.shape)}" for name, v in pairs),
            allowed="one output (batch, class) of two classes or more",
        )
    return pairs[0][1]


def shapes(net: nn.Module, look: Look) -> dict[str, list[int]]:
    """The shapes of what a network in evaluation mode gives for two pictures, by name."""
    with torch.no_grad():
        given = named(net(torch.zeros(2, look.channels, look.height, look.width)))
    return {name: list(value.shape) for name, value in given}
