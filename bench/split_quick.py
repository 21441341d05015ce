"""`split quick` on eight models by name: agreement and bytes at every cut, without training.

ResNet-18, MobileNetV2, a DenseNet, a ViT, a YOLO-type detector of three outputs, a segmentation net, an audio CNN (`bench.zoo`,
weights of a few minutes) and the demo's detector; beside them, as further rows, two detectors that others trained on COCO. Each
is cut at every candidate; samples that calibrated nothing go through head, coder, decoder and tail, and bytes are frames with
their header.

Baselines in the same run, at the chosen cut: the features in float16, one byte a value behind Deflate (`affine` at 8 bits), the
same number of levels for every channel with the same tables (as split.md 4.x measured), a frame that says nothing, and the
smallest JPEG of the picture that agrees as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import compose

from bench.report import ROOT, Report, Row, Target, left_out
from edgewise.codec.tensor import TensorCodec
from edgewise.core.coding import Coding
from edgewise.core.wire import socket_bytes
from edgewise.split import quick as job
from edgewise.split.calibrate import Grid, coding, quantised
from edgewise.split.cuts import candidates
from edgewise.split.measure import Agreement, Boxes
from edgewise.split.outcome import CutRow
from edgewise.split.outcome import Report as Found
from edgewise.split.subject import prepared
from edgewise.split.trial import Trial, joined

PACKS = Path(os.environ.get("EDGEWISE_DATA", ROOT.parent / "shared" / "data"))
ZOO = ROOT / "bench" / "out" / "zoo"
NAMES = ("resnet18", "mobilenet_v2", "densenet", "vit", "yolo", "segmenter", "audio_cnn", "vehicles")
QUICK = ("audio_cnn", "vehicles")
COARSE = 0.98  # AP50, beside the mAP over all overlaps that the targets count
EVERY, CHOSEN = 4.0, 8.0  # times fewer bytes than float16
SAMPLES, JUDGED = 256, 600


class Case(Struct, frozen=True):
    """A model to cut: the job's config, and whether the targets count it."""

    name: str
    config: job.Quick
    counted: bool = True


def run(quick: bool) -> Report:
    """Rows of every cut and baseline; three targets over the eight models."""
    rows: list[Row] = []
    found: dict[str, Found] = {}
    missing: list[str] = []
    for case in cases(quick, missing):
        begun = time.monotonic()
        report = job.quick(case.config)
        rows += rows_of(case.name, report)
        rows.append(Row(case.name, "seconds of the whole job", time.monotonic() - begun, "s"))
        rows += baselines(case, report)
        if case.counted:
            found[case.name] = report
    return Report(
        rows,
        targets(found, tuple(n for n in NAMES if n not in found)),
        {
            "samples": SAMPLES,
            "judged": JUDGED,
            "models": list(found),
            "missing": missing,
            "notes": {name: [r.why, *r.notes] for name, r in found.items()},
        },
        "none",
        "onnxruntime CPU",
    )


def cases(quick: bool, missing: list[str]) -> Iterator[Case]:
    """The models that can be made here; the names of the others go to `missing`."""
    from bench.zoo_samples import streets
    from bench.zoo_weights import made

    ZOO.mkdir(parents=True, exist_ok=True)
    wanted = QUICK if quick else NAMES
    few = {"samples": 64, "judged": 100} if quick else {"samples": SAMPLES, "judged": JUDGED}
    for name in wanted:
        if name == "vehicles":
            streets(ZOO)
            config = job.Quick(model=vehicles(), calibrate=ZOO / "streets", out=ZOO / "bundles" / name, rates=1, **few)
            yield Case(name, config)
            continue
        if name in ("resnet18", "mobilenet_v2", "densenet", "vit") and not (PACKS / "imagenette.tar").is_file():
            missing.append(name)
            continue
        one = made(ZOO, PACKS, (name,))[name]
        look = one.look
        told: dict[str, Any] = {} if look is None else {"scale": look.scale, "mean": look.mean, "std": look.std}
        yield Case(
            name,
            job.Quick(model=one.model, calibrate=one.samples, out=ZOO / "bundles" / name, task=one.task, rates=1, **told, **few),
        )
    if not quick:
        yield from others(missing)


