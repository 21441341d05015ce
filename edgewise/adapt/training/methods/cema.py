"""CEMA as published (paper 7): the algorithm that its authors released, read from their code, with the bytes that it would take.

    device   H of each picture; kept where Emin < H < Emax, Emax = λ·E0·(mean H of all so far / mean H of the warm-up)
    server   at 32 kept: teacher  min H_T·exp(E0 − H_T), where it is one that can learn
                         student  α·H_S·exp(E0 − H_S) + β·exp(E0 − H_T)·KL + γ·exp(E0 − H_T)·CE      32 new + 96 of replay
             else one student step on 128 of replay, once there are 256: an update without an upload
    down     after each batch γ, β, μ and σ² of the student, float32

α = 3, β = 3, γ = 1, rate 2.5e-3, momentum 0.9, the 10,000 newest uploads, E0 = 0.4·ln C, Emin = 0.02·ln C (adapt notes 2.1). The
configuration that ships with the code is another: no Emin, no moving threshold, and EATA's redundancy filter at 0.05 instead
(`SHIPPED`). Normalisation is batch renormalisation whose running statistics begin with the first batch that is trained on and
then move by 0.1 with each; the device gets them too, so "affine parameters alone" is twice as many values. There is no gate, no
delta, no budget, and the first batches of the device use what the server has at once: as published.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from edgewise.adapt.inputs import Prepare
from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.step import CEILING, confidence, highest, likelihood
from edgewise.adapt.teacher import Picture, Teacher
from edgewise.adapt.training.loss import Terms, entropy, taught
from edgewise.adapt.training.methods.layers import Given, moments, taken
from edgewise.adapt.training.methods.subject import Subject, learned
from edgewise.adapt.training.renorm import Renormalised
from edgewise.adapt.uplink import Uplink
from edgewise.codec.delta import encode
from edgewise.core.delta import Delta, Full


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """Constants; `floor` in ln C (None: off), `warm` samples before the threshold moves (None: never), `margin` (0: off)."""

    floor: float | None = 0.02
    warm: int | None = 200
    scale: float = 1.0
    margin: float = 0.0
    rate: float = 2.5e-3
    fresh: int = 32
    whole: int = 128
    least: int = 256
    newest: int = 10_000
    momentum: float = 0.1
    terms: Terms = Terms(3.0, 3.0, 1.0)


PAPER = Published()
SHIPPED = Published(floor=None, warm=None, margin=0.05)


class Cema:
    """`teacher`: one that learns from what it is asked about (`TorchTeacher` with a rate); without, the replay's own answers."""

    def __init__(
        self,
        subject: Subject,
        uplink: Uplink,
        prepare: Prepare,
        seed: int = 0,
        published: Published = PAPER,
        teacher: Teacher | None = None,
        name: str = "CEMA as published",
    ) -> None:
        self.name, self.published = name, published
        self._uplink, self._prepare, self._teacher, self._kind = uplink, prepare, teacher, subject.kind
        self.device, self._there = taken(subject.net, Given)
        self.net, self._here = taken(subject.net, Renormalised)
        self._affine = learned(self.net, subject)
        self._names = subject.affine
        self._steps = torch.optim.SGD(self._affine.values(), published.rate, momentum=0.9)
        self._draw = np.random.default_rng(seed)
        self._queue: list[tuple[Picture, Values]] = []
        self._buffer: list[tuple[Picture, Values]] = []
        self._total = self._usual = 0.0
        self._seen = self._stepped = 0
        self._mean: Tensor | None = None
        self._begun = False

    def answer(self, inputs: Inputs) -> Values:
        with torch.inference_mode():
            logits = self.device(torch.from_numpy(inputs))
        said = likelihood(logits.numpy(), self._kind)
        rows = self._kept(logits.clone())
        told = self._uplink.taught(rows)
        arrived = [self._uplink.crossing.arrived(row) for row in rows]
        self._queue += [(p, t) for p, t in zip(arrived, told) if np.isfinite(t).all()]
        self._learn()
        return said

    def tally(self) -> Tally:
        return self._uplink.tally(self._seen).plus(steps=self._stepped)

    def _kept(self, logits: Tensor) -> list[int]:
        """The rows that go up."""
        p, most = self.published, highest(logits.shape[1], self._kind)
        doubt = entropy(logits, self._kind)
        number = doubt.isfinite()
        self._uplink.reasons["doubt is no number"] += int((~number).sum())
        before = self._seen
        self._seen += len(doubt)
        self._total += float(doubt[number].sum())
        ceiling = CEILING * most
        if p.warm is not None and before < p.warm:
            self._usual = self._total / self._seen
        elif p.warm is not None and self._usual > 0:
            ceiling = p.scale * ceiling * (self._total / self._seen) / self._usual
        sure = doubt < ceiling
        kept = sure if p.floor is None else sure & (doubt > p.floor * most)
        self._uplink.reasons["unreliable"] += int((number & ~sure).sum())
        self._uplink.reasons["low-informative"] += int((sure & ~kept).sum())
        if p.margin > 0:
            kept = self._different(logits.softmax(1), kept)
        return [int(i) for i in torch.nonzero(kept).flatten()]

    def _different(self, said: Tensor, kept: Tensor) -> Tensor:
        """Those of `kept` whose answers are unlike the mean of those before, which moves on by them."""
        if self._mean is not None:
            unlike = functional.cosine_similarity(said, self._mean[None], dim=1).abs() < self.published.margin
            self._uplink.reasons["redundant"] += int((kept & ~unlike).sum())
            kept = kept & unlike
        if bool(kept.any()):
            new = said[kept].mean(0)
            self._mean = new if self._mean is None else 0.9 * self._mean + 0.1 * new
        return kept

    def _learn(self) -> None:
        """One step, with what is new or with what is old, and the student goes to the device."""
        p, trained = self.published, False
        while len(self._queue) >= p.fresh:
            new, self._queue = self._queue[: p.fresh], self._queue[p.fresh :]
            old = self._old(p.whole - p.fresh) if len(self._buffer) >= p.least else []
            self._buffer = (self._buffer + new)[-p.newest :]
            if self._teacher is not None:
                again = self._teacher.probabilities([picture for picture, _ in new])
                new = [(picture, said) for (picture, _), said in zip(new, again) if np.isfinite(said).all()]
            trained |= self._train(new + old)
        if not trained and len(self._buffer) >= p.least:
            trained = self._train(self._old(p.whole))
        if trained:
            self._ship()

    def _old(self, count: int) -> list[tuple[Picture, Values]]:
        return [self._buffer[i] for i in self._draw.permutation(len(self._buffer))[:count]]

    def _train(self, samples: Sequence[tuple[Picture, Values]]) -> bool:
        if not samples:
            return False
        soft = np.stack([said for _, said in samples])
        x = torch.from_numpy(self._prepare([picture for picture, _ in samples]))
        noted: dict[str, tuple[Tensor, Tensor]] = {}
        hooks = [layer.register_forward_pre_hook(partial(_note, noted, path)) for path, layer in self._here.items()]
        if not self._begun and self._here:
            with torch.no_grad():
                self._first(x, noted)
        logits = self.net(x)
        for hook in hooks:
            hook.remove()
        weight = torch.from_numpy(confidence(soft, self._kind))
        loss = taught(logits, torch.from_numpy(soft), weight, self.published.terms, self._kind)
        if not math.isfinite(float(loss.detach())):
            self._uplink.reasons["a loss is no number"] += 1
            return False
        self._steps.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps.step()
        self._move(noted, self.published.momentum)
        self._stepped += 1
        return True

    def _first(self, x: Tensor, noted: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Running statistics become those of the first batch, layer after layer."""
        for path in list(self._here):
            self.net(x)
            self._move({path: noted[path]}, 1.0)
        self._begun = True

    @torch.no_grad()
    def _move(self, noted: dict[str, tuple[Tensor, Tensor]], weight: float) -> None:
        for path, (mean, variance) in noted.items():
            self._here[path].mean.lerp_(mean, weight)
            self._here[path].variance.lerp_(variance, weight)

    @torch.no_grad()
    def _ship(self) -> None:
        """γ, β, μ and σ² to the device, counted as a coded delta of full float32 values."""
        for path, layer in self._here.items():
            self._there[path].follow(layer.mean, layer.variance)
        values: dict[str, Any] = {}
        for path, value in self._affine.items():
            self.device.get_parameter(path).copy_(value)
            values[self._names[path]] = value.detach().numpy()
        for path, layer in self._here.items():
            values |= {f"{path}.mean": layer.mean.numpy(), f"{path}.variance": layer.variance.numpy()}
        changes: dict[str, Any] = {path: Full(np.array(value)) for path, value in values.items()}
        self._uplink.delta(len(encode(Delta("", "", "cema", changes), "float32")))


def _note(noted: dict[str, tuple[Tensor, Tensor]], path: str, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
    noted[path] = moments(given[0])
