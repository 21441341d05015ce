"""A filter for any bundle, from pictures to a guarded bundle, by one command; frames that were made are kept.

    python -m edgewise.split.training.filter_job --bundle edgewise/bundles/vehicles --at relu_7 --out build/vehicles-filter

Without --data the pictures are rendered roads, busy, nearly empty and empty. With it they are a person's own: labelled (COCO,
YOLO, VOC, class folders), or not, and then the model itself says what is in them: recall is of what it sees, and `truth` says so.
Four kinds of scenes never mix: to learn from, to choose the epoch on, to calibrate the threshold on, to report on. One's own are
long stretches of a film, one left out between two kinds (`edgewise.split.films`); rendered ones are seeds, and what is calibrated
on has other recorded traffic than what is reported on. Without --at the filter looks at the last early map of the head, the one
before its bottleneck is squeezed; an earlier tensor saves more of the head's work on an empty road, and sees less.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Manifest, Picture
from edgewise.core.errors import ConfigError, ModelError
from edgewise.data.dataset import open_dataset
from edgewise.data.decoding import answers
from edgewise.data.preprocess import fit
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts
from edgewise.graph.load import load
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.split.bound import By, Certified, Held, Scored, certify, held, needed
from edgewise.split.films import STRETCH, alone
from edgewise.split.gate import front, with_filter
from edgewise.split.training.early import of_model
from edgewise.split.training.filter import Features, Learning, Learnt, learn, plain, scores
from edgewise.split.training.roads import Roads, Says, kept, owned, parted, rendered

SHARES = (0.4, 0.1, 0.3, 0.2)  # of a person's blocks: to learn from, to choose, to calibrate, to report on
BUSY, SPARSE, EMPTY = 1, 2, 2  # rendered frames of each scene and weather
LEARN, CHOOSE = 5000, 5200  # first seeds of the renderer
CALIBRATE, TEST = range(100, 200), range(220, 300)  # seeds that no head saw; 200–219 chose how the vehicles head is decoded

log = logging.getLogger(__name__)


class Watch(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole job. `of` is the label not to be missed (any, where empty); `stretch` neighbours in a film are a scene."""

    bundle: Path
    out: Path
    at: str = ""
    of: str = ""
    data: Path | None = None
    work: Path = Path("build/filter")
    scenes: int = 130
    judged: int = 100
    stretch: int = STRETCH
    recall: float = 0.95
    confidence: float = 0.95
    by: By = "blocks"
    learn: float = 0.02
    learning: Learning = Learning()
    threads: int = 1


class Outcome(Struct, frozen=True):
    """What was made, what is known of its threshold, what it did on test frames, how it learned, and what to know of all that.

    `truth` says who judged what is in a picture, `films` how many there were, `warnings` what the recall does not cover.
    """

    manifest: Manifest
    certified: Certified
    test: Held
    learnt: Learnt
    films: int
    truth: str
    warnings: tuple[str, ...] = ()


class Footage(Struct, frozen=True):
    """Frames to learn from, choose on, calibrate on and report on, of how many films; who judged them; `parts` in words."""

    train: Roads
    choose: Roads
    calibrate: Roads
    test: Roads
    films: int
    truth: str
    parts: str
    warning: str = ""


def make(watch: Watch, heard: Callable[[str], None] = log.info) -> Outcome:
    """Do the whole job; ModelError or ConfigError says what cannot be."""
    torch.set_num_threads(watch.threads)
    bundle = Bundle.open(watch.bundle)
    head = bundle_files(watch.bundle)[bundle.manifest.parts["head"].file]
    at = watch.at or latest(head)
    look = _look(bundle.manifest)
    seen = own(watch, bundle, look, heard) if watch.data is not None else roads(watch, look, heard)
    features = of_model(front(head, at), watch.threads)
    learnt = learn(
        features, seen.train, seen.choose, watch.learning, lambda epoch, area: heard(f"epoch {epoch}: ROC-AUC {area:.4f}")
    )
    certified = certify(scored(learnt, features, seen.calibrate), watch.recall, watch.confidence, by=watch.by)
    outcome = held(scored(learnt, features, seen.test), certified.threshold)
    words = (
        f"recall {outcome.recall:.4f} of {outcome.present} frames, {outcome.dropped:.4f} of {outcome.empty} empty ones dropped"
    )
    heard(f"threshold {certified.threshold:.4f}; on test {words}")
    provenance = {
        "filter_learned": f"{len(seen.train)} frames of {len(set(seen.train.block))} scenes, epoch {learnt.epoch} of "
        f"{len(learnt.areas)}, ROC-AUC {max(learnt.areas):.4f} on {len(seen.choose)} others",
        "filter_test": words,
        "filter_truth": seen.truth,
        "filter_scenes": seen.parts,
        "filter_films": str(seen.films),
        "filter_config": msgspec.json.encode(watch.learning).decode(),
    }
    if watch.data is not None:
        provenance["filter_stretch"] = str(watch.stretch)
    if seen.warning:
        provenance["filter_warning"] = seen.warning
    of = _of(watch, bundle)
    manifest = with_filter(watch.bundle, watch.out, at, plain(learnt.net), certified, of, watch.learn, provenance)
    return Outcome(manifest, certified, outcome, learnt, seen.films, seen.truth, tuple(filter(None, [seen.warning])))


