"""A detector of others, of which only the ONNX file is there, split by GHND: YOLOX-nano on openly licensed COCO photographs.

The student (bench/split_coco_student) learns from unlabelled pictures for minutes on one core. It is scored on the 27
pictures of `coco-open/val2017` beside its teacher and JPEG of quality 75, of the picture as it is and of 416 px (of 25 too,
which has about the split's bytes), answered by the teacher. Bytes are whole frames on a socket. AP50 is COCO's (101 points,
the best class of each cell, scores above 0.02, suppression at 0.6); intervals (95 %) draw pictures again, differences are
paired.

27 pictures and minutes of training are what they are: intervals are wide, and the student is not what hours would make of it.
The packs are not part of the project, nor is anything derived from the teacher's weights: checkpoints stay in the build
folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from bench.report import ROOT, Report, Row, Target, left_out
from bench.split_ways import Wire
from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Bottleneck
from edgewise.data.boxes import overlaps
from edgewise.data.labelled import Labelled
from edgewise.data.pack import open_pack
from edgewise.data.picture import read_picture
from edgewise.data.readers.coco import read_coco
from edgewise.runtime.session import Session
from edgewise.split.points import coded, ranged

PACKS = ROOT.parent / "shared" / "data"
MODEL, COCO, OTHERS = (PACKS / name for name in ("detectors/yolox_nano.onnx", "coco-open.tar", "imagenette.tar"))
WORK = ROOT / "build" / "split_coco"
FULL, QUICK = 600.0, 6.0  # seconds of training
BITS = (8, 4, 3, 2)
LOW = 25  # the quality at which a JPEG of 416 px has about the bytes of a split
COUNTED = 96  # training pictures that tables are fitted on
STRIDES, LEAST, OVERLAP, HIT = (8, 16, 32), 0.02, 0.6, 0.5
DRAWS = 500
BELOW = 0.015
NAME = "a YOLOX-nano split from its ONNX file, against JPEG q75 of the picture as it is"
WANT = f"<= 1/4 of its bytes, AP50 at most {100 * BELOW:.1f} points below it"
Floats = NDArray[np.float64]


class Found(Struct, frozen=True):
    """What was found in one picture: class, score, corners in px of the network, strongest first."""

    label: NDArray[np.int64]
    score: Floats
    corners: Floats


class Way(Struct, frozen=True):
    """One way to answer: bytes of each frame, and for each picture the scores and hits of each class."""

    case: str
    bytes: tuple[int, ...]
    matched: tuple[dict[int, tuple[Floats, NDArray[np.bool_]]], ...]


class Set(Struct, frozen=True):
    """Pictures with their truth: by class the boxes in px of the network."""

    pictures: tuple[NDArray[np.uint8], ...]
    true: tuple[dict[int, Floats], ...]

    def way(self, case: str, sizes: Sequence[int], outputs: NDArray[np.float32]) -> Way:
        return Way(case, tuple(sizes), tuple(matched(found(o), t) for o, t in zip(outputs, self.true, strict=True)))

    def drawn(self, way: Way) -> Floats:
        """AP50 over pictures drawn again, the same drawings for every way."""
        rows = np.random.default_rng(0).integers(0, len(self.true), (DRAWS, len(self.true)))
        return np.array([self.precision(way, r.tolist()) for r in rows])

    def precision(self, way: Way, rows: Sequence[int]) -> float:
        """AP50 over some of the pictures: the mean over the classes that are there."""
        classes = {c for i in rows for c in self.true[i]}
        each = []
        for c in classes:
            parts = [way.matched[i][c] for i in rows if c in way.matched[i]]
            count = sum(len(self.true[i].get(c, ())) for i in rows)
            score, hit = (np.concatenate([p[k] for p in parts]) if parts else np.zeros(0) for k in (0, 1))
            each.append(average(hit[np.argsort(-score, kind="stable")], count))
        return float(np.mean(each))


def run(quick: bool, work: Path | None = None) -> Report:
    """Rows of every way and paired differences; `work` holds checkpoints instead of the build folder."""
    lacking = [p.name for p in (MODEL, COCO, OTHERS) if not p.exists()]
    if lacking:
        return Report([], [left_out(NAME, WANT, f"packs are not here: {', '.join(lacking)}")])
    from bench import split_coco_student as student

    made = student.taught(MODEL, COCO, OTHERS, work or WORK / ("quick" if quick else "full"), QUICK if quick else FULL)
    head, tail, full = (Session.load(made.parts.models[part], 1) for part in ("head", "tail", "full"))
    at = judged()
    seen = np.stack([student.boxed(p) for p in at.pictures])
    source = student.Pictures(open_pack(COCO), open_pack(OTHERS), student.SEED)
    counted = np.linspace(0, len(source) - 1, 8 if quick else COUNTED).round().astype(int).tolist()
    features = np.concatenate([_run(head, source.of([i])) for i in counted])
    held = ranged(features, True)
    bottleneck = Bottleneck(made.parts.shape, held.low, held.high)
    wire = Wire()
    teacher = at.way("teacher", [p.size for p in seen], _all(full, seen))
    ways = [teacher]
    for name, coding in coded(bottleneck, features, BITS, range(bottleneck.channels)).items():
        codec = FeatureCodec(bottleneck, coding)
        came = [wire.carry(codec.encode(_run(head, p[None]))) for p in seen]
        outputs = np.concatenate([_run(tail, codec.decode(payload)) for payload, _ in came])
        case = f"GHND, {bottleneck.channels} channels, {name.removeprefix('split-')} bits"
        ways.append(at.way(case, [size for _, size in came], outputs))
    small = [_small(p, student.SIDE) for p in at.pictures]
    for case, quality, pictures in (("as it is", 75, at.pictures), ("416 px", 75, small), ("416 px", LOW, small)):
        jpeg = ImageCodec("jpeg", quality)
        came = [wire.carry(jpeg.encode(p)) for p in pictures]
        outputs = _all(full, np.stack([student.boxed(jpeg.decode(payload)) for payload, _ in came]))
        ways.append(at.way(f"JPEG q{quality}, {case}", [size for _, size in came], outputs))
    wire.close()
    splits, jpegs = [w for w in ways if w.case.startswith("GHND")], ways[-3:]
    drawn = {way.case: at.drawn(way) for way in ways}
    rows = [row for way in ways for row in rows_of(way, at, drawn[way.case], way is teacher)]
    rows += [paired(way, other, at, drawn) for way in splits for other in (teacher, *jpegs)]
    rows += [paired(way, teacher, at, drawn) for way in jpegs]
    by = {way.case: paired(way, jpegs[0], at, drawn) for way in splits}
    config: dict[str, Any] = {
        "trained": f"{made.learnt.steps} steps of 4 pictures in {made.learnt.seconds:.0f} s of a shared machine, one thread",
        "cut": student.CUT,
        "paths": list(student.PATHS),
        "pictures": len(source),
        "seed": student.SEED,
    }
    return Report(rows, [judgement(splits, by, jpegs[0])], config, "socket pair", "onnxruntime CPU")


def judged() -> Set:
    """The pictures of val2017 and their boxes."""
    pack, place = open_pack(COCO), "coco-open/annotations/instances_val2017.json"
    labels = read_coco(pack, place, "coco-open/val2017")
    names = [c["name"] for c in sorted(json.loads(pack.read(place))["categories"], key=lambda c: c["id"])]
    pictures = tuple(read_picture(pack.read(x.identity), x.identity) for x in labels.pictures)
    return Set(pictures, tuple(_truth(x, names, p.shape) for x, p in zip(labels.pictures, pictures)))


def _truth(labelled: Labelled, names: Sequence[str], shape: tuple[int, ...]) -> dict[int, Floats]:
    r = min(416 / shape[1], 416 / shape[0])
    scale = np.array([shape[1], shape[0]] * 2) * r
    boxes: dict[int, list[Floats]] = {}
    for b in labelled.boxes:
        boxes.setdefault(names.index(b.label), []).append(np.array([b.x0, b.y0, b.x1, b.y1]) * scale)
    return {c: np.stack(v) for c, v in boxes.items()}


def found(output: NDArray[np.float32]) -> Found:
    """Boxes of one raw output (3549, 85)."""
    grid = []
    for stride in STRIDES:
        n = 416 // stride
        y, x = np.divmod(np.arange(n * n), n)
        grid.append(np.stack([x, y, np.full(n * n, stride)], 1))
    cells = np.concatenate(grid).astype(np.float64)
    raw = output.astype(np.float64)
    centre, half = (raw[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(raw[:, 2:4]) * cells[:, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], 1)
    best = raw[:, 5:].argmax(1)
    scores = raw[:, 4] * raw[np.arange(len(raw)), 5 + best]
    row = np.flatnonzero(scores > LEAST)
    row = row[np.argsort(-scores[row], kind="stable")]
    label = best[row]
    kept: list[int] = []
    for c in np.unique(label):
        some = np.flatnonzero(label == c)
        between = overlaps(corners[row[some]], corners[row[some]])
        chosen: list[int] = []
        for k in range(len(some)):
            if not any(between[k, j] > OVERLAP for j in chosen):
                chosen.append(k)
        kept += some[chosen].tolist()
    kept.sort()
    return Found(label[kept], scores[row[kept]], corners[row[kept]])


def matched(seen: Found, true: dict[int, Floats]) -> dict[int, tuple[Floats, NDArray[np.bool_]]]:
    """By class scores and hits of one picture, each true box hit once, by the strongest."""
    made = {}
    for c in np.unique(seen.label).tolist():
        some = seen.label == c
        hits = np.zeros(int(some.sum()), bool)
        if c in true:
            between = overlaps(seen.corners[some], true[c])
            free = np.ones(len(true[c]), bool)
            for k in range(len(hits)):
                best = np.where(free, between[k], -1)
                if best.max() >= HIT:
                    hits[k], free[best.argmax()] = True, False
        made[c] = seen.score[some], hits
    return made


def average(hits: NDArray[Any], count: int) -> float:
    """COCO's average precision: the envelope at 101 recalls."""
    right = np.cumsum(hits)
    recall, precision = right / max(count, 1), right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.mean([envelope[p] if p < len(envelope) else 0.0 for p in places]))


