"""Early exits of SPINN's type as a baseline: the device computes up to a layer of the teacher, answers there where it is sure
enough, and sends where it is not.

    exits               what crosses are the layer's features, 8 bits in one range, deflated (SPINN has LZ4, which is larger)
    early-exits-jpeg    what crosses is the picture, as a JPEG of q50: kinder to the baseline, whose features are large

Exits stand on layer1, layer2 and layer3; the teacher is frozen, the exits learn from labels and its answers in equal parts. A
point is named for the layer and the share of the pictures that is meant to cross: `layer2-s20`. The threshold for one half of
the pictures is that quantile of the doubt on the other half, so no picture chose its own. Points `layer2-r2` have the threshold
at which, with 95 % confidence, at most 2 % of all pictures get another class than the teacher's (`edgewise.split.doubt`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.jobs import Advance, Job, Size
from bench.rates.decoded import Decoded, answered, files
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.codec.image import ImageCodec
from edgewise.core.errors import ConfigError
from edgewise.core.wire import FRAME_HEADER
from edgewise.split.doubt import calibrated, doubts
from edgewise.split.training.exits import Exit, said, taught
from edgewise.training.classes import tensor
from edgewise.training.course import Course
from edgewise.training.paths import module

EPOCHS: dict[Size, float] = {"quick": 2, "medium": 3, "full": 8}
FEATURES, JPEG = "exits", "early-exits-jpeg"
QUALITY = 50
LAYERS = ("layer1", "layer2", "layer3")
SHARES = (5, 10, 20, 33, 50)  # per cent that cross
RISKS = (1, 2, 5)  # per cent that may change
LEVELS = 255
Floats = NDArray[np.float64]


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job: all exits learn in one run. Points of a risk are left where it can be kept, so they are not counted on."""
    names = [f"{layer}-s{share:02d}" for layer in LAYERS for share in SHARES]
    leaves = tuple(record_file(method, name, seed, data=DATA[size]) for method in (FEATURES, JPEG) for name in names)
    priority = 4 if seed == 0 else 6
    return [Job(f"exits.{seed}", "bench.rates.exits:run", leaves, {"seed": seed, "size": size}, priority)]


def run(work: Path, advance: Advance, seed: int = 0, size: Size = "full") -> None:
    """Exits, what they say of the held-out pictures, and the records."""
    found = ground(work, size, advance)
    exits = learnt(work, found, seed, size, advance)
    early, whole = said(found.teacher, exits, found.held, found.look)
    codec = ImageCodec("jpeg", QUALITY, small=True)
    kept = files(found.held, codec, work / "coded" / f"{found.data}-jpeg-{QUALITY}.npz", advance)
    pictures = answered(found.teacher, Decoded(kept, codec), found), kept.sizes + FRAME_HEADER
    for layer in LAYERS:
        sent = {FEATURES: crossed(found, layer), JPEG: pictures}
        head = before(found.teacher, layer) + sum(p.numel() for p in exits[layer].parameters())
        right = (early[layer].argmax(1) == found.held.labels).astype(float)
        for name, stays in thresholds(early[layer], whole).items():
            for method, (there, size_there) in sent.items():
                more = {"crossing": float((~stays).mean()), "exit alone": float(right.mean())}
                epochs = {"exits": EPOCHS[size]}
                about = About(method, f"{layer}-{name}", seed, data=found.data, epochs=epochs, parameters=head, more=more)
                keep(Record(about, np.where(stays, right, there), np.where(stays, 0, size_there)), work)


def learnt(work: Path, found: Ground, seed: int, size: Size, advance: Advance) -> dict[str, Exit]:
    """The trained exits; what `work` holds is taken up."""
    course = Course(epochs=EPOCHS[size], rate=0.05, batch=64, crop=found.crop, seed=seed)
    labels = found.train.labels.tolist()
    return taught(found.teacher, LAYERS, found.train, labels, found.look, course, work / "exits" / f"{seed}", advance)


def thresholds(early: Floats, whole: Floats) -> dict[str, NDArray[np.bool_]]:
    """By name of a point: which pictures (n,) are answered early, each half by a threshold from the other."""
    doubt = doubts(early)
    halves = np.arange(len(doubt)) % 2 == 0, np.arange(len(doubt)) % 2 == 1
    found: dict[str, NDArray[np.bool_]] = {}
    for share in SHARES:
        stays = np.zeros(len(doubt), bool)
        for own, other in (halves, halves[::-1]):
            stays[own] = doubt[own] < np.quantile(doubt[other], 1 - share / 100)
        found[f"s{share:02d}"] = stays
    for risk in RISKS:
        stays = np.zeros(len(doubt), bool)
        try:
            for own, other in (halves, halves[::-1]):
                stays[own] = doubt[own] < calibrated(early[other], whole[other], risk / 100).doubt
        except ConfigError:
            continue  # this exit is never that sure, or the pictures are too few to know
        found[f"r{risk}"] = stays
    return found


def crossed(found: Ground, layer: str) -> tuple[Floats, NDArray[np.int64]]:
    """Whether the teacher is right when it goes on from the layer's features in 8 bits, and bytes of the frames."""
    low, high = extremes(found, layer)
    sizes: list[int] = []

    def through(_: nn.Module, inputs: tuple[Tensor, ...], features: Tensor) -> Tensor:
        codes = ((features - low) * (LEVELS / (high - low))).round().clamp(0, LEVELS)
        sizes.extend(FRAME_HEADER + len(zlib.compress(one.tobytes(), 6)) for one in codes.to(torch.uint8).contiguous().numpy())
        return codes * ((high - low) / LEVELS) + low

    handle = module(found.teacher, layer).register_forward_hook(through)
    try:
        right = answered(found.teacher, found.held, found)
    finally:
        handle.remove()
    return right, np.array(sizes, np.int64)


def extremes(found: Ground, layer: str, pictures: int = 256) -> tuple[float, float]:
    """The least and the largest value of a layer on pictures that taught."""
    seen: list[tuple[float, float]] = []
    handle = module(found.teacher, layer).register_forward_hook(
        lambda _, i, out: seen.append((float(out.min()), float(out.max())))
    )
    try:
        with torch.no_grad():
            for first in range(0, min(pictures, len(found.train)), 64):
                found.teacher(tensor(found.train.of(list(range(first, min(first + 64, len(found.train))))), found.look))
    finally:
        handle.remove()
    return min(a for a, _ in seen), max(b for _, b in seen)


def before(net: nn.Module, layer: str) -> int:
    """Parameters of a ResNet up to a layer, itself included."""
    paths: Sequence[str] = ("stem", *LAYERS[: LAYERS.index(layer) + 1])
    return sum(p.numel() for path in paths for p in module(net, path).parameters())
