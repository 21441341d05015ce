"""The byte guard: what noise and an attack on the rate cost without it, and that with it no frame is larger than its budget.

The attacker has everything: weights, tables, quantiser; it climbs the bits of the tables through the torch head, which has the
weights of the bundle. The budget comes from clean frames of other scenes: at most 1 % of clean frames lose a layer
(`edgewise.split.guard`). Quality is cell F1 on the same frames, with and without the guard. Baselines: the same codes by
`affine` (Deflate, no guard). The budget holds for payloads; all bytes here are those of a socket."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from bench.report import Report, Row, Target, at_most
from bench.split_vehicles import SHIPPED, Subject, answered, features_of, subject, testing, truth
from edgewise.codec.features import FeatureCodec
from edgewise.codec.tensor import TensorCodec
from edgewise.core.wire import socket_bytes
from edgewise.split.training.attack import Rate, attacked, weighted
from edgewise.training.nets.detector import Head

LEVELS = 16
PHOTONS = 12  # a white pixel's, in shot noise: the third of five steps of ImageNet-C
STEPS = 20
WANTED_LOSS = 0.01  # of cell F1
Pictures = NDArray[np.uint8]


def run(quick: bool) -> Report:
    fitted, scenes, few = (8, 6, 6) if quick else (24, 40, 60)
    of = subject((LEVELS,), fitted)
    coding = of.codings[LEVELS]
    free, guarded = (FeatureCodec(of.bottleneck, msgspec.structs.replace(coding, most=m)) for m in (0, coding.most))
    affine = TensorCodec(of.bottleneck, LEVELS.bit_length() - 1)
    frames = testing(scenes)
    true = truth(frames)
    chosen = np.random.default_rng(0).permutation(len(frames))[:few]
    budget = socket_bytes(coding.most)
    rows = [Row("guard", "budget", budget, "bytes")]
    largest = 0
    for name, pictures, of_frames in _inputs(of, frames.pictures, chosen):
        features = features_of(of.head, pictures)
        without, kept = ([codec.encode(one[None]) for one in features] for codec in (free, guarded))
        deflated = [affine.encode(one[None]) for one in features]
        for said, payloads in (("without guard", without), ("with guard", kept), ("affine", deflated)):
            sizes = [socket_bytes(len(p)) for p in payloads]
            largest = max(largest, *sizes) if payloads is kept else largest
            low, high = np.quantile(sizes, (0.05, 0.95))
            rows.append(Row(name, f"bytes {said}", float(np.mean(sizes)), "bytes", len(sizes), float(low), float(high)))
            rows.append(Row(name, f"largest frame {said}", float(max(sizes)), "bytes", len(sizes)))
        lost = np.mean([guarded.layers(p) < guarded.total for p in kept])
        rows.append(Row(name, "frames that lost a layer", float(lost), "", len(kept)))
        if of_frames is not None:
            for said, codec, payloads in (("without guard", free, without), ("with guard", guarded, kept)):
                rows.append(Row(name, f"cell F1 {said}", answered(of, codec, payloads, true[of_frames]), "", len(payloads)))
    return Report(
        rows, _targets(rows, largest, budget), {"levels": LEVELS, "frames": len(frames), "attacked": few, "steps": STEPS}
    )


def _inputs(
    of: Subject, pictures: Pictures, chosen: NDArray[np.int64]
) -> Iterator[tuple[str, Pictures, NDArray[np.int64] | None]]:
    """Name, pictures, and of which frames they are (None where no truth belongs to them)."""
    everything = np.arange(len(pictures))
    generator = np.random.default_rng(1)
    yield "clean", pictures, everything
    yield "clean, those attacked", pictures[chosen], chosen
    shot = generator.poisson(pictures[chosen] / 255 * PHOTONS) / PHOTONS * 255
    yield "shot noise", np.clip(shot, 0, 255).astype(np.uint8), chosen
    yield "uniform noise", generator.integers(0, 256, pictures[chosen].shape, np.uint8), None
    board = np.indices(pictures.shape[1:3]).sum(0) % 2 * 255
    extremes = [np.zeros_like(pictures[0]), np.full_like(pictures[0], 255), np.repeat(board[..., None], 3, 2).astype(np.uint8)]
    coarse = np.kron(generator.integers(0, 2, (len(chosen), 45, 80, 1)), np.ones((1, 4, 4, 3), int)) * 255
    yield "extremes", np.concatenate([np.stack(extremes), coarse.astype(np.uint8)]), None
    head = weighted(Head(of.bottleneck.channels), of.bundle.manifest, "head", (SHIPPED / "head.onnx").read_bytes())
    assert isinstance(head, Head)
    torch.set_num_threads(1)

    def encode(x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (0, 0, 0, -x.shape[2] % 8), mode="replicate")
        features: torch.Tensor = head.level(head.squeeze(head.body(padded)))  # not clamped: `Rate` holds it
        return features

    rate = Rate(of.bottleneck, of.codings[LEVELS])
    for bound in (8, 16):
        found = [attacked(encode, rate, pictures[chosen[i : i + 6]], bound / 255, STEPS, i) for i in range(0, len(chosen), 6)]
        yield f"PGD on the rate, {bound}/255", np.concatenate(found), chosen


def _targets(rows: list[Row], largest: int, most: int) -> list[Target]:
    def value(case: str, metric: str) -> float:
        return next(row.value for row in rows if (row.case, row.metric) == (case, metric))

    grown = value("PGD on the rate, 8/255", "bytes without guard") / value("clean, those attacked", "bytes without guard")
    rows.append(Row("guard", "PGD 8/255 against clean, without guard", grown, ""))
    loss = value("clean", "cell F1 without guard") - value("clean", "cell F1 with guard")
    frames = sum(row.n for row in rows if row.metric == "bytes with guard")
    over = Row("guard", "largest frame with guard, of all inputs", float(largest), "bytes", frames)
    cost = Row("guard", "cell F1 lost on clean frames", loss, "", next(r.n for r in rows if r.case == "clean"))
    rows += [over, cost]
    return [
        at_most("byte guard: the largest frame under noise and attack against its budget (bytes)", most, over, "the guard leaks"),
        at_most("byte guard: quality lost on clean frames (cell F1)", WANTED_LOSS, cost, "the budget is too tight"),
    ]
