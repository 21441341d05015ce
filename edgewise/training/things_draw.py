"""Batches of things for training: drawn from shards, mirrored, moved closer or farther, in other light; their truth follows.

Geometry is drawn once a batch, so that cropping is a view; masks are not warped but looked up through the same change, boxes and
corners follow it. Batch number n is the same for the same n, so a training that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.data.junction.vehicles import CORNERS_MIRRORED
from edgewise.training import augment, things
from edgewise.training.nets.fpn import Detector
from edgewise.training.things import Truth
from edgewise.training.things_frames import Things, taken

SMALLEST = 3.0  # px: a box that a change of scale made smaller than this is not asked for


class Draw:
    """Draws batches of `size` frames of all `parts`; `upside` also turns pictures upside down (blood has no up, a road has)."""

    def __init__(self, parts: Sequence[Things], size: int, seed: int, upside: bool = False) -> None:
        self._parts, self._size, self._seed, self._upside = parts, size, seed, upside
        self._count = sum(len(part) for part in parts)

    def __call__(self, number: int) -> tuple[Tensor, Truth]:
        """Batch `number`: pictures (size, 3, height, width) in 0..1 and their truth."""
        generator = np.random.default_rng([self._seed, number])
        torch.manual_seed(int(generator.integers(2**31)))
        frames = taken(self._parts, generator.integers(0, self._count, self._size))
        return moved(frames, generator, self._upside)


def truth(frames: Things) -> Truth:
    """The truth of frames as they are, cut to the most things that one of them holds."""
    most = max(1, int((~np.isnan(frames.boxes[..., 0])).sum(1).max(initial=0)))
    boxes, label, points, number = (
        torch.from_numpy(np.ascontiguousarray(values[:, :most]))
        for values in (frames.boxes, frames.label, frames.points, frames.number)
    )
    return Truth(boxes, label, points, torch.from_numpy(frames.masks), number, torch.ones(2), torch.zeros(2))


def moved(frames: Things, generator: np.random.Generator, upside: bool = False) -> tuple[Tensor, Truth]:
    """Frames changed at random, and their truth."""
    said = truth(frames)
    x = torch.from_numpy(frames.pictures).permute(0, 3, 1, 2).float() / 255
    height, width = x.shape[2:]
    boxes, points = said.boxes, said.points
    scale, shift = torch.ones(2), torch.zeros(2)  # from what the network sees back to the frame
    if generator.random() < 0.5:
        x = x.flip(3)
        boxes = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], dim=-1)
        if points.shape[2]:
            points = points[:, :, list(CORNERS_MIRRORED)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
        scale[0], shift[0] = -1.0, 1.0
    if upside and generator.random() < 0.5:
        x = x.flip(2)
        boxes = torch.stack([boxes[..., 0], 1 - boxes[..., 3], boxes[..., 2], 1 - boxes[..., 1]], dim=-1)
        points = points * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
        scale[1], shift[1] = -1.0, 1.0
    zoom = generator.random()
    if zoom < 0.55:
        closer = zoom < 0.4
        low, high = (0.55, 0.95) if closer else (0.7, 1.0)
        h, w = (int(side * generator.uniform(low, high)) for side in (height, width))
        top, left = int(generator.integers(0, height - h + 1)), int(generator.integers(0, width - w + 1))
        if closer:  # a window is stretched
            x = functional.interpolate(x[:, :, top : top + h, left : left + w], (height, width), mode="bilinear")
            zoomed, origin = torch.tensor([w / width, h / height]), torch.tensor([left / width, top / height])
        else:  # the frame shrinks into a grey surround
            surround = torch.full_like(x, float(generator.uniform(0.1, 0.8)))
            surround[:, :, top : top + h, left : left + w] = functional.interpolate(x, (h, w), mode="area")
            x = surround
            zoomed = torch.tensor([width / w, height / h])
            origin = -torch.tensor([left / w, top / h])
        shift, scale = shift + scale * origin, scale * zoomed
        boxes, points = _seen((boxes - origin.repeat(2)) / zoomed.repeat(2), height, width), (points - origin) / zoomed
    x = augment.sensed(x, generator, (height, width))
    return x.contiguous(memory_format=torch.channels_last), Truth(
        boxes, said.label, points, said.masks, said.number, scale, shift
    )


def _seen(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes cut to the picture; those of which a quarter or less is left, or next to nothing, become NaN."""
    inside = boxes.clamp(0, 1)
    sides = inside[..., 2:] - inside[..., :2]
    left = sides.prod(-1) > 0.25 * (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    kept = left & ((sides * torch.tensor([width, height])).amin(-1) >= SMALLEST)
    return torch.where(kept[..., None], inside, torch.nan)


class ThingsStep:
    """A step of `edgewise.training.loop`: batch `number`, its maps, their loss."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def __call__(self, net: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, Detector)
        x, said = self._draw(number)
        return things.loss(net.maps(x), said, (x.shape[2], x.shape[3]))
