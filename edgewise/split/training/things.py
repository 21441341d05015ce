"""The things bundles, from the teacher of three tasks to manifest, by one command that can be stopped and started again.

    python -m edgewise.split.training.things --work build/ghnd --teacher bench/weights/things.safetensors --recipe.name ghnd

The teacher is the small detector of boxes, masks and keypoints (`edgewise.training.nets.fpn`); the module of its stem that
takes stride 4 and gives 8 (`stem.2`; ResNet's layer1, which the paper replaces, takes 4 and gives 4) becomes a bottleneck of
three channels, as fine as what it takes, that learns on rendered frames without their labels. Truth is used once the student is
done, on scenes kept for choosing, and only to say what each operating point is worth.
"""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.artifact import Bottleneck, Manifest
from edgewise.core.decoding import Things
from edgewise.core.placement import Quality
from edgewise.data.junction.footage import LABEL, Seen, footage
from edgewise.data.preprocess import fit
from edgewise.data.things import intervals
from edgewise.graph.picture import Look
from edgewise.runtime.session import Session
from edgewise.split.fit import ORDERED, PARTS
from edgewise.split.gallery import Gallery
from edgewise.split.judged import Judge, Sessions
from edgewise.split.lesson import spread
from edgewise.split.order import order
from edgewise.split.points import Ranges, coded, measured, ranged, written
from edgewise.split.provenance import PACKAGES
from edgewise.split.training.job import Made, made
from edgewise.split.training.recipe import BITS, Recipe
from edgewise.training import things_frames
from edgewise.training.nets import fpn
from edgewise.training.things_frames import Things as Frames
from edgewise.training.things_job import load

PATHS = ("stem.2", "layer1", "layer2", "layer3", "layer4")  # the cut, and where GHND learns
DECODING = Things(threshold=0.3, overlap=0.6, keypoints=fpn.KEYPOINTS, mask=28)
CALIBRATED = 384  # training frames that ranges and tables are fitted on
FIRST = 200  # seed of the first scene kept for choosing

