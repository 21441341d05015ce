"""The ground on which every method of the benchmark stands: pictures, classes, teacher and cut, in three sizes.

| size | pictures | teacher | for |
|---|---|---|---|
| full | Imagenette at 128 px, 9,469 that teach and 3,925 that are held out | ResNet-10, 30 epochs | figures |
| medium | the same, 1,600 and 800 of them | the full one if it is there at first; else 8 epochs | ten minutes: trends |
| quick | CIFAR-10 at 32 px, 384 and 160 | the small ResNet, 8 epochs | a minute: does every path work |

Every size has its own folder below the work folder, the full one the folder itself, so that no record of one is taken for
another's. Which teacher a medium run began with stands in its ground.json and stays so: its records are of that one, and a run
that cannot know it is refused. Every method uses the same pictures, the same crop in training and the same teacher; the cut is
the stretch from the first module to the last, which is what BottleFit, Entropic Student and ours replace, each by its own last
module.
"""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import nn

from bench.jobs import Advance, Job, Size
from bench.rates import imagenette
from bench.rates.imagenette import Part, right
from bench.rates.jobs import DATA
from bench.report import ROOT
from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError
from edgewise.data.pack import open_pack
from edgewise.graph.picture import Look
from edgewise.split.gallery import Gallery, gathered
from edgewise.training.classes import MEAN, STD, classifier
from edgewise.training.course import Course
from edgewise.training.nets.resnet import small

CIFAR = ROOT.parent / "shared" / "data" / "cifar10.tar"
DONE = "ground.json"
LIMITS: dict[Size, tuple[int, int]] = {"quick": (384, 160), "medium": (1600, 800), "full": (0, 0)}
TEACHERS: dict[Size, Course] = {
    "quick": Course(epochs=8, rate=0.1, batch=32, crop=28),
    "medium": Course(epochs=8, rate=0.1, batch=32, crop=imagenette.CROP),
    "full": imagenette.TEACHING,
}


class Ground(Struct, frozen=True):
    """`train` teaches, `held` judges; `look` is how the teacher takes pictures; `crop` what a step of training sees of them;
    `data` is the name that records bear."""

    train: Part
    held: Part
    teacher: nn.Module
    look: Look
    crop: int
    data: str


class _Facts(Struct, frozen=True):
    """ground.json: how many pictures, how often its teacher is right, and whose teacher that is ("": nobody said)."""

    train: int
    held: int
    teacher: float
    whose: str = ""


@functools.lru_cache(maxsize=1)
def _ground(work: Path, size: Size) -> Ground:
    return _made(work, size, lambda what, share: None)


def ground(work: Path, size: Size = "full", advance: Advance = lambda what, share: None) -> Ground:
    """The pictures and the trained teacher of that size in `work` (`jobs.folder`); what is there is taken up."""
    if (work / DONE).exists():
        return _ground(work, size)
    return _made(work, size, advance)


def _made(work: Path, size: Size, advance: Advance) -> Ground:
    train, held = (_part(name, work, size, limit) for name, limit in zip(("train", "val"), LIMITS[size], strict=True))
    course = TEACHERS[size]
    if size == "quick":
        torch.manual_seed(course.seed)
        look = Look(32, 32, 3, 1 / 255, MEAN, STD, False)
        net: nn.Module = classifier(small(10), train, train.labels.tolist(), look, course, work / "teacher", advance)
        return Ground(train, held, net, look, course.crop, DATA["quick"])
    if whose(work, size) == "full" and size == "medium":
        net = imagenette.teacher(work.parent / "teacher", train, course=TEACHERS["full"], advance=advance)
    else:
        net = imagenette.teacher(work / "teacher", train, course=course, advance=advance)
    return Ground(train, held, net, imagenette.LOOK, course.crop, DATA[size])


def whose(work: Path, size: Size) -> Literal["full", "own"]:
    """Whose teacher answers there: what ground.json says, or, before there is one, the full size's where that is finished.

    ConfigError where ground.json does not say it, or names a teacher that is there no longer."""
    there = (work.parent / DONE).exists()
    if size != "medium":
        return "full" if size == "full" else "own"
    if not (work / DONE).exists():
        return "full" if there else "own"
    said = msgspec.json.decode((work / DONE).read_bytes(), type=_Facts).whose
    if said == "full" and there:
        return "full"
    if said == "own":
        return "own"
    raise ConfigError(
        "nobody knows whose teacher the records of this medium run are of",
        got=f"{work / DONE} says {said or 'nothing'}" + ("" if there else ", and the full size has no finished teacher"),
        allowed="full, with the full size's teacher there, or own",
        hint=f"Remove the folder {work}; its run takes ten minutes.",
    )


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job, before all others: pictures and teacher."""
    return [Job("ground", "bench.rates.ground:prepare", (DONE,), {"size": size}, priority=0)] if seed == 0 else []


def prepare(work: Path, advance: Advance, size: Size) -> None:
    """The ground, and a note of how good its teacher is."""
    found = ground(work, size, advance)
    good = float(right(found.teacher, found.held, found.look).mean())
    facts = _Facts(len(found.train), len(found.held), good, whose(work, size))
    (work / DONE).write_bytes(msgspec.json.encode(facts))


def _part(name: str, work: Path, size: Size, limit: int) -> Part:
    if size != "quick":
        return imagenette.part(name, work, limit=limit)
    kept = work / f"{name}.npz"  # a pack of 30,000 pictures takes seconds to open
    if not kept.exists():
        opened = open_pack(CIFAR)
        chosen = sorted(n for n in opened.names if f"/{'train' if name == 'train' else 'test'}/" in n)
        drawn = [chosen[i] for i in np.random.default_rng([0, 17]).permutation(len(chosen))[:limit]]
        found = gathered(opened, Picture(32, 32), work / f"{name}-32", names=drawn)
        np.savez(kept, pictures=found.pictures, names=np.array(found.names))
    with np.load(kept) as parts:
        gallery = Gallery(parts["pictures"], tuple(parts["names"].tolist()))
    classes = [PurePosixPath(n).parent.name for n in gallery.names]
    known = tuple(sorted(set(classes)))
    return Part(gallery, np.array([known.index(c) for c in classes]), known, np.arange(len(classes)))