def rows_of(way: Way, at: Set, drawn: Floats, raw: bool) -> list[Row]:
    n, (low, high) = len(way.bytes), np.quantile(drawn, (0.025, 0.975)).tolist()
    size = Row(way.case, "frame", float(np.mean(way.bytes)), "bytes", n, *np.quantile(way.bytes, (0.05, 0.95)).tolist())
    return [*([] if raw else [size]), Row(way.case, "AP50", at.precision(way, range(n)), "", n, low, high)]


def paired(way: Way, other: Way, at: Set, drawn: Mapping[str, Floats]) -> Row:
    """AP50 of one less that of another, the same pictures drawn for both."""
    n, (low, high) = len(way.bytes), np.quantile(drawn[way.case] - drawn[other.case], (0.025, 0.975)).tolist()
    value = at.precision(way, range(n)) - at.precision(other, range(n))
    return Row(f"{way.case} less {other.case}", "AP50, paired", value, "", n, low, high)


def judgement(splits: Sequence[Way], by: Mapping[str, Row], jpeg: Way) -> Target:
    """The smallest split that is near enough, or the best of them, chosen on the same pictures: in the split's favour."""
    near = [w for w in splits if by[w.case].value >= -BELOW and 4 * np.mean(w.bytes) <= np.mean(jpeg.bytes)]
    best = min(near, key=lambda w: np.mean(w.bytes)) if near else max(splits, key=lambda w: by[w.case].value)
    row, size, whole = by[best.case], float(np.mean(best.bytes)), float(np.mean(jpeg.bytes))
    got = (
        f"{best.case}: {size:,.0f} B, {size / whole:.2f} of {whole:,.0f} B; AP50 {100 * row.value:+.1f} "
        f"[{100 * (row.low or 0):+.1f}, {100 * (row.high or 0):+.1f}] points on {row.n} pictures"
    )
    return Target(NAME, WANT, got, bool(near), "" if near else "minutes of training on one core are too few for this student")


def _run(session: Session, x: NDArray[Any]) -> NDArray[np.float32]:
    return session.run({session.inputs[0].name: x})[session.outputs[0].name]


def _all(session: Session, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([_run(session, p[None]) for p in pictures])


def _small(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    r = side / max(picture.shape[:2])
    size = max(1, int(picture.shape[1] * r)), max(1, int(picture.shape[0] * r))
    small: NDArray[np.uint8] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return small
