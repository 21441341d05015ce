"""A filter for any bundle, from pictures to a guarded bundle, by one command; frames that were made are kept.

    python -m edgewise.split.training.filter_job --bundle edgewise/bundles/vehicles --at relu_7 --out build/vehicles-filter

Without --data the pictures are rendered roads, busy, nearly empty and empty. With it they are a person's own: labelled (COCO,
YOLO, VOC, class folders), or not, and then the uncut model says what is in them. Four kinds of scenes never mix: to learn from,
to choose the epoch on, to calibrate the threshold on, to report on. Without --at the filter looks at the last early map of the
head, the one before its bottleneck is squeezed; an earlier tensor saves more of the head's work on an empty road, and sees less.
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
from edgewise.core.errors import ModelError
from edgewise.data.dataset import open_dataset
from edgewise.data.decoding import answers
from edgewise.data.preprocess import fit
from edgewise.graph.count import graph_of
from edgewise.graph.cut import cuts
from edgewise.graph.load import load
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.split.bound import By, Certified, Held, Scored, certify, held
from edgewise.split.gate import front, with_filter
from edgewise.split.training.early import of_model
from edgewise.split.training.filter import Features, Learning, Learnt, learn, plain, scores
from edgewise.split.training.roads import Roads, Says, kept, owned, parted, rendered

SHARES = (0.4, 0.1, 0.3, 0.2)  # of a person's blocks: to learn from, to choose, to calibrate, to report on
BUSY, SPARSE, EMPTY = 1, 2, 2  # rendered frames of each scene and weather
LEARN, CHOOSE, CALIBRATE, TEST = 5000, 5200, 200, 100  # first seeds of the renderer; the last two were never seen by any head

log = logging.getLogger(__name__)


class Watch(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole job. `of` is the label not to be missed (any, where empty); `stretch` neighbouring pictures are a scene."""

    bundle: Path
    out: Path
    at: str = ""
    of: str = ""
    data: Path | None = None
    work: Path = Path("build/filter")
    scenes: int = 130
    judged: int = 100
    stretch: int = 15
    recall: float = 0.95
    confidence: float = 0.95
    by: By = "blocks"
    learn: float = 0.02
    learning: Learning = Learning()
    threads: int = 1


class Outcome(Struct, frozen=True):
    """What was made, what is known of its threshold, what it did on test frames, and how it learned."""

    manifest: Manifest
    certified: Certified
    test: Held
    learnt: Learnt


def make(watch: Watch, heard: Callable[[str], None] = log.info) -> Outcome:
    """Do the whole job; ModelError or ConfigError says what cannot be."""
    torch.set_num_threads(watch.threads)
    bundle = Bundle.open(watch.bundle)
    head = bundle_files(watch.bundle)[bundle.manifest.parts["head"].file]
    at = watch.at or latest(head)
    look = _look(bundle.manifest)
    train, choose, calibrate, test = frames(watch, bundle, look, heard)
    features = of_model(front(head, at), watch.threads)
    learnt = learn(features, train, choose, watch.learning, lambda epoch, area: heard(f"epoch {epoch}: ROC-AUC {area:.4f}"))
    certified = certify(scored(learnt, features, calibrate), watch.recall, watch.confidence, by=watch.by)
    outcome = held(scored(learnt, features, test), certified.threshold)
    seen = f"recall {outcome.recall:.4f} of {outcome.present} frames, {outcome.dropped:.4f} of {outcome.empty} empty ones dropped"
    heard(f"threshold {certified.threshold:.4f}; on test {seen}")
    told = {
        "filter_learned": f"{len(train)} frames of {len(set(train.block))} scenes, epoch {learnt.epoch} of {len(learnt.areas)}, "
        f"ROC-AUC {max(learnt.areas):.4f} on {len(choose)} others",
        "filter_test": seen,
        "filter_config": msgspec.json.encode(watch.learning).decode(),
    }
    manifest = with_filter(watch.bundle, watch.out, at, plain(learnt.net), certified, _of(watch, bundle), watch.learn, told)
    return Outcome(manifest, certified, outcome, learnt)


def frames(watch: Watch, bundle: Bundle, look: Picture, heard: Callable[[str], None]) -> list[Roads]:
    """Frames to learn from, to choose on, to calibrate on and to report on; no scene is in two of them."""
    if watch.data is not None:
        data = open_dataset(watch.data)
        roads = owned(data, watch.of, look, watch.stretch, None if data.labelled else _says(bundle))
        heard(f"{len(roads)} pictures, something in {int(roads.present.sum())}; {len(data.unreadable)} could not be read")
        return parted(roads, SHARES, watch.learning.seed)
    size = f"{look.width}x{look.height}"
    found = []
    for first, scenes, compressed in (
        (LEARN, watch.scenes, 0.3),
        (CHOOSE, max(watch.scenes // 4, 2), 0.0),
        (CALIBRATE, watch.judged, 0.0),
        (TEST, watch.judged, 0.0),
    ):
        busy, sparse, empty = (BUSY, SPARSE, EMPTY) if first >= LEARN else (1, 1, 2)
        make = partial(rendered, range(first, first + scenes), look, busy, sparse, empty, compressed)
        heard(f"{scenes} scenes from seed {first} on")
        found.append(kept(watch.work / f"{size}-{first}-{scenes}.npz", make))
    return found


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
