"""A Plan: what a ladder is asked for; a Rung: what comes of it at one β, a student with its codec, to be judged and exported."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct
from numpy import float64
from numpy.typing import NDArray
from torch import nn

from edgewise.core.artifact import Bottleneck, Coding
from edgewise.graph.picture import Look
from edgewise.split.training import carried
from edgewise.split.training.frozen import Frozen
from edgewise.split.training.parts import Parts, parts
from edgewise.split.training.stretch import Stretch, split_of
from edgewise.split.training.tune import Tuning
from edgewise.training.course import Advance, Source


class Plan(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`betas` rise; `first` and `further` are epochs of stage 1 for the first β and for each of the others, `tuned` those of
    stage 2 (0: none). `crop`: pixels of the random square that a step sees (0: whole pictures), `mirror` it every other time.

    `rounded`: the share of stage 1, at its end, in which the decoder is given rounded values. `free`: stage 2 teaches the encoder
    too, at `worth` times β for a bit. `losses`: module paths at which the student learns (none: the stretch's end and its later
    siblings). `context`: tables by a code's neighbours. `still` keeps normalisation of the tail as it is in stage 2. `channels`
    0: the design's own."""

    betas: tuple[Annotated[float, Meta(gt=0)], ...] = (0.7, 1.5, 3.0, 6.0)
    first: Annotated[float, Meta(gt=0)] = 10
    further: Annotated[float, Meta(gt=0)] = 5
    tuned: Annotated[float, Meta(ge=0)] = 4
    tuning: Tuning = "kd"
    free: bool = False
    worth: Annotated[float, Meta(ge=0)] = 1.0
    several: bool = False
    channels: Annotated[int, Meta(ge=0)] = 0
    wide: Annotated[float, Meta(gt=0)] = 1.0
    layers: Annotated[int, Meta(ge=1)] = 1
    context: bool = True
    rounded: Annotated[float, Meta(ge=0, le=1)] = 0.0
    losses: tuple[str, ...] = ()
    crop: Annotated[int, Meta(ge=0)] = 0
    mirror: bool = True
    batch: Annotated[int, Meta(ge=1)] = 32
    rate: Annotated[float, Meta(gt=0)] = 2e-3
    further_rate: Annotated[float, Meta(gt=0)] = 1e-3
    tuned_batch: Annotated[int, Meta(ge=1)] = 64
    tuned_rate: Annotated[float, Meta(gt=0)] = 1e-2
    still: bool = False
    half_precision: bool = True
    seed: int = 0


class Rung(Struct, frozen=True):
    """One operating point: the student `net` (its `between` rounds as the codec does), its codec, and the figures of its
    `history` (epochs by stage, `estimated` and `coded` mean bytes of a frame of pictures that taught)."""

    beta: float
    net: nn.Module
    teacher: nn.Module
    stretch: Stretch
    frozen: Frozen
    look: Look
    history: Mapping[str, float]

    @property
    def bottleneck(self) -> Bottleneck:
        return self.frozen.bottleneck

    @property
    def coding(self) -> Coding:
        return self.frozen.coding

    def parts(self) -> Parts:
        """Head, tail and full as ONNX."""
        bare = copy.deepcopy(self.net)
        split_of(bare, self.stretch).between = nn.Identity()
        return parts(self.teacher, bare, self.stretch.first, self.look)

    def judged(
        self,
        source: Source,
        labels: Sequence[int] | None = None,
        score: Callable[[Any, list[int]], NDArray[float64]] | None = None,
        advance: Advance = lambda what, share: None,
    ) -> carried.Judged:
        """Score and frame bytes of each picture, from real bytes (`carried.evaluate`)."""
        return carried.evaluate(
            self.net, self.stretch, self.bottleneck, self.coding, source, self.look, labels, score, advance=advance
        )
