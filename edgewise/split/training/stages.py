"""The two stages of BottleFit (paper 8, §IV), for every design whose bits have no price.

    stage 1   the student gives what the teacher gives behind the bottleneck and at the later layers: no labels, tail frozen
    stage 2   cross-entropy (`ft`), or half of it and half KL (`kd`), with the encoder frozen or `free` (`tune.py`)
    after     the bottleneck's ranges are cut into 2^bits steps; training never heard of it

Errors are relative to the teacher's variance, as in our other students (`ladder.py`), where the paper adds sums of squares; Adam
with one cycle where it has steps. Everything lies in the work folder and is taken up there. Ours: `stepped`, which puts the steps
in the student's way in stage 2 with a frozen encoder, so that the tail learns from coarse codes; and `early`, the same bottleneck
learnt from labels alone, for the question whether stage 1 is worth its time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta, Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.artifact import Bottleneck, Coding
from edgewise.graph.picture import Look
from edgewise.split.points import ranged
from edgewise.split.training.designs import design as designed
from edgewise.split.training.frozen import PICTURES, Coded, features
from edgewise.split.training.stretch import Stretch, split_of, stretch, student
from edgewise.split.training.tune import Loss, Tuning, classes, tuned
from edgewise.training.classes import tensor
from edgewise.training.course import Advance, Course, Pictures, Source, adam, device, follow
from edgewise.training.distil import Distil, measuring, spread
from edgewise.training.fingerprint import fingerprint

TRIED, DECAY = 2, 5e-4
WIDEST = 0.001  # share of a channel's values that a range of our own leaves out on each side


class Staged(Struct, frozen=True, forbid_unknown_fields=True):
    """Epochs of both stages; `crop` and `mirror`: what a step sees; `channels` 0: the design's own; `losses`: module paths of
    stage 1 (none: the stretch's end and its later siblings)."""

    first: Annotated[float, Meta(gt=0)] = 10
    tuned: Annotated[float, Meta(ge=0)] = 4
    tuning: Tuning = "kd"
    free: bool = False
    channels: Annotated[int, Meta(ge=0)] = 0
    wide: Annotated[float, Meta(gt=0)] = 1.0
    losses: tuple[str, ...] = ()
    crop: Annotated[int, Meta(ge=0)] = 0
    mirror: bool = True
    batch: Annotated[int, Meta(ge=1)] = 32
    rate: Annotated[float, Meta(gt=0)] = 2e-3
    tuned_batch: Annotated[int, Meta(ge=1)] = 64
    tuned_rate: Annotated[float, Meta(gt=0)] = 1e-2
    half_precision: bool = True
    seed: int = 0


class Student(Struct, frozen=True):
    """A student with the stretch that its bottleneck replaces."""

    net: nn.Module
    stretch: Stretch

    @property
    def head(self) -> int:
        """Parameters of what runs on the device, but for modules ahead of the stretch."""
        return sum(p.numel() for p in split_of(self.net, self.stretch).encoder.parameters())


def taught(
    teacher: nn.Module,
    cut: str,
    design: str,
    source: Source,
    look: Look,
    plan: Staged,
    work: Path,
    advance: Advance = lambda what, share: None,
) -> Student:
    """Stage 1; what `work` holds is taken up."""
    teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made = fresh(teacher, cut, design, source, look, plan)
    paths = plan.losses or made.stretch.losses
    variances = spread(teacher, paths, measuring(source, look, plan.crop, device(made.net)))
    distil = Distil(teacher, made.net, dict.fromkeys(paths, 1.0), variances=variances)
    facts = ("stage 1", cut, design, plan.channels, plan.wide, plan.losses, look)
    course = Course(
        epochs=plan.first,
        rate=plan.rate,
        batch=plan.batch,
        decay=0.0,
        warm=0.1,
        crop=plan.crop,
        mirror=plan.mirror,
        half_precision=plan.half_precision,
        seed=plan.seed,
    )

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        loss, _ = distil(tensor(pictures, look).to(device(made.net)))
        return loss

    learnt = split_of(made.net, made.stretch).parameters()
    about = fingerprint(msgspec.json.encode(facts), source, [teacher])
    follow(made.net, learnt, source, lesson, course, work, _say(advance, "stage 1"), optimiser=adam(), about=about)
    made.net.eval().requires_grad_(False)
    return made


def finished(
    teacher: nn.Module,
    first: Student,
    source: Source,
    labels: Sequence[int] | Loss | None,
    look: Look,
    plan: Staged,
    work: Path,
    coding: Coding | None = None,
    advance: Advance = lambda what, share: None,
) -> Student:
    """Stage 2 of a copy of `first`. With a `coding` the values come as it leaves them (and the encoder is not `free`)."""
    made = Student(copy.deepcopy(first.net), first.stretch)
    split = split_of(made.net, made.stretch)
    split.between = nn.Identity() if coding is None else Coded(coding).to(device(made.net))
    course = Course(
        epochs=plan.tuned,
        rate=plan.tuned_rate,
        batch=plan.tuned_batch,
        decay=DECAY,
        warm=0.1,
        crop=plan.crop,
        mirror=plan.mirror,
        half_precision=plan.half_precision,
        seed=plan.seed + 500,
    )
    loss = labels if callable(labels) else classes(labels, plan.tuning)
    facts = ("stage 2", plan.tuning, plan.free, look, coding)
    about = fingerprint(msgspec.json.encode(facts), source, [teacher, first.net])
    say = _say(advance, "stage 2")
    tuned(teacher, made.net, made.stretch, source, look, course, work, loss, free=plan.free, about=about, advance=say)
    split.between = nn.Identity()
    return made


def fresh(teacher: nn.Module, cut: str, design: str, source: Source, look: Look, plan: Staged) -> Student:
    """A student with first weights drawn from the plan's seed; its bottleneck alone may learn."""
    first = tensor(source.of(list(range(min(TRIED, len(source))))), look)
    place, built = stretch(teacher, cut, first), designed(design)
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        split = built.build(place.geometry, plan.channels or built.channels, plan.wide)
    net = student(teacher, place, split).to(device(teacher))
    return Student(net.to(memory_format=torch.channels_last), place)  # type: ignore[call-overload]


def crossing(made: Student, source: Source, look: Look) -> NDArray[np.float32]:
    """What crosses for pictures of `source`, evenly chosen: (n, channels, rows, columns)."""
    chosen = np.linspace(0, len(source) - 1, min(PICTURES, len(source))).round().astype(int).tolist()
    return np.concatenate(list(features(made.net, made.stretch, source, look, chosen)))


def bottleneck_of(values: NDArray[np.float32], per_channel: bool) -> Bottleneck:
    """The bottleneck of what crosses: one range for all channels, from the least to the largest value, as published; or, ours,
    one for each without its rarest values."""
    if not per_channel:
        found = ranged(values, False)
        return Bottleneck(tuple(values.shape[1:]), found.low, found.high)
    flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    low, high = np.quantile(flat, (WIDEST, 1 - WIDEST), axis=1)
    return Bottleneck(tuple(values.shape[1:]), tuple(low.tolist()), tuple(np.maximum(high, low + 1e-6).tolist()))


def _say(advance: Advance, stage: str) -> Advance:
    return lambda what, share: advance(stage, share)
