"""CoTTA-type: a mean teacher answers, its augmented mean teaches a student, and single weights are put back now and then.

    teacher   w_T ← 0.999·w_T + 0.001·w_S, all weights
    target    the teacher's answer; where the source is unsure of the batch (mean confidence < 0.92) the mean of its answers to
              augmented pictures
    student   cross-entropy to the target, Adam at 1e-3, statistics of the batch
    restore   every weight of the student goes back to the source's with a chance of 0.01 a step

(Wang et al. 2022; constants are those for CIFAR-10.) `-type`, because four augmentations stand in for 32, ours: a flip, a shift
by a tenth of the picture, another brightness and contrast, a little noise. Answers are the teacher's, as published. The whole
network gets gradients: what this costs in memory no small device has.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.training.methods.layers import Given, OfBatch, taken
from edgewise.adapt.training.methods.subject import Subject
from edgewise.core.errors import ModelError


class Cotta:
    """`name` CoTTA; `seed` draws augmentations and what is restored."""

    name = "CoTTA"

    def __init__(
        self,
        subject: Subject,
        seed: int = 0,
        rate: float = 1e-3,
        keep: float = 0.999,
        unsure: float = 0.92,
        restored: float = 0.01,
        augmented: int = 4,
    ) -> None:
        if subject.kind != "classes":
            raise ModelError("CoTTA teaches classes alone", got=subject.kind, allowed="a classifier")
        self._source, _ = taken(subject.net, Given)
        self.teacher, _ = taken(subject.net, OfBatch)
        self.net, _ = taken(subject.net, OfBatch)
        self._weights = [p.requires_grad_(True) for p in self.net.parameters()]
        self._began = [p.detach().clone() for p in self._weights]
        self._adam = torch.optim.Adam(self._weights, rate)
        self._draw = torch.Generator().manual_seed(seed)
        self._keep, self._unsure, self._restored, self._augmented = keep, unsure, restored, augmented
        self._tally = Tally()

    def answer(self, inputs: Inputs) -> Values:
        x = torch.from_numpy(inputs)
        with torch.no_grad():
            anchor = self._source(x).softmax(1).max(1).values.mean()
            said = self.teacher(x).softmax(1)
            if float(anchor) < self._unsure:
                views = [self.teacher(varied(x, self._draw)).softmax(1) for _ in range(self._augmented)]
                said = torch.stack(views).mean(0)
        loss = -(said * self.net(x).log_softmax(1)).sum(1).mean()
        self._tally = self._tally.plus(seen=len(inputs))
        if bool(torch.isfinite(loss)):
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
            self._follow()
            self._tally = self._tally.plus(steps=1, backward=len(inputs))
        return np.asarray(said.numpy(), np.float32)

    @torch.no_grad()
    def _follow(self) -> None:
        """The teacher after the student, and then some of the student's weights back to the source."""
        for slow, quick, began in zip(self.teacher.parameters(), self._weights, self._began):
            slow.lerp_(quick, 1 - self._keep)
            back = torch.rand(quick.shape, generator=self._draw) < self._restored
            quick.copy_(torch.where(back, began, quick))

    def tally(self) -> Tally:
        return self._tally


def varied(x: Tensor, draw: torch.Generator) -> Tensor:
    """`x` (n, …) augmented: pictures (n, 3, h, w), or (n, h, w, 3) of bytes, keep form and dtype."""
    last = x.shape[-1] == 3 and x.ndim == 4
    planes = (x.permute(0, 3, 1, 2) if last else x).float()
    if planes.ndim == 4:
        if float(torch.rand((), generator=draw)) < 0.5:
            planes = planes.flip(3)
        reach = [max(1, side // 10) for side in planes.shape[2:]]
        by = [int(torch.randint(-r, r + 1, (), generator=draw)) for r in reach]
        planes = planes.roll(by, (2, 3))
    bright, contrast, noise = (0.2 * (torch.rand((), generator=draw) - 0.5) for _ in range(3))
    spread = planes.std() if planes.numel() > 1 else torch.zeros(())
    middle = planes.mean()
    planes = (planes - middle) * (1 + contrast) + middle + bright * spread
    planes = planes + noise.abs() * spread * torch.randn(planes.shape, generator=draw)
    back = planes.permute(0, 2, 3, 1) if last else planes
    return back if x.is_floating_point() else back.round().clamp(0, 255).to(x.dtype)
