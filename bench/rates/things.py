"""Detection and masks: Entropic Student and ours on the detector of three tasks, against picture codecs, at the teacher's size.

The teacher (`edgewise.training.nets.fpn`) answers rendered junctions as they are and through each picture codec: with its own
weights, and with weights tuned on decoded pictures of many qualities. Students replace everything from the picture to layer1;
they learn without labels what the teacher's later modules give, and answer from decoded bytes alone. Entropic Student is
published with losses at layer1 to layer4; both learn at the pyramid and in the heads too, and not at layer1, so that what no task
asks for need not cross: in a trial of half an epoch that took a third of the bytes. Stage 2 tunes all that stands behind the
bottleneck on labels, the encoder frozen; it has the epochs of the codecs' tuned tails.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import nn

from bench.rates import scenes, tails_tuned
from bench.rates.detections import file, frame, judged, keep
from bench.rates.jobs import Advance, Job, Size
from bench.rates.record import About
from bench.rates.scenes import DECODING, LABELS, Held, Pictures
from bench.report import ROOT
from edgewise.codec.image import ImageCodec, Kind
from edgewise.core.answer import Answer
from edgewise.data.decoding.things import answers
from edgewise.split.training.carried import carried
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of
from edgewise.training.nets import fpn
from edgewise.training.things_job import load

WEIGHTS = ROOT / "bench" / "weights" / "things.safetensors"
CUT = "stem..layer1"
HEADS = ("layer2", "layer4", "fpn", "heads.tower", "heads.score", "heads.shape", "heads.sharp")
QUALITIES: dict[Kind, tuple[int, ...]] = {"jpeg": (2, 5, 10, 20, 35, 50, 75, 90), "webp": (1, 5, 15, 30, 50, 75, 90)}
TUNED: dict[Kind, tuple[int, ...]] = {"jpeg": (3, 5, 8, 12, 20, 35, 50), "webp": (1, 3, 8, 15, 30, 50)}  # drawn from
TUNING: dict[Size, float] = {"quick": 0.1, "medium": 0.25, "full": 0.5}  # epochs
BATCH = 8


class Way(Struct, frozen=True):
    """A ladder of students: its design, its β, epochs of stage 1 for the first of them and each of the others; `rounded`: the
    share of stage 1 in which the decoder hears rounded values."""

    design: str
    betas: tuple[float, ...]
    first: float = 1.5
    further: float = 0.6
    rounded: float = 0.33


WAYS = {
    "lean": Way("lean", (0.6, 1.5, 3.5)),
    "entropic": Way("entropic", (0.6, 1.5, 3.5), rounded=0.0),
}


@functools.cache
def teacher() -> fpn.Detector:
    """The trained detector, frozen."""
    return load(WEIGHTS).requires_grad_(False)


def said(net: nn.Module, pictures: Pictures) -> tuple[Answer, ...]:
    """What a detector in evaluation mode says of pictures (n, height, width, 3) of its size."""
    found: list[Answer] = []
    with torch.inference_mode():
        for first in range(0, len(pictures), BATCH):
            maps = net(scenes.tensor(pictures[first : first + BATCH]))
            found += answers({name: value.float().numpy() for name, value in maps.items()}, DECODING, LABELS)
    return tuple(found)


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """Codecs as they are and with tuned tails, and the rungs of each ladder, one after another."""
    found = []
    if seed == 0:
        for kind in QUALITIES:
            leaves = tuple(file(About(kind, f"q{q}", data=scenes.DATA)) for q in QUALITIES[kind])
            found.append(Job(f"things-{kind}", "bench.rates.things:pictures", leaves, {"kind": kind, "size": size}, priority=5))
            leaves = tuple(file(About(f"{kind}-tuned", f"q{q}", data=scenes.DATA)) for q in QUALITIES[kind])
            found.append(
                Job(f"things-{kind}-tuned", "bench.rates.things:pictures_tuned", leaves, {"kind": kind, "size": size}, 5)
            )
    for name, way in WAYS.items():
        before: tuple[str, ...] = ()
        for index, beta in enumerate(way.betas):
            leaves = tuple(file(About(m, f"b{beta:g}", seed, data=scenes.DATA)) for m in (name, f"{name}-tuned"))
            arguments = {"name": name, "index": index, "seed": seed, "size": size}
            job = Job(f"things-{name}-b{beta:g}.{seed}", "bench.rates.things:rung", leaves, arguments, 5, before)
            found.append(job)
            before = (job.name,)
    return found


def pictures(work: Path, advance: Advance, kind: Kind, size: Size) -> None:
    """A picture codec at all its qualities, answered by the teacher as it is; with the first codec the teacher itself."""
    at = scenes.held(work, size)
    if kind == "jpeg":
        raw = tuple(frame(p.size) for p in at.pictures)
        kept(work, at, About("teacher", "as it is", data=scenes.DATA), raw, said(teacher(), at.pictures))
    _through(work, at, kind, kind, teacher(), advance)


def pictures_tuned(work: Path, advance: Advance, kind: Kind, size: Size) -> None:
    """The same with the whole teacher tuned on decoded pictures of drawn qualities."""
    at, source = scenes.held(work, size), scenes.Source(scenes.taught(work, size))
    net = copy.deepcopy(teacher())
    tails_tuned.tuned(
        net, tails_tuned.Decoded(source, kind, TUNED[kind]), source, TUNING[size], folder(work, f"{kind}-tuned"), advance
    )
    _through(work, at, kind, f"{kind}-tuned", net, advance)


def rung(work: Path, advance: Advance, name: str, index: int, seed: int, size: Size) -> None:
    """A student of one β, as stage 1 left it and tuned behind its bottleneck."""
    at, source = scenes.held(work, size), scenes.Source(scenes.taught(work, size))
    done = climb(work, name, source, seed, size, advance).rung(index)
    point, way = f"b{done.beta:g}", WAYS[name]
    epochs = {"stage 1": (way.first + index * way.further) * _share(size)}
    parameters = sum(p.numel() for p in split_of(done.net, done.stretch).encoder.parameters())
    about = About(name, point, seed, data=scenes.DATA, epochs=epochs, parameters=parameters, more={"beta": done.beta})
    kept(work, at, about, *carried_over(done, done.net, at))
    net = copy.deepcopy(done.net)
    tails_tuned.tuned(
        net, source, source, TUNING[size], folder(work, name, seed) / f"tuned-{point}", advance, behind=done.stretch.first
    )
    more = msgspec.structs.replace(about, method=f"{name}-tuned", epochs=epochs | {"stage 2": TUNING[size]})
    kept(work, at, more, *carried_over(done, net, at))


def climb(work: Path, name: str, source: scenes.Source, seed: int, size: Size, advance: Advance) -> Climb:
    """The ladder of that name; what is done of it in `work` is taken up."""
    way, share = WAYS[name], _share(size)
    plan = Plan(
        betas=way.betas,
        first=way.first * share,
        further=way.further * share,
        tuned=0,
        rounded=way.rounded,
        losses=HEADS,
        batch=8,
        seed=seed,
    )
    return Climb(teacher(), CUT, way.design, source, None, scenes.LOOK, plan, folder(work, name, seed), advance)


def folder(work: Path, name: str, seed: int = 0) -> Path:
    return work / "things" / f"{name}.{seed}"


def carried_over(done: Rung, net: nn.Module, at: Held) -> tuple[tuple[int, ...], tuple[Answer, ...]]:
    """Bytes of each frame and what the student answers from them."""
    sizes: list[int] = []
    found: list[Answer] = []
    for _, maps, frames in carried(net, done.stretch, done.bottleneck, done.coding, Shown(at.pictures), scenes.LOOK, BATCH):
        found += answers({name: value.float().numpy() for name, value in maps.items()}, DECODING, LABELS)
        sizes += frames
    return tuple(sizes), tuple(found)


class Shown:
    """Pictures (n, height, width, 3) by number."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def of(self, indices: list[int]) -> Pictures:
        return self._pictures[indices]


def kept(work: Path, at: Held, about: About, sizes: Sequence[int], answers: Sequence[Answer]) -> None:
    """Score what came, and keep it."""
    keep(judged(about, sizes, answers, at.truth, at.block), work)


def through(kind: Kind, quality: int, at: Held) -> tuple[tuple[int, ...], Pictures]:
    """Bytes of each frame, and the pictures that come out."""
    codec = ImageCodec(kind, quality, small=True)
    sent = [codec.encode(p) for p in at.pictures]
    return tuple(frame(len(p)) for p in sent), np.stack([codec.decode(p) for p in sent])


def _through(work: Path, at: Held, kind: Kind, method: str, net: nn.Module, advance: Advance) -> None:
    for number, quality in enumerate(QUALITIES[kind]):
        advance(method, number / len(QUALITIES[kind]))
        sizes, shown = through(kind, quality, at)
        kept(work, at, About(method, f"q{quality}", data=scenes.DATA), sizes, said(net, shown))


def _share(size: Size) -> float:
    return {"quick": 0.1, "medium": 0.5, "full": 1.0}[size]
