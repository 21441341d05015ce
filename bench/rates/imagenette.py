"""Imagenette at 128 pixels, as every method of the benchmark sees it, and the teacher that the project trains on it.

The pack's pictures (224 × 224, JPEG of about q75 once already) are brought to 128 × 128 once, by the one rule of the project, and
every codec starts from those. The order is a seeded permutation: the pack is sorted by class. Weights trained on them stay in the
build folder: the pictures are for research and education alone.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import nn

from bench.report import ROOT
from edgewise.core.artifact import Picture
from edgewise.data.pack import open_pack
from edgewise.graph.picture import Look
from edgewise.split.gallery import Gallery, gathered
from edgewise.training.classes import MEAN, STD, classifier, logits
from edgewise.training.course import Advance, Course
from edgewise.training.nets.resnet import resnet10, resnet18

PACK = ROOT.parent / "shared" / "data" / "imagenette.tar"
SIDE, CROP = 128, 112
LOOK = Look(SIDE, SIDE, 3, 1 / 255, MEAN, STD, False)
TEACHING = Course(epochs=30, rate=0.1, batch=64, crop=CROP)


class Part(Struct, frozen=True):
    """Pictures (a Gallery) and the class of each, in a drawn order."""

    gallery: Gallery
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)

    def of(self, indices: list[int]) -> NDArray[np.uint8]:
        return self.gallery.of(self.order[np.asarray(indices, int)].tolist())


def part(name: str, work: Path, side: int = SIDE, pack: Path = PACK, limit: int = 0, seed: int = 0) -> Part:
    """`train` or `val` of the pack; `limit` pictures of the drawn order (0: all)."""
    opened = open_pack(pack)
    chosen = [n for n in opened.names if f"/{name}/" in n]
    found = gathered(opened, Picture(side, side), work / f"{name}-{side}", names=chosen)
    classes = [PurePosixPath(n).parent.name for n in found.names]
    known = tuple(sorted(set(classes)))
    order = np.random.default_rng([seed, 17]).permutation(len(classes))[: limit or None]
    labels = np.array([known.index(c) for c in classes])[order]
    return Part(found, labels, known, order)


def teacher(
    work: Path, train: Part, depth: int = 10, course: Course = TEACHING, advance: Advance = lambda w, s: None
) -> nn.Module:
    """The ResNet of that depth, trained in `work` (what is finished there is taken up)."""
    torch.manual_seed(course.seed)
    net = (resnet10 if depth == 10 else resnet18)(len(train.names))
    return classifier(net, train, train.labels.tolist(), LOOK, course, work, advance)


def right(net: nn.Module, held: Part, look: Look = LOOK) -> NDArray[np.bool_]:
    """Whether the network's first guess is the class, picture by picture."""
    found: NDArray[np.bool_] = logits(net, held, look).argmax(1) == held.labels
    return found
