"""Classifiers trained by the project: pictures with a class each, cross-entropy, one course; and how often they are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgewise.graph.picture import Look
from edgewise.training.course import Advance, Course, Pictures, Source, follow
from edgewise.training.outputs import classed

SMOOTHED = 0.05
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tensor(pictures: Pictures, look: Look) -> Tensor:
    """(batch, 3, height, width) of pictures (batch, height, width, 3), normalised, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() * look.scale
    x = x.flip(1) if look.bgr else x
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (look.mean, look.std))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def lasting(net: nn.Module) -> nn.Module:
    """`net` in channels-last memory, changed in place: its convolutions are the quickest so."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def classifier(
    net: nn.Module,
    source: Source,
    labels: Sequence[int],
    look: Look,
    course: Course,
    work: Path,
    advance: Advance = lambda what, share: None,
) -> nn.Module:
    """`net` trained on pictures of `source`, whose classes are `labels`; in evaluation mode and frozen."""
    true = torch.tensor(list(labels))
    lasting(net)
    net.train()

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        logits = net(tensor(pictures, look)).float()
        return functional.cross_entropy(logits, true[indices], label_smoothing=SMOOTHED)

    follow(net, net.parameters(), source, lesson, course, work, advance)
    return net.eval().requires_grad_(False)


def logits(net: nn.Module, source: Source, look: Look, batch: int = 64) -> NDArray[np.float32]:
    """(n, classes): what a network in evaluation mode says of every picture."""
    found = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=False):
        for first in range(0, len(source), batch):
            indices = list(range(first, min(first + batch, len(source))))
            found.append(classed(net(tensor(source.of(indices), look))).float().numpy())
    return np.concatenate(found)
