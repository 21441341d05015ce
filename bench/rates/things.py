"""Detection and masks: Entropic Student and ours on the detector of three tasks, against picture codecs, at the teacher's size.

The teacher (`edgewise.training.nets.fpn`, 84 … AP by its own training) answers rendered junctions as they are, and through each
picture codec: with its own weights, and with weights tuned on decoded pictures. Students replace everything from the picture to
layer1; they learn from unlabelled frames, and answer from decoded bytes alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from bench.rates import scenes
from bench.rates.detections import file, frame, judged, keep
from bench.rates.jobs import Advance, Job, Size
from bench.rates.record import About
from bench.rates.scenes import DECODING, LABELS, Held, Pictures
from bench.report import ROOT
from edgewise.codec.image import ImageCodec, Kind
from edgewise.core.answer import Answer
from edgewise.data.decoding.things import answers
from edgewise.training.nets import fpn
from edgewise.training.things_job import load

WEIGHTS = ROOT / "bench" / "weights" / "things.safetensors"
QUALITIES: dict[Kind, tuple[int, ...]] = {"jpeg": (2, 5, 10, 20, 35, 50, 75, 90), "webp": (1, 5, 15, 30, 50, 75, 90)}
BATCH = 8


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
    found = []
    if seed == 0:
        for kind in QUALITIES:
            leaves = tuple(file(About(kind, f"q{q}", data=scenes.DATA)) for q in QUALITIES[kind])
            found.append(Job(f"things-{kind}", "bench.rates.things:pictures", leaves, {"kind": kind, "size": size}, priority=5))
    return found


def pictures(work: Path, advance: Advance, kind: Kind, size: Size) -> None:
    """A picture codec at all its qualities, answered by the teacher as it is; with the first codec the teacher itself."""
    at = scenes.held(work, size)
    if kind == "jpeg":
        raw = tuple(frame(p.size) for p in at.pictures)
        _kept(work, at, About("teacher", "as it is", data=scenes.DATA), raw, said(teacher(), at.pictures))
    for number, quality in enumerate(QUALITIES[kind]):
        advance(kind, number / len(QUALITIES[kind]))
        sizes, shown = through(kind, quality, at)
        _kept(work, at, About(kind, f"q{quality}", data=scenes.DATA), sizes, said(teacher(), shown))


def through(kind: Kind, quality: int, at: Held) -> tuple[tuple[int, ...], Pictures]:
    """Bytes of each frame, and the pictures that come out."""
    import numpy as np

    codec = ImageCodec(kind, quality, small=True)
    sent = [codec.encode(p) for p in at.pictures]
    return tuple(frame(len(p)) for p in sent), np.stack([codec.decode(p) for p in sent])


def _kept(work: Path, at: Held, about: About, sizes: Sequence[int], answers: Sequence[Answer]) -> None:
    keep(judged(about, sizes, answers, at.truth, at.block), work)