def own(watch: Watch, bundle: Bundle, look: Picture, heard: Callable[[str], None]) -> Footage:
    """A person's own pictures in four runs of scenes; ConfigError where they are too few for the recall that is asked for."""
    assert watch.data is not None
    data = open_dataset(watch.data)
    found, films = owned(data, watch.of, look, watch.stretch, None if data.labelled else _says(bundle))
    scenes = len(set(found.block))
    heard(
        f"{len(found)} pictures in {scenes} scenes of {films} films, something in {int(found.present.sum())}; "
        f"{len(data.unreadable)} could not be read"
    )
    _enough(watch, found)
    train, choose, calibrate, test = parted(found, SHARES)
    _enough(watch, found, calibrate)
    truth = (
        f"labels ({data.kind})"
        if data.labelled
        else "the model itself, for nobody labelled the pictures: recall is of what it sees, and what it misses counts as empty"
    )
    parts = f"{scenes} scenes of {watch.stretch} neighbouring pictures, in four runs with a scene left out between two"
    return Footage(train, choose, calibrate, test, films, truth, parts, alone(found.condition))


def _enough(watch: Watch, found: Roads, calibrate: Roads | None = None) -> None:
    """ConfigError, before anything is learned, where too few scenes that calibrate hold anything; it says how many it takes."""
    least = needed(watch.recall, watch.confidence, watch.by)
    scenes = len(set(found.block))
    if calibrate is None:  # not even if something were in every scene
        there = int(SHARES[2] * max(0, scenes - len(SHARES) + 1))
    else:
        there = len({b for b, p in zip(calibrate.block, calibrate.present, strict=True) if p})
    if there >= least:
        return
    whole = round(least / SHARES[2]) + len(SHARES) - 1
    raise ConfigError(
        "the scenes are too few to know that recall",
        got=f"{there} to calibrate on with something in them, of {scenes} in all ({len(found)} pictures)",
        allowed=f"{least} or more for recall {watch.recall:g} with confidence {watch.confidence:g}: some {whole} in all",
        hint=f"Frames of one scene count once. That is some {whole} folders, or {whole * watch.stretch:,} pictures of one film "
        f"in scenes of {watch.stretch} (--stretch); a lower --recall takes fewer, and so do pictures taken further apart.",
    )


def roads(watch: Watch, look: Picture, heard: Callable[[str], None]) -> Footage:
    """Rendered roads, made once: as many scenes to report on as to calibrate on, as far as there are seeds."""
    if not 1 <= watch.judged <= len(CALIBRATE):
        raise ConfigError("there are not so many rendered scenes to judge on", got=watch.judged, allowed=f"1 to {len(CALIBRATE)}")
    size = f"{look.width}x{look.height}"
    found = []
    for seeds, compressed in (
        (range(LEARN, LEARN + watch.scenes), 0.3),
        (range(CHOOSE, CHOOSE + max(watch.scenes // 4, 2)), 0.0),
        (CALIBRATE[: watch.judged], 0.0),
        (TEST[: watch.judged], 0.0),
    ):
        busy, sparse, empty = (BUSY, SPARSE, EMPTY) if seeds.start >= LEARN else (1, 1, 2)
        make = partial(rendered, seeds, look, busy, sparse, empty, compressed)
        heard(f"{len(seeds)} scenes from seed {seeds.start} on")
        found.append(kept(watch.work / f"{size}-{seeds.start}-{len(seeds)}.npz", make))
    parts = "seeds of the renderer; those that calibrate share two recorded episodes of traffic, those reported on one other"
    train, choose, calibrate, test = found
    return Footage(train, choose, calibrate, test, 0, "the renderer", parts)


def scored(learnt: Learnt, features: Features, roads: Roads) -> Scored:
    return Scored(scores(learnt.net, features, roads.pictures), roads.present, roads.block)


def latest(head: bytes) -> str:
    """The last tensor of a head that is a map with more values than the bottleneck, and can be cut at: what is squeezed next."""
    graph = graph_of(load(head))
    squeezed = graph.bytes(graph.outputs)
    found = [
        c.tensors[0] for c in cuts(graph, 1) if c.full and len(graph.tensors[c.tensors[0]].shape) == 4 and c.bytes > squeezed
    ]
    found = [name for name in found if graph.tensors[name].dtype == "float32"]
    if not found:
        raise ModelError("the head has no early map that a filter could look at", hint="Name a tensor with --at.")
    return found[-1]


def _look(manifest: Manifest) -> Picture:
    if "head" not in manifest.pictures:
        raise ModelError(
            f"the head of {manifest.name} takes no picture", allowed="a bundle without a filter whose head takes pictures"
        )
    return manifest.pictures["head"]


def _of(watch: Watch, bundle: Bundle) -> str:
    """What is not to be missed, in the bundle's words; nothing where it is anything of several."""
    labels = bundle.manifest.labels
    return watch.of or (labels[0] if len(labels) == 1 else "")


def _says(bundle: Bundle) -> Says:
    """The labels that head and tail see in a picture."""
    manifest = bundle.manifest
    head, tail = bundle.session("head"), bundle.session("tail")
    look = _look(manifest)

    def said(image: NDArray[np.uint8]) -> set[str]:
        crossing = next(iter(head.run({head.inputs[0].name: fit(image, look)}).values()))
        (answer,) = answers(tail.run({tail.inputs[0].name: crossing}), manifest.decoding, manifest.labels)
        return {box.label for box in answer.boxes} | {one.label for one in answer.classes[:1]}

    return said


def main() -> None:
    import tyro

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    make(tyro.cli(Watch, description=__doc__))


if __name__ == "__main__":
    main()
