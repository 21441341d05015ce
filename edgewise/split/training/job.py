"""From a teacher and pictures to the parts of a bundle: find the cut's geometry, make the student, train it, export it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from edgewise.graph.picture import Look
from edgewise.split.training.bottleneck import Geometry
from edgewise.split.training.learn import Learnt, Training, looked
from edgewise.split.training.parts import Parts, parts
from edgewise.split.training.recipe import Recipe
from edgewise.split.training.student import geometry, student
from edgewise.training.course import Advance, Source

TRIED = 4  # pictures of the trial run that finds what the module at the cut takes and gives


class Made(Struct, frozen=True):
    """The student, how it came about, and its parts."""

    net: nn.Module
    geometry: Geometry
    learnt: Learnt
    parts: Parts


def made(
    net: nn.Module,
    cut: str,
    channels: int,
    source: Source,
    look: Look,
    recipe: Recipe,
    seed: int,
    work: Path,
    *,
    wide: float = 1.0,
    fine: bool = False,
    threads: int = 1,
    advance: Advance = lambda what, share: None,
) -> Made:
    """A student of the teacher `net`, trained in `work` (an earlier call's checkpoint there is carried on) and exported."""
    torch.set_num_threads(threads)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    tried = np.linspace(0, len(source) - 1, min(TRIED, len(source))).round().astype(int).tolist()
    shape = geometry(net, cut, looked(source.of(tried), look))
    taught = student(net, cut, shape, channels, seed, wide, fine)
    learnt = Training(net, taught, cut, source, look, recipe, seed, work).learn(advance)
    advance("exporting", 0.0)
    exported = parts(net, taught, cut, look)
    advance("exporting", 1.0)
    return Made(taught, shape, learnt, exported)
