"""Methods that lower the entropy of their own answers, with a backward pass on the device: Tent, EATA and SAR.

    Tent   min H over γ and β, on statistics of the batch (Wang et al. 2021)
    EATA   of the pictures with H < E0 = 0.4·ln C whose answer is not like the mean of those before (|cos| < d); each weighs
           exp(E0 − H); and Fisher information holds what the source model needs (Niu et al. 2022):
           L = mean exp(E0 − H)·H + α·Σ F·(w − w0)²
    SAR    of the pictures with H < E0; the gradient of the worst point within ρ = 0.05 of the weights; begins anew where the mean
           loss has collapsed (Niu et al. 2023)

The weights that EATA gives are constants to its gradient. SAR leaves the last quarter of the normalisation layers alone (the
paper names the last stage of its networks; a quarter is ours) and collapses below 0.2 in units of ln 1000, here of ln C.
Constants stand in each class; d = 0.4 and α = 1 are EATA's for CIFAR-10 (adapt notes, 2.10, where they are unverified).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.step import CEILING, Kind, highest, likelihood
from edgewise.adapt.training.loss import entropy, sure
from edgewise.adapt.training.methods.layers import OfBatch, taken
from edgewise.adapt.training.methods.subject import Subject, learned


class Tent:
    """Entropy lowered on every batch by one step of SGD."""

    name = "Tent"

    def __init__(self, subject: Subject, rate: float = 1e-3) -> None:
        self.net, _ = taken(subject.net, OfBatch)
        self.affine, self.kind = learned(self.net, subject), subject.kind
        self._steps = torch.optim.SGD(self.affine.values(), rate, momentum=0.9)
        self._tally = Tally()

    def answer(self, inputs: Inputs) -> Values:
        logits = self.net(torch.from_numpy(inputs))
        self._tally = self._tally.plus(seen=len(inputs))
        loss = self._loss(logits)
        if loss is not None and bool(torch.isfinite(loss)):
            self._stepped(loss)
            self._tally = self._tally.plus(steps=1, backward=len(inputs))
        return likelihood(logits.detach().numpy(), self.kind)

    def _loss(self, logits: Tensor) -> Tensor | None:
        """What to lower; None where no picture of the batch is fit for it."""
        return entropy(logits, self.kind).mean()

    def _stepped(self, loss: Tensor) -> None:
        self._steps.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps.step()

    def tally(self) -> Tally:
        return self._tally


class Eata(Tent):
    """Tent on chosen pictures, held by Fisher information that `calibration` inputs (pictures of the source) give."""

    name = "EATA"

    def __init__(
        self,
        subject: Subject,
        calibration: Iterable[Inputs],
        rate: float = 5e-3,
        margin: float = 0.4,
        held: float = 1.0,
    ) -> None:
        super().__init__(subject, rate)
        self._margin, self._held = margin, held
        self._mean: Tensor | None = None
        self._source = {path: p.detach().clone() for path, p in self.affine.items()}
        self.fisher = fisher(self.net, self.affine, calibration, self.kind)

    def _loss(self, logits: Tensor) -> Tensor | None:
        doubt, said = entropy(logits, self.kind), torch.from_numpy(likelihood(logits.detach().numpy(), self.kind))
        kept = doubt.detach() < CEILING * highest(logits.shape[1], self.kind)
        if self._mean is not None:
            kept &= functional.cosine_similarity(said, self._mean[None], dim=1).abs() < self._margin
        if not bool(kept.any()):
            return None
        new = said[kept].mean(0)
        self._mean = new if self._mean is None else 0.9 * self._mean + 0.1 * new
        weight = sure(doubt[kept], logits.shape[1], self.kind)
        drift = sum((f * (self.affine[path] - self._source[path]).square()).sum() for path, f in self.fisher.items())
        return (weight * doubt[kept]).mean() + self._held * drift


class Sar(Tent):
    """Two backward passes a batch: one that finds the worst point near by, one that descends from there."""

    name = "SAR"

    def __init__(
        self, subject: Subject, rate: float = 1e-3, radius: float = 0.05, collapsed: float = 0.2 / math.log(1000)
    ) -> None:
        super().__init__(subject, rate)
        for _ in range(len(self.affine) // 4):
            self.affine.popitem()[1].requires_grad_(False)
        self._rate, self._radius, self._collapsed = rate, radius, collapsed
        self._source = {path: p.detach().clone() for path, p in self.affine.items()}
        self._mean: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._steps = torch.optim.SGD(self.affine.values(), self._rate, momentum=0.9)
        self._mean = None

    def answer(self, inputs: Inputs) -> Values:
        x = torch.from_numpy(inputs)
        logits = self.net(x)
        self._tally = self._tally.plus(seen=len(inputs))
        doubt, most = entropy(logits, self.kind), highest(logits.shape[1], self.kind)
        kept = doubt.detach() < CEILING * most
        if bool(kept.any()):
            self._descend(x, doubt[kept].mean(), kept, most)
        return likelihood(logits.detach().numpy(), self.kind)

    def _descend(self, x: Tensor, loss: Tensor, kept: Tensor, most: float) -> None:
        self._steps.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        moved = [(p, p.detach().clone(), p.grad) for p in self.affine.values() if p.grad is not None]
        norm = torch.stack([g.norm() for _, _, g in moved]).norm()
        with torch.no_grad():
            for p, _, g in moved:
                p.add_(self._radius / (norm + 1e-12) * g)
        again = entropy(self.net(x), self.kind)[kept]
        still = again.detach() < CEILING * most
        self._steps.zero_grad()
        there = again[still].mean() if bool(still.any()) else None
        if there is not None:
            there.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for p, was, _ in moved:
                p.copy_(was)
        self._tally = self._tally.plus(steps=1, backward=2 * len(x))
        if there is None:
            return
        self._steps.step()
        value = float(there.detach())
        self._mean = value if self._mean is None else 0.9 * self._mean + 0.1 * value
        if self._mean < self._collapsed * most:
            with torch.no_grad():
                for path, p in self.affine.items():
                    p.copy_(self._source[path])
            self._tally = self._tally.plus(reverts=1)
            self._begin()


def fisher(
    net: nn.Module, parameters: dict[str, nn.Parameter], inputs: Iterable[Inputs], kind: Kind = "classes"
) -> dict[str, Tensor]:
    """The mean over batches of the squared gradient of the cross-entropy to the net's own likeliest answer, by path.

    Empty where there are no inputs: then nothing is held.
    """
    found = {path: torch.zeros_like(p) for path, p in parameters.items()}
    batches = 0
    for batch in inputs:
        net.zero_grad()
        logits = net(torch.from_numpy(batch))
        said = logits.detach()
        if kind == "cells":
            loss = functional.binary_cross_entropy_with_logits(logits, (said > 0).to(said.dtype))
        else:
            loss = functional.cross_entropy(logits, said.argmax(1))
        loss.backward()  # type: ignore[no-untyped-call]
        for path, p in parameters.items():
            if p.grad is not None:
                found[path] += p.grad.square()
        batches += 1
    net.zero_grad()
    return {path: f / batches for path, f in found.items()} if batches else {}
