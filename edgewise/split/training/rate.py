"""What disturbs a bottleneck in training as its codes will, and what the codes would cost.

`Disturbance` stands between encoder and decoder: it holds values inside the range of each channel and, frame by frame, rounds
them to a drawn number of levels (straight-through: the gradient does not see the rounding) or adds uniform noise of a step's
width. One student then serves codes of many widths.

`Density` is a distribution a channel, a mixture of three logistics that learns beside the student (ours, as
`prior.py` has it in units of codes): the bits of a value are −log2 of what falls into its step.
It stands for the static table that the coder will have.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

MIXED = 3
LEAST = 1e-6  # of a probability: nothing costs more than 20 bits
THIN = 1e-3  # of a range's width: no logistic is narrower


class Disturbance(nn.Module):
    """Ranges `low` and `high` (channels,); `draw` before each batch."""

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor, uniform: bool = False) -> None:
        super().__init__()
        self.register_buffer("low", low[None, :, None, None].clone())
        self.register_buffer("high", high[None, :, None, None].clone())
        self._uniform = uniform
        self._levels = torch.full((1, 1, 1, 1), 256.0)
        self._noise = torch.Generator()

    def draw(self, generator: np.random.Generator, batch: int, bits: tuple[int, ...]) -> None:
        """Choose how many levels each frame of the next batch is rounded to."""
        drawn = 2.0 ** generator.choice(np.array(bits, float), batch)
        self._levels = torch.tensor(drawn, dtype=torch.float32)[:, None, None, None]
        self._noise.manual_seed(int(generator.integers(1 << 62)))

    @property
    def step(self) -> Tensor:
        """Width of a code (batch, channels, 1, 1) in the batch that was drawn."""
        return ((self.high - self.low) / (self._levels - 1)).clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        held = torch.maximum(torch.minimum(x, self.high), self.low)
        step = self.step
        if self._uniform:
            return held + (torch.rand(held.shape, generator=self._noise) - 0.5) * step
        rounded = torch.round((held - self.low) / step) * step + self.low
        return held + (rounded - held).detach()


class Density(nn.Module):
    """One distribution for each channel of a bottleneck whose ranges are `low` and `high` (channels,)."""

    low: Tensor
    width: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low[:, None].clone())
        self.register_buffer("width", (high - low)[:, None].clamp_min(1e-12).clone())
        channels = len(low)
        self.middle = nn.Parameter(torch.linspace(0.3, 0.7, MIXED).repeat(channels, 1))  # in units of the range
        self.narrow = nn.Parameter(torch.full((channels, MIXED), math.log(0.05)))
        self.share = nn.Parameter(torch.zeros(channels, MIXED))

    def bits(self, x: Tensor, step: Tensor) -> Tensor:
        """Mean bits of a frame of `x` (batch, channels, rows, columns) whose codes are `step` wide."""
        value = ((x.movedim(1, -1)[..., None] - self.low.squeeze(1)[:, None]) / self.width.squeeze(1)[:, None]).float()
        half = (step.movedim(1, -1)[..., None] / self.width.squeeze(1)[:, None]).float() / 2  # (batch, 1, 1, channels, 1)
        scale = self.narrow.exp() + THIN
        above, below = (value + half - self.middle) / scale, (value - half - self.middle) / scale
        mass = (functional.softmax(self.share, -1) * (torch.sigmoid(above) - torch.sigmoid(below))).sum(-1)
        return -torch.log2(mass.clamp_min(LEAST)).sum() / len(x)


def ranges(values: Tensor, cut: float = 0.0) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of each channel of (batch, channels, rows, columns), a share `cut` on each side left out."""
    flat = values.detach().movedim(1, 0).flatten(1).double().numpy()
    low, high = np.quantile(flat, (cut, 1 - cut), axis=1)
    return torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)