log = logging.getLogger(__name__)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole job. `teacher` empty: fresh weights, for trying it out. `frames`: the shards of the teacher's own training.

    `seconds` of the recipe are processor time, over `threads`; its `bits` are those that training draws, `bits` here those of
    the points. `full` puts the teacher into the bundle; `only_train` writes none.
    """

    work: Path = Path("build/ghnd")
    teacher: Path | None = None
    frames: Path = Path("build/things/frames")
    scenes: int = 800
    times: int = 2
    compressed: float = 0.35
    cut: str = PATHS[0]
    channels: int = 3
    wide: float = 1.0
    fine: bool = True
    recipe: Recipe = Recipe(rate=5e-3, schedule="cosine", seconds=1000.0)
    bits: tuple[int, ...] = BITS
    per_channel: bool = True
    validation: int = 20
    seed: int = 3
    threads: int = 1
    full: bool = True
    only_train: bool = False
    out: Path = Path("build/ghnd/bundle")


class Shards:
    """Pictures of training frames by number, counted through all shards; nothing else of them is read."""

    def __init__(self, parts: Sequence[Frames]) -> None:
        self._parts = [part.pictures for part in parts]
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def of(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        places = [(int(np.searchsorted(self._ends, i, side="right")), i) for i in indices]
        return np.stack([self._parts[p][i - int(self._ends[p]) + len(self._parts[p])] for p, i in places])


def make(config: Config) -> Manifest | None:
    """Do the whole job; what an earlier call finished is taken up. None with `only_train`."""
    torch.set_num_threads(config.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        teacher = load(config.teacher) if config.teacher else fpn.build().eval()
    shards = Shards(
        things_frames.shards(config.frames, config.scenes, config.times, fpn.PICTURE, config.compressed, heard=log.info)
    )
    recipe = config.recipe
    if recipe.name == "ghnd" and not recipe.paths and config.cut == PATHS[0]:
        recipe = msgspec.structs.replace(recipe, paths=PATHS)
    look = Look(fpn.PICTURE.height, fpn.PICTURE.width)
    log.info("%s at %s on %d frames without labels", config.recipe.name, config.cut, len(shards))
    done = made(
        teacher.requires_grad_(False),
        config.cut,
        config.channels,
        shards,
        look,
        recipe,
        config.seed,
        config.work,
        wide=config.wide,
        fine=config.fine,
        threads=config.threads,
    )
    log.info("%d steps in %.0f s", done.learnt.steps, done.learnt.seconds)
    return None if config.only_train else bundle(config, done, shards, look)


def bundle(config: Config, done: Made, shards: Shards, look: Look) -> Manifest:
    """Find the codes, measure every operating point on the scenes kept for choosing, write the bundle."""
    begun = time.monotonic()
    seen = list(footage(range(FIRST, FIRST + config.validation)))
    gallery = Gallery(np.stack([fit(f.image, look.picture)[0] for f in seen]), tuple(f"{f.block} {f.condition}" for f in seen))
    sessions = Sessions(*(Session.load(done.parts.models[part], config.threads) for part in PARTS))
    judge = Judge(sessions, gallery, range(len(seen)), DECODING, (LABEL,), lambda said: worth(said, seen))
    features = sessions.features(shards.of(spread(range(len(shards)), CALIBRATED)))
    held = Ranges(done.learnt.low, done.learnt.high) if done.learnt.low else ranged(features, config.per_channel)
    bottleneck = Bottleneck(done.parts.shape, held.low, held.high)
    codings = coded(bottleneck, features, config.bits, order(sessions.tailed, features[:ORDERED]))
    points = measured(judge, bottleneck, codings, lambda i: seen[i].image, lambda what, share: None)
    whole = judge.worth(judge.whole)["all"]
    for point in points:
        log.info("%s: %.0f B, AP of boxes %.3f of %.3f", point.name, point.bytes_up, point.worth(), whole.value)
    models = {part: model for part, model in done.parts.models.items() if config.full or part != "full"}
    manifest = written(
        config.out,
        name=f"things-{config.recipe.name}",
        models=models,
        picture=look.picture,
        bottleneck=bottleneck,
        task="detection",
        decoding=DECODING,
        labels=(LABEL,),
        points=points,
        codings=codings,
        parameters={path: p for path, p in done.parts.parameters.items() if p.part in models},
        provenance=provenance(config, done, len(shards), len(seen), whole),
    )
    log.info("made %s (%s) in %.0f s", config.out, manifest.address[:12], time.monotonic() - begun)
    return manifest


def worth(said: Sequence[Answer], seen: Sequence[Seen]) -> dict[str, Quality]:
    """AP of boxes over all frames and in each weather, with 95 % intervals over scenes."""
    found = {}
    for name in ("all", *dict.fromkeys(f.condition for f in seen)):
        here = [i for i, f in enumerate(seen) if name in ("all", f.condition)]
        truth, blocks = [seen[i].truth for i in here], [seen[i].block for i in here]
        found[name] = intervals([said[i] for i in here], truth, blocks, DECODING.mask, draws=100)["box"]
    return found


def provenance(config: Config, done: Made, frames: int, judged: int, whole: Quality) -> dict[str, str]:
    """How it was made, in words and figures for the manifest."""
    shown = msgspec.structs.replace(config, work=Path(), out=Path(), frames=Path(), teacher=None)
    return {
        "command": "python -m edgewise.split.training.things",
        "config": msgspec.json.encode(shown, enc_hook=str).decode(),
        "teacher": config.teacher.name if config.teacher else "fresh weights",
        "data": f"our renderer, {frames} frames of seeds 1000 to {999 + config.scenes}, without labels",
        "trained": f"{config.recipe.name.upper()} at {config.cut}, {done.learnt.steps} steps in {done.learnt.seconds:.0f} s",
        "seed": str(config.seed),
        "quality": f"AP of boxes (mean over IoU 0.5 to 0.95) on {judged} rendered frames, seeds {FIRST} to "
        f"{FIRST + config.validation - 1}, scores of {DECODING.threshold:g} and more; the uncut model: {whole.value:.3f}",
        "times": f"measured, median processor time of 1 thread, {platform.machine()}, onnxruntime; neither waiting nor link",
        "bytes": "measured, mean payload, without frame header; pictures sent whole are 640 x 360",
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
    }


def main() -> None:
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for noisy in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    make(tyro.cli(Config, description=__doc__))


if __name__ == "__main__":
    main()