def others(missing: list[str]) -> Iterator[Case]:
    """Two detectors of others on openly licensed COCO photographs, of which there are few."""
    few = {"samples": 40, "judged": 60}
    for file, bgr, scale in (("detectors/yolox_nano.onnx", True, 1.0), ("fastestdet/FastestDet.onnx", True, 1 / 255)):
        model, pictures = PACKS / file, PACKS / "coco-open.tar"
        if not (model.is_file() and pictures.is_file()):
            missing.append(file)
            continue
        name = model.stem
        config = job.Quick(
            model=model, calibrate=pictures, out=ZOO / "bundles" / name, task="detection", rates=1, bgr=bgr, scale=scale, **few
        )
        yield Case(name, config, counted=False)


def vehicles() -> Path:
    """The demo's detector in one piece: head and tail joined again."""
    file = ZOO / "vehicles.onnx"
    folder = ROOT / "edgewise" / "bundles" / "vehicles"
    head, tail = (onnx.load(folder / f"{part}.onnx") for part in ("head", "tail"))
    io_map = [(head.graph.output[0].name, tail.graph.input[0].name)]
    if io_map[0][0] == io_map[0][1]:
        head = compose.add_prefix(head, "head_", rename_inputs=False)
        io_map = [(head.graph.output[0].name, tail.graph.input[0].name)]
    joined = compose.merge_models(
        head, compose.add_prefix(tail, "tail_", rename_inputs=False, rename_outputs=False), io_map=io_map
    )
    file.write_bytes(joined.SerializeToString())
    return file


def rows_of(name: str, report: Found) -> Iterator[Row]:
    for cut in report.cuts:
        case = f"{name} at {cut.tensor}" + (" (chosen)" if cut.tensor == report.chosen else "")
        yield Row(case, "bytes of a frame", cut.bytes, "bytes", cut.agreement.n, cut.bytes_low, cut.bytes_high)
        yield Row(case, "times fewer than float16", cut.ratio, "", cut.agreement.n)
        yield from agreed(case, cut.agreement)
        yield Row(case, "head's share of the FLOPs", cut.share, "", provenance="modelled")
        yield Row(case, "stage", cut.stage, "")
    yield Row(name, "agreement of frames that say nothing", report.constant, "", report.judged)
    for image in report.jpegs:
        case = f"{name}, JPEG {image.quality} at the model's size"
        yield Row(case, "bytes of a frame", image.bytes, "bytes", image.agreement.n)
        yield from agreed(case, image.agreement)


def agreed(case: str, found: Agreement) -> Iterator[Row]:
    yield Row(case, f"agreement ({found.metric})", found.value, "", found.n, found.low, found.high)
    for word, value in found.more.items():
        yield Row(case, f"agreement ({word})", value, "", found.n)


def baselines(case: Case, report: Found) -> list[Row]:
    """Other quantisers at the chosen cut, on the same samples."""
    subject = prepared(case.config, lambda what, share: None)
    candidate = next(c for c in candidates(subject.graph) if c.tensor == report.chosen)
    values = subject.samples.of(subject.samples.calibrate)
    trial = Trial(subject.model, subject.graph, candidate, values, subject.first, subject.batch, 1)
    judged = subject.samples.of(subject.samples.judge)
    rows = []
    for bits in (4, 6):
        code = alike(trial, 1 << bits)
        found = trial.measured(code, 0, judged, subject.second, subject.measure)
        rows += _pair(f"{case.name} at {candidate.tensor}, {1 << bits} levels for every channel", found.sizes, found.agreement)
    if isinstance(subject.measure, Boxes):
        coarse = Boxes(subject.measure.form, coarse=True)
        options = trial.feel(coarse, case.config.seed, lambda share: None)
        rung = trial.best(options, coarse, COARSE + 0.1 * (1 - COARSE), job.START, lambda share: None)
        found = trial.measured(trial.code(rung), rung, judged, subject.second, coarse)
        rows += _pair(f"{case.name} at {candidate.tensor}, boxes that overlap by half", found.sizes, found.agreement)
    if candidate.axis == 0 and len(candidate.shape) == 3:
        codec = TensorCodec(trial.bottleneck(), 8)
        payloads = [codec.encode(f[None]) for f in trial.heads(judged)]
        said = joined([trial.tails(codec.decode(p)) for p in payloads])
        sizes = np.array([len(p) for p in payloads])
        agreement = subject.measure.between(said, subject.second)
        rows += _pair(f"{case.name} at {candidate.tensor}, 8 bits and Deflate", sizes, agreement)
    return rows


