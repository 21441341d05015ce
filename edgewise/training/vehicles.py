"""The vehicles bundle, from nothing to manifest, by one command that can be stopped and started again.

    python -m edgewise.training.vehicles --work build/vehicles --clip ../shared/data/opendatacam.tar

Render training frames (shards, kept), train Head + Tail as one and Local by itself (checkpoints, kept), export, choose
thresholds and measure every operating point on validation frames, write the bundle. Data: our renderer and, where the pack is
there, the clip's first 262 labelled frames; its next 88 choose, its last 87 are not touched here.
"""

from __future__ import annotations

import logging
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec import Struct
from torch import nn

from edgewise.core.artifact import Bottleneck, Manifest, PartName, Picture
from edgewise.runtime.bundle import write_bundle
from edgewise.runtime.session import Session
from edgewise.training import export, validate
from edgewise.training.frames import PICTURE, Frames, clip, joined, rendered, store, stored
from edgewise.training.loop import Run, Step, train
from edgewise.training.nets.detector import COLUMNS, ROWS, Local
from edgewise.training.steps import Draw, Split, SplitStep, WholeStep

SMALL = Picture(PICTURE.width // 2, PICTURE.height // 2)
Net = Literal["split", "local"]
SHARD = 25  # scenes in one file
PROBE = ("junction:200:clear", "junction:204:fog", "junction:208:night", "junction:212:rain")  # scenes kept for choosing
APART = 23.0  # s between two frames of a scene: most of the traffic has changed
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless", "pillow")

log = logging.getLogger(__name__)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole job. Seconds are wall time of each training at `threads`; the rest is described where it is used.

    `only` trains one net and writes no bundle: two calls can share two cores, and a third without it finishes the job.
    """

    out: Path = Path("edgewise/bundles/vehicles")
    work: Path = Path("build/vehicles")
    clip: Path | None = None
    seed: int = 3
    only: Net | None = None
    scenes: int = 1000
    times: int = 3
    compressed: float = 0.35
    split_seconds: float = 2580.0
    local_seconds: float = 1500.0
    batch: int = 32
    rate: float = 3e-3
    real_share: float = 0.15
    channels: int = 8
    price: float = 0.1
    validation_scenes: int = 20
    threads: int = 1


def make(config: Config) -> Manifest | None:
    """Do the whole job; what an earlier call finished is taken up. None where only one net was asked for."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    begun = time.monotonic()
    split, local = Split(config.channels), Local()
    nets: dict[Net, nn.Module] = {"split": split, "local": local}
    trained = {name: learn(config, name, net) for name, net in nets.items() if config.only in (None, name)}
    if config.only:
        return None
    manifest = bundle(config, split, local, trained)
    log.info("made %s (%s) in %.0f s", config.out, manifest.address[:12], time.monotonic() - begun)
    return manifest


def learn(config: Config, name: Net, net: nn.Module) -> str:
    """Train one of the nets; says how much it was trained."""
    frames = training_frames(config)
    real = clip(config.clip, "train", PICTURE) if config.clip else None
    log.info("training %s on %d rendered frames and %d of the clip", name, len(frames), len(real) if real else 0)
    draw = Draw(frames, real, config.batch, config.real_share, config.seed)
    steps: dict[Net, Step] = {
        "split": SplitStep(draw, config.price),
        "local": WholeStep(draw, (SMALL.height, SMALL.width)),
    }
    seconds = {"split": config.split_seconds, "local": config.local_seconds}[name]
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    outcome = train(net, steps[name], Run(seconds, config.rate), config.work / name)
    return f"{outcome.steps} steps in {outcome.seconds:.0f} s"


def training_frames(config: Config) -> Frames:
    """Shards of rendered frames at the head's size, made where they are missing."""
    shards = []
    for first in range(0, config.scenes, SHARD):
        name = f"train{first // SHARD:03d}"
        shard = stored(config.work / "frames", name)
        if shard is None:
            seeds = range(1000 + first, 1000 + min(first + SHARD, config.scenes))
            shard = rendered(seeds, config.times, PICTURE, config.compressed, APART)
            store(config.work / "frames", name, shard)
            log.info("rendered %s", name)
        shards.append(shard)
    return joined(shards)


def validation_frames(config: Config) -> Frames:
    """Camera-sized frames of the validation scenes, and the clip's 88 to choose on."""
    parts = [rendered(range(200, 200 + config.validation_scenes), 2, None, 0.0, APART)]
    return joined([*parts, clip(config.clip, "validate", None)] if config.clip else parts)


def bundle(config: Config, split: Split, local: Local, trained: dict[Net, str]) -> Manifest:
    """Export, measure and write the bundle."""
    models: dict[PartName, bytes] = {
        "head": export.head(split.head, unfold=True),
        "tail": export.tail(split.tail, config.channels, unfold=True),
        "local": export.local(local, unfold=True),
    }
    nets: dict[PartName, nn.Module] = {"head": split.head, "tail": split.tail, "local": local}
    paths = {path: place for name in models for path, place in export.parameters(name, nets[name], models[name]).items()}
    pictures = {"head": PICTURE, "local": SMALL}
    bottleneck = Bottleneck((config.channels, ROWS, COLUMNS), (0.0,) * config.channels, (1.0,) * config.channels)
    head, tail, small = (Session.load(models[name]) for name in ("head", "tail", "local"))
    parts = validate.Parts(head, tail, small, PICTURE, SMALL, bottleneck)
    frames = validation_frames(config)
    decoding, points = validate.table(parts, frames, lambda line: log.info("%s", line))
    return write_bundle(
        config.out,
        name="vehicles",
        labels=("vehicle",),
        parts=models,
        pictures=pictures,
        bottleneck=bottleneck,
        decoding=decoding,
        points=points,
        parameters=paths,
        provenance=provenance(config, trained, len(frames)),
        probe=PROBE,
    )


def provenance(config: Config, trained: dict[Net, str], judged: int) -> dict[str, str]:
    """How it was made, in words and figures for the manifest."""
    shown = msgspec.structs.replace(config, out=Path(), work=Path(), clip=None)
    real = f", {config.real_share:.0%} of each batch from the first 262 labelled frames of the opendatacam clip (MIT)"
    return {
        "command": "python -m edgewise.training.vehicles" + (f" --clip {config.clip.name}" if config.clip else ""),
        "config": msgspec.json.encode(shown, enc_hook=str).decode(),
        "data": f"our renderer, seeds 1000 to {999 + config.scenes}, {config.times} frames of each of 6 conditions"
        + (real if config.clip else ""),
        "labels": "rendered: exact; clip: boxes of another network, so its figures are agreement, not accuracy",
        "seed": str(config.seed),
        "export": "unfolded: batch normalisation as nodes, each parameter an initialiser by its path",
        "trained": "; ".join(f"{name}: {what}" for name, what in trained.items()),
        "quality": f"cell F1 (16 px) on {judged} validation frames (renderer seeds 200 to {199 + config.validation_scenes}"
        + (", the clip's frames 263 to 350" if config.clip else "")
        + "), thresholds chosen on the same; 95 % intervals by bootstrap over scenes",
        "times": f"measured, median CPU time of 1 thread, {platform.machine()}, onnxruntime; neither waiting nor link",
        "bytes": "measured, mean payload of the rendered frames, without frame header; image modes send 640 x 360",
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
    }


def main() -> None:
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    make(tyro.cli(Config, description=__doc__))


if __name__ == "__main__":
    main()
