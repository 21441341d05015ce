"""Batches of frames made unlike each other: mirrored, moved closer, recoloured, blurred, noisy; boxes follow.

Geometry is drawn once a batch (cropping a whole batch is a view), light and sensor once a frame. Stronger than what the
renderer varies, so that a real camera lies inside.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def batch(
    pictures: NDArray[np.uint8], boxes: NDArray[np.float32], generator: np.random.Generator, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Bytes (batch, height, width, 3) and boxes → floats (batch, 3, *size) in 0..1, and boxes (batch, most, 4)."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(boxes)
    if generator.random() < 0.5:
        x = x.flip(3)
        y = torch.stack([1 - y[..., 2], y[..., 1], 1 - y[..., 0], y[..., 3]], dim=-1)
    zoom = generator.random()
    if zoom < 0.4:
        x, y = _closer(x, y, generator)
    elif zoom < 0.55:
        x, y = _farther(x, y, generator)
    return sensed(x, generator, size), y


def sensed(x: Tensor, generator: np.random.Generator, size: tuple[int, int]) -> Tensor:
    """Frames (batch, 3, height, width; 0..1) in other light, at `size`, blurred or sharpened, and with noise."""
    x = _recoloured(x, generator)
    if x.shape[2:] != size:
        x = functional.interpolate(x, size, mode="area")
    if generator.random() < 0.3:
        across = (x + x.roll(1, 3) + x.roll(-1, 3)) / 3  # a 3 × 3 mean; that the edges wrap around is not seen
        softer = (across + across.roll(1, 2) + across.roll(-1, 2)) / 3
        x = x + (softer - x) * float(generator.uniform(-0.6, 1.0))  # below zero it sharpens, as cameras do
    spread = torch.from_numpy((generator.random(len(x)) ** 3 * 0.06).astype(np.float32))[:, None, None, None]
    noise = torch.from_numpy(generator.standard_normal((1, *x.shape[1:]), dtype=np.float32))  # one pattern a batch: 10 x cheaper
    return x.addcmul_(noise, spread).clamp_(0, 1)


def _closer(x: Tensor, y: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crop a window of 55 to 95 % and stretch it; what is left outside, or nearly so, is dropped."""
    height, width = x.shape[2:]
    h, w = (int(side * generator.uniform(0.55, 0.95)) for side in (height, width))
    top, left = int(generator.integers(0, height - h + 1)), int(generator.integers(0, width - w + 1))
    x = functional.interpolate(x[:, :, top : top + h, left : left + w], (height, width), mode="bilinear", align_corners=False)
    moved = (y * torch.tensor([width, height] * 2) - torch.tensor([left, top] * 2)) / torch.tensor([w, h] * 2)
    inside = moved.clamp(0, 1)
    kept = (inside[..., 2:] - inside[..., :2]).prod(-1) > 0.25 * (moved[..., 2:] - moved[..., :2]).prod(-1)
    return x, torch.where(kept[..., None], inside, torch.nan)


def _farther(x: Tensor, y: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Shrink the frames into a grey surround; boxes below 5 px of a 640 × 360 frame are dropped."""
    height, width = x.shape[2:]
    h, w = (int(side * generator.uniform(0.65, 1.0)) for side in (height, width))
    top, left = int(generator.integers(0, height - h + 1)), int(generator.integers(0, width - w + 1))
    surround = torch.full_like(x, float(generator.uniform(0.1, 0.8)))
    surround[:, :, top : top + h, left : left + w] = functional.interpolate(x, (h, w), mode="area")
    moved = (y * torch.tensor([w, h] * 2) + torch.tensor([left, top] * 2)) / torch.tensor([width, height] * 2)
    seen = ((moved[..., 2:] - moved[..., :2]) * torch.tensor([640.0, 360.0])).amin(-1) >= 5
    return surround, torch.where(seen[..., None], moved, torch.nan)


def _recoloured(x: Tensor, generator: np.random.Generator) -> Tensor:
    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(generator.uniform(low, high, (len(x), channels, 1, 1)).astype(np.float32))

    contrast, light = draw(0.65, 1.35), draw(-0.12, 0.12)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * contrast + mean * draw(0.75, 1.25) + light * mean.clamp(max=0.5) * 2
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * draw(0.3, 1.6)
    return (x * draw(0.88, 1.12, 3)).clamp(0, 1)
