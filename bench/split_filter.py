"""The neural filter: does the bound on its recall hold, and what becomes of the bytes of empty frames?

The classifier learns on the vehicles head's early features from scenes of its own, its epoch is chosen on others. 180 scenes
(seeds 100–199 and 220–299; 200–219 chose how the head is decoded) that neither head nor filter ever saw are parted 20 times,
whole scenes on either side, into calibration (two thirds) and test: each time a threshold is certified (recall 0.95, confidence
0.95) and judged on the other side. "Holds" is read literally: the recall that is seen on the test frames is 0.95 or more. Bytes
are those of the bundle's own points for the empty frames of the test side, less the share that goes up to learn from.

Those 20 splits differ in cameras, paint, weather and moments, but not in traffic: the renderer drives three recorded episodes of
240 s (one for seeds 220–299, two for 100–199), and vehicles of each are on both sides. So two more splits are by episode:
calibrated on one recording of the traffic, judged on the others, and the other way round.

Baselines on the same splits, by the same bound: the JPEG's size as a score (a busy picture has more bytes), and the whole
detector's strongest cell, which is what a device would know had it the tail too. Real footage: a clip in which every frame
holds vehicles (learnt by the head, not by the filter), and unlabelled stills by day and by night, of which only the share
dropped is known."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.detector import packs
from bench.report import ROOT, Report, Row, Target, at_least
from bench.split_vehicles import SHIPPED
from edgewise.codec.image import ImageCodec
from edgewise.codec.select import codec_for
from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError, EdgewiseError
from edgewise.core.wire import socket_bytes
from edgewise.data.pack import open_pack
from edgewise.data.picture import SUFFIXES, read_picture
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle
from edgewise.split.bound import By, Certified, Scored, certify, held, splits
from edgewise.split.gate import front, gated, seconds
from edgewise.split.training.early import of_model
from edgewise.split.training.filter import Features, Learning, Learnt, area, learn, plain, scores
from edgewise.split.training.roads import Roads, joined, kept, rendered

AT = "relu_7"  # what the head squeezes into its bottleneck
LOOK = Picture(320, 180)
WORK = ROOT / "bench" / "out" / "filter"
COUNT, SHARE = 20, 2 / 3  # splits, and how much of the scenes calibrates
TESTING, CHOSEN = 100, 220  # first seeds: traffic of two episodes, and of one other
LEARN = 0.02  # share of the dropped frames that goes up all the same, as in `edgewise.split.gate`
SAME = "same traffic on both sides"
RECALL = CONFIDENCE = 0.95
GONE = 0.5
NIGHT = ("night", "low_light")
Kinds = tuple[int, int, int]


def run(quick: bool) -> Report:
    learning = Learning(epochs=2 if quick else 14)
    sizes, kinds = ((12, 6, 120), (0, 1, 1)) if quick else ((130, 32, 180), (1, 1, 2))
    train = _roads(5000, sizes[0], (1, 2, 2), 0.3)
    choose = _roads(5200, sizes[1], (1, 2, 2))
    pool = joined([_roads(first, scenes, kinds) for first, scenes in ((TESTING, 100), (CHOSEN, sizes[2] - 100))])
    head = (SHIPPED / "head.onnx").read_bytes()
    features = of_model(front(head, AT))
    learnt = learn(features, train, choose, learning)
    frames = Scored(scores(learnt.net, features, pool.pictures), pool.present, pool.block)
    rows = [
        Row("filter", "ROC-AUC, choosing", max(learnt.areas), "", len(choose)),
        Row("filter", "ROC-AUC, scenes never seen", area(frames.score, frames.present), "", len(pool)),
        Row("filter", "parameters", sum(p.numel() for p in learnt.net.parameters()), ""),
        *_times(head, learnt),
    ]
    sent = _bytes(pool)
    bound: By = "blocks"
    found = _splits(frames, bound)
    rows += _judged("filter", frames, found, pool, sent)
    rows += _by_episode(frames)
    rows += _judged("filter, one draw a scene", frames, _splits(frames, "draw"), pool, {})
    for name, score in _baselines(pool).items():
        other = Scored(score, pool.present, pool.block)
        rows.append(Row(name, "ROC-AUC, scenes never seen", area(score, pool.present), "", len(pool)))
        grid = np.linspace(0, 1, 401).tolist()
        rows += _judged(name, other, _splits(other, bound, grid), pool, {})
    threshold = float(np.median([certified.threshold for certified, _ in found]))
    rows += _real(learnt, features, threshold)
    config = {"at": AT, "epochs": learning.epochs, "learnt": len(train), "scenes": len(set(pool.block)), "frames": len(pool)}
    config["traffic"] = "20 splits by scene: the same recorded episodes on both sides; rows by episode: others on either side"
    return Report(rows, _targets(rows), config)


def _roads(first: int, scenes: int, kinds: Kinds, compressed: float = 0.0) -> Roads:
    """Frames that are rendered once; they are what `edgewise.split.training.filter_job` renders."""
    name = f"320x180-{first}-{scenes}" + ("" if sum(kinds) > 3 else "-few")
    make = functools.partial(rendered, range(first, first + scenes), LOOK, *kinds, compressed)
    return kept(WORK / f"{name}.npz", make)


def _splits(frames: Scored, by: By, grid: Sequence[float] | None = None) -> list[tuple[Certified, Scored]]:
    """The certified threshold of each split, and its test side."""
    options = {} if grid is None else {"grid": grid}
    return [
        (certify(frames.of(calibrate), RECALL, CONFIDENCE, by=by, seed=number, **options), frames.of(test))
        for number, (calibrate, test) in enumerate(splits(frames.block, COUNT, 0, SHARE))
    ]


def _judged(
    case: str, frames: Scored, found: Sequence[tuple[Certified, Scored]], pool: Roads, sent: Mapping[str, NDArray[np.int64]]
) -> list[Row]:
    """Recall and what was dropped over the splits, by condition; bytes of empty frames that were not sent, by point."""
    tests = [(certified.threshold, held(test, certified.threshold)) for certified, test in found]
    recalls = [h.recall for _, h in tests]
    rows = [
        _over(case, f"recall on test, 20 splits ({SAME})", recalls),
        Row(case, f"splits whose test recall is 0.95 or more ({SAME})", float(sum(r >= RECALL for r in recalls)), "", len(tests)),
        _over(case, f"empty frames dropped on test, 20 splits ({SAME})", [h.dropped for _, h in tests]),
        _over(case, "threshold, 20 splits", [t for t, _ in tests]),
    ]
    condition = np.array(pool.condition)
    kinds = {c: condition == c for c in dict.fromkeys(pool.condition)} | {"night footage": np.isin(condition, NIGHT)}
    block = np.array(pool.block)
    sides = [np.isin(block, list(set(test.block))) for _, test in found]
    for name, here in kinds.items():
        dropped = [
            float((frames.score[here & side & ~pool.present] < t).mean()) for (t, _), side in zip(tests, sides, strict=True)
        ]
        kept_ = [float((frames.score[here & side & pool.present] >= t).mean()) for (t, _), side in zip(tests, sides, strict=True)]
        rows += [_over(case, f"recall, {name}", kept_), _over(case, f"empty frames dropped, {name}", dropped)]
    for point, size in sent.items():
        for name, here in {"all empty roads": np.ones(len(pool), bool), "night footage": kinds["night footage"]}.items():
            gone = []
            for (threshold, _), side in zip(tests, sides, strict=True):
                empty = here & side & ~pool.present
                gone.append((1 - LEARN) * float(size[empty & (frames.score < threshold)].sum() / size[empty].sum()))
            rows.append(_over(case, f"bytes of empty frames gone, {point}, {name}", gone))
    return rows


def _by_episode(frames: Scored) -> list[Row]:
    """Calibrated on the traffic of one role of seeds, judged on that of the other; where they are too few, how many."""
    names = list(dict.fromkeys(frames.block))
    one = [n for n in names if int(n.split()[1]) >= CHOSEN]
    two = [n for n in names if int(n.split()[1]) < CHOSEN]
    rows = []
    for case, calibrate, test in (
        ("filter, calibrated on one episode, judged on two others", one, two),
        ("filter, calibrated on two episodes, judged on one other", two, one),
    ):
        try:
            certified = certify(frames.of(calibrate), RECALL, CONFIDENCE)
        except ConfigError:  # quick runs have few scenes, and one that is missed whole makes 80 too few
            rows.append(Row(case, "scenes, too few to certify", float(len(calibrate)), "", len(calibrate)))
            continue
        found = held(frames.of(test), certified.threshold)
        rows += [
            Row(case, "threshold", certified.threshold, "", certified.n),
            Row(case, "recall on test", found.recall, "", found.present),
            Row(case, "empty frames dropped on test", found.dropped, "", found.empty),
        ]
    return rows


def _bytes(pool: Roads) -> dict[str, NDArray[np.int64]]:
    """Bytes on a socket that each empty frame of the pool costs without a filter, by point (0 where something is in it)."""
    bundle = Bundle.open(SHIPPED)
    head = bundle.session("head")
    found: dict[str, NDArray[np.int64]] = {}
    for name in ("split-4", "split-2"):
        codec = codec_for(bundle.manifest.point(name), bundle.manifest)
        size = np.zeros(len(pool), np.int64)
        for i in np.flatnonzero(~pool.present):
            size[i] = socket_bytes(len(codec.encode(head.run({"picture": pool.pictures[i : i + 1]})["bottleneck"])))
        found[name] = size
    return found


def _baselines(pool: Roads) -> dict[str, NDArray[np.float64]]:
    bundle = Bundle.open(SHIPPED)
    head, tail, jpeg = bundle.session("head"), bundle.session("tail"), ImageCodec("jpeg", 50)
    size = np.array([len(jpeg.encode(p)) for p in pool.pictures], float)
    strongest = [
        float(tail.run({"bottleneck": head.run({"picture": p[None]})["bottleneck"]})["score"].max()) for p in pool.pictures
    ]
    return {"JPEG size": size / size.max(), "whole detector": np.array(strongest)}


def _times(head: bytes, learnt: Learnt) -> list[Row]:
    import time

    gate, rest = gated(head, AT, plain(learnt.net))
    taken = {"head without a filter": head, "filter and early features": gate, "rest of the head": rest}
    return [Row("filter", f"CPU time, {name}", seconds(model, time.thread_time, 60), "s", 60) for name, model in taken.items()]


def _real(learnt: Learnt, features: Features, threshold: float) -> list[Row]:
    """Shares of real frames that pass or go; pictures that cannot be read are counted."""
    rows = []
    for name in ("opendatacam", "traffic-stills"):
        path = packs() / f"{name}.tar"
        if not path.exists():
            continue
        pack = open_pack(path)
        names, pictures, unreadable = [], [], 0
        for file in pack.names:
            if not file.lower().endswith(tuple(SUFFIXES)) or "_filtered" in file:
                continue
            try:
                pictures.append(fit(read_picture(pack.read(file), file), LOOK)[0])
                names.append(file)
            except EdgewiseError:
                unreadable += 1
        score = scores(learnt.net, features, np.stack(pictures))
        if name == "opendatacam":
            rows.append(
                Row("real clip, vehicles in every frame", "frames that pass", float((score >= threshold).mean()), "", len(score))
            )
            continue
        hour = np.array([int(n.replace("-", "_").split("20200")[1].split("_")[1][:2]) for n in names])
        night = (hour >= 21) | (hour < 6)
        for when, here in (("by day", ~night), ("by night", night)):
            rows.append(
                Row(
                    f"real stills {when}, unlabelled",
                    "frames dropped",
                    float((score[here] < threshold).mean()),
                    "",
                    int(here.sum()),
                )
            )
        rows.append(Row("real stills", "files that are no pictures", float(unreadable), "", len(names) + unreadable))
    return rows


def _over(case: str, metric: str, values: Sequence[float]) -> Row:
    return Row(case, metric, float(np.mean(values)), "", len(values), float(min(values)), float(max(values)))


def _targets(rows: list[Row]) -> list[Target]:
    def row(metric: str) -> Row:
        return next(r for r in rows if r.case == "filter" and r.metric == metric)

    reason = "the filter learned for minutes on rendered scenes; see rows by condition"
    return [
        at_least(
            "filter: recall bound 0.95 holds, of 20 splits by scene",
            0.95 * COUNT,
            row(f"splits whose test recall is 0.95 or more ({SAME})"),
            reason,
        ),
        at_least(
            "filter: share of the bytes of empty-road frames gone (split-4)",
            GONE,
            row("bytes of empty frames gone, split-4, all empty roads"),
            reason,
        ),
        at_least(
            "filter: share of the bytes of empty night frames gone (split-4)",
            GONE,
            row("bytes of empty frames gone, split-4, night footage"),
            reason,
        ),
    ]