def alike(trial: Trial, levels: int) -> Coding:
    """A coding of as many levels for every channel, over the range that calibration saw."""
    low, high = trial.seen.low, trial.seen.high
    step = np.maximum((high - low) / (levels - 1), 1e-9)
    count = len(low)
    error = np.zeros(count)
    for c in range(count):
        codes = quantised(trial.seen.values[c], np.float32(low[c]), np.float32(step[c]), levels)
        error[c] = np.square(trial.seen.values[c] - (np.float32(low[c]) + np.float32(step[c]) * codes)).mean()
    return coding(trial.seen, Grid(low, step, np.full(count, levels), np.zeros(count), error), np.ones(count))


def _pair(case: str, sizes: NDArray[np.int64], agreement: Agreement) -> list[Row]:
    carried = [socket_bytes(int(n)) for n in sizes]
    low, high = (float(v) for v in np.percentile(carried, (5, 95)))
    return [Row(case, "bytes of a frame", float(np.mean(carried)), "bytes", len(carried), low, high), *agreed(case, agreement)]


def targets(found: dict[str, Found], absent: tuple[str, ...]) -> list[Target]:
    """Agreement and bytes at every cut after the first stage, and bytes at the chosen one, over the eight models."""
    names = ("split quick, agreement at every cut", "split quick, bytes at every cut", "split quick, bytes at the chosen cut")
    wants = (
        "agreement >= 0.99 (mAP of one against the other >= 0.98) after the first stage",
        f">= {EVERY:g} times fewer than float16 after the first stage",
        f">= {CHOSEN:g} times fewer than float16",
    )
    if not found:
        return [left_out(n, w, "no model could be made here") for n, w in zip(names, wants, strict=True)]
    cuts = [(name, r, c) for name, r in found.items() for c in r.cuts if c.stage > 1]
    chosen = [(name, r, c) for name, r in found.items() for c in r.cuts if c.tensor == r.chosen]
    short = [x for x in cuts if x[2].agreement.value < x[1].least]
    wide = [x for x in cuts if x[2].ratio < EVERY]
    heavy = [x for x in chosen if x[2].ratio < CHOSEN]
    gone = f"; not here: {', '.join(absent)}" if absent else ""
    over = f"{len(cuts)} cuts of {len(found)} models{gone}"
    worst = min(cuts, key=lambda x: x[2].agreement.value - x[1].least)
    least, smallest = (min(some, key=lambda x: x[2].ratio) for some in (cuts, chosen))
    got = (
        f"{len(cuts) - len(short)} of {over}; least {worst[2].agreement.value:.4f} ({worst[0]} at {worst[2].tensor})",
        f"{len(cuts) - len(wide)} of {over}; least {least[2].ratio:.1f} ({least[0]} at {least[2].tensor})",
        f"{len(chosen) - len(heavy)} of {len(chosen)} models{gone}; least {smallest[2].ratio:.1f} ({smallest[0]})",
    )
    words: tuple[Callable[[CutRow], str], ...] = (
        lambda c: f"{c.agreement.value:.4f}",
        lambda c: f"{c.ratio:.1f}, {c.bytes:.0f} of {c.raw} bytes",
        lambda c: f"{c.ratio:.1f}",
    )
    return [
        Target(names[i], wants[i], got[i], not bad, "; ".join(f"{n} at {c.tensor}: {words[i](c)}" for n, _, c in bad[:8]))
        for i, bad in enumerate((short, wide, heavy))
    ]
