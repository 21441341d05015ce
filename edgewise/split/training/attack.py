"""Pictures made to cost bytes: gradient ascent on the rate of a coding, through a torch head.

PGD (Madry et al. 2018) on the rate, as EntropyR's PGD-E (ECCV 2024): x ← clip(x + step · sign ∇ bits(head(x))) within ε of the
picture, from a random start. A code is an integer and has no gradient: between two codes the bits of the tables are joined by
straight lines (`Rate`), and what a clamp holds at the edge of its range passes its gradient all the same, or a feature that
rests at zero would never be lifted. The attacker knows everything: weights, tables, quantiser. What comes out is rounded to
bytes.

It is for benchmarks: it shows what the byte guard must hold against.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.codec import tables
from edgewise.core.artifact import Bottleneck, Coding, Manifest
from edgewise.core.errors import ModelError
from edgewise.runtime.initialisers import values

Encode = Callable[[Tensor], Tensor]  # pictures (n, 3, height, width) in 0..1 → features (n, *bottleneck), unclamped


class Rate(nn.Module):
    """Features (n, *shape) → bits of each frame (n,) by a coding's tables, differentiable almost everywhere.

    An escape costs its letter and a byte. At whole codes it is what the coder pays, but for its container and rounding.
    """

    def __init__(self, bottleneck: Bottleneck, coding: Coding) -> None:
        super().__init__()
        found = tables.unpack(coding.tables)
        self._axis, self._order = bottleneck.axis + 1, list(coding.order)
        widest = max(coding.levels)
        bits = torch.zeros(len(coding.order), widest)
        total = 1 << found.precision
        for row in range(len(coding.order)):
            *seen, escape = found.frequencies[row]
            bits[row] = 8 - np.log2(escape / total)
            first = found.offsets[row]
            bits[row, first : first + len(seen)] = torch.from_numpy(-np.log2(np.array(seen) / total)).float()
        self.register_buffer("bits", bits)
        low, step, top = (np.array(values)[self._order] for values in (coding.low, coding.step, [n - 1 for n in coding.levels]))
        self.register_buffer("low", torch.from_numpy(low).float()[:, None])
        self.register_buffer("inverse", torch.from_numpy(1 / np.maximum(step, 1e-30)).float()[:, None])
        self.register_buffer("top", torch.from_numpy(top).float()[:, None])

    bits: Tensor
    low: Tensor
    inverse: Tensor
    top: Tensor

    def forward(self, features: Tensor) -> Tensor:
        planes = features.movedim(self._axis, 1).flatten(2)[:, self._order]  # (n, channel, position)
        code = held(((planes - self.low) * self.inverse), self.top)
        below = code.detach().floor().clamp(max=self.top - 1)
        row = torch.arange(len(self._order))[:, None]
        first, second = self.bits[row, below.long()], self.bits[row, below.long() + 1]
        bits: Tensor = (first + (second - first) * (code - below)).sum((1, 2))
        return bits


def held(x: Tensor, top: Tensor) -> Tensor:
    """x in 0..top, with the gradient of x: what is clipped can still be pulled back."""
    clipped: Tensor = x + (torch.minimum(x.clamp(min=0), top) - x).detach()
    return clipped


def attacked(
    encode: Encode,
    rate: Callable[[Tensor], Tensor],
    pictures: NDArray[np.uint8],
    epsilon: float,
    steps: int = 20,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Pictures (n, height, width, 3) within `epsilon` (of 1) of the given ones whose features cost as many bits as was found."""
    clean = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    low, high = (clean - epsilon).clamp(min=0), (clean + epsilon).clamp(max=1)
    generator = torch.Generator().manual_seed(seed)
    x = torch.minimum(torch.maximum(clean + (2 * torch.rand(clean.shape, generator=generator) - 1) * epsilon, low), high)
    for number in range(steps):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(rate(encode(x)).sum(), x)
        step = epsilon * (0.5 if number < steps // 2 else 0.1)
        x = torch.minimum(torch.maximum(x + step * gradient.sign(), low), high)
    inside = torch.minimum(torch.maximum((x.detach() * 255).round() / 255, low), high)
    found: NDArray[np.uint8] = (inside * 255).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return found


def weighted(net: nn.Module, manifest: Manifest, part: str, model: bytes) -> nn.Module:
    """`net` with the weights of a bundle's part, by parameter path (`part.path`), in evaluation mode."""
    state = net.state_dict()
    known = {
        path.removeprefix(f"{part}."): place.initialiser for path, place in manifest.parameters.items() if place.part == part
    }
    needed = [
        name
        for name in state
        if not name.endswith("num_batches_tracked") and (name in known or name in dict(net.named_parameters()))
    ]
    lacking = [name for name in needed if name not in known]
    if lacking:
        raise ModelError(
            f"part {part} of the bundle is not of this network", got=f"no parameter {lacking[0]}", hint="Export it unfolded."
        )
    found = values(model, [known[name] for name in needed])
    net.load_state_dict(state | {name: torch.from_numpy(found[known[name]].copy()) for name in needed})
    return net.eval()
