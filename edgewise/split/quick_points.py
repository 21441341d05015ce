"""The operating points of a chosen cut, measured as devices and servers will run them, and the bundle that holds them.

`split-1` is the finest of the rates. Coarser ones let four times as many answers differ each. `jpeg-…` and
`webp-…` send the person's picture, 640 px at most, which the server scales to what the model sees. `local` is the uncut model
on the device. `drop` sends nothing. Qualities are agreement with the uncut model, whatever the truth is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Coding, Manifest, PartName
from edgewise.core.errors import BudgetError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.core.wire import socket_bytes
from edgewise.data.decoding import answers
from edgewise.data.preprocess import fit
from edgewise.runtime.session import Session
from edgewise.split.calibrate import through
from edgewise.split.layer_worths import BATCH, by_layers
from edgewise.split.measure import Measure
from edgewise.split.outcome import Int8Row
from edgewise.split.package import package
from edgewise.split.request import Quick
from edgewise.split.subject import Advance, Subject
from edgewise.split.trial import FINEST, Outputs, Trial, Tried, joined

FINER, FINE = 2, 6  # so many rates are finer than the one searched, where there are five, by so many rungs each
MORE = 4  # times as many answers may differ at each coarser rate
IMAGES: tuple[tuple[Literal["jpeg", "webp"], int], ...] = (("jpeg", 35), ("jpeg", 50), ("jpeg", 75), ("jpeg", 90), ("webp", 50))
CALIBRATED = 64  # samples that ranges of eight bits come from
MOST = 120  # pictures that are sent whole
BESIDE = 160  # samples that rates beside the one searched for are judged on


class Made(Struct, frozen=True):
    """The bundle as it was written, and what eight bits were worth."""

    manifest: Manifest
    int8: Int8Row | None


def made(subject: Subject, trial: Trial, found: Tried, config: Quick, advance: Advance) -> Made:
    """Points at several rates around what was found, pictures, local and drop; written to `config.out`."""
    samples, measure = subject.samples, subject.measure
    judged = samples.of(samples.judge)
    rungs = _rungs(subject, trial, found, config.rates)
    smaller = None
    if config.int8:
        advance("eight bits", 0.0)
        trial, found, smaller = in_eight_bits(subject, trial, found, config)
    points, codings = [], {}
    beside = {name: v[:BESIDE] for name, v in subject.second.items()}
    reply = _reply(subject)
    for number, rung in enumerate(rungs, start=1):
        advance("operating points", number / (len(rungs) + 2))
        code = found.coding if rung == found.rung else trial.code(rung)
        one = found if rung == found.rung else trial.measured(code, rung, judged[:BESIDE], beside, measure)
        name = f"split-{number}"
        codings[name] = code
        points.append(
            OperatingPoint(
                name,
                "split",
                "rans",
                number,
                round(float(one.sizes.mean()), 1),
                reply,
                round(one.device_time, 6),
                round(one.edge_time, 6),
                {"all": one.agreement.quality} | _layers(trial, code, judged[:BESIDE], beside, measure),
            )
        )
    within(points, config.bytes)
    kept = [p for p in points if not config.bytes or p.frame_up <= config.bytes]
    whole = Session.load(subject.model.SerializeToString(), config.threads)
    alone = _seconds(whole, judged)
    if samples.pictures:
        kept += images(subject, whole, reply, advance)
    models: dict[PartName, bytes] = {"head": trial.models[0], "tail": trial.models[1]}
    if config.local:
        models["local"] = subject.model.SerializeToString(deterministic=True)
        kept.append(
            OperatingPoint("local", "local", device_time=round(alone, 6), quality={"all": Quality(1.0, 1.0, 1.0, len(judged))})
        )
    kept.append(OperatingPoint("drop", "drop"))
    manifest = package(
        config.out,
        name=config.name or config.out.name,
        task=subject.task,
        labels=subject.labels,
        models=models,
        picture=None if subject.look is None else subject.look.picture,
        bottleneck=trial.bottleneck(),
        decoding=subject.decoding,
        points=kept,
        codings={n: c for n, c in codings.items() if any(p.name == n for p in kept)},
        provenance=provenance(subject, trial, config),
    )
    return Made(manifest, smaller)


def _rungs(subject: Subject, trial: Trial, found: Tried, rates: int) -> list[int]:
    """The rungs of the rates, the finest first: finer ones by an octave and a half each, coarser ones as calibration allows."""
    finer = min(FINER, rates // 2)
    rungs = [max(FINEST - FINE * finer, found.rung - FINE * (finer - i)) for i in range(finer)] + [found.rung]
    for i in range(1, rates - finer):
        goal = 1 - (1 - subject.goal) * float(MORE) ** i
        rungs.append(max(found.rung, trial.search(subject.measure, max(goal, 0.0), rungs[-1] + 1, lambda _: None)))
    return sorted(set(rungs))


def _layers(trial: Trial, code: Coding, values: Any, whole: Outputs, measure: Measure) -> dict[str, Quality]:
    """Agreement with the first layers of a frame alone."""
    codec = FeatureCodec(trial.bottleneck(), code)
    if codec.total < 2:
        return {}
    payloads = [codec.encode(f[None]) for i in range(0, len(values), BATCH) for f in trial.heads(values[i : i + BATCH])]
    return by_layers(codec, payloads, trial.tails, lambda said: measure.between(joined(said), whole).quality)


def in_eight_bits(subject: Subject, trial: Trial, found: Tried, config: Quick) -> tuple[Trial, Tried, Int8Row]:
    """Head and tail quantised and measured at the same coding; taken where they still agree."""
    from edgewise.graph.quantise import int8

    samples = subject.samples
    some = samples.of(samples.calibrate[:CALIBRATED])
    head = int8(trial.models[0], some)
    tail = int8(trial.models[1], through(trial.heads(some), trial.candidate.axis, trial.at(found.rung)))
    other = trial.replaced(head, tail, config.threads)
    said = other.measured(found.coding, found.rung, samples.of(samples.judge), subject.second, subject.measure)
    taken = said.agreement.value >= subject.least
    sizes = [sum(len(m) for m in t.models) for t in (trial, other)]
    row = Int8Row(said.agreement, round(float(np.mean([socket_bytes(int(n)) for n in said.sizes])), 1), sizes[0], sizes[1], taken)
    return (other, said, row) if taken else (trial, found, row)


def images(subject: Subject, whole: Session, reply: float, advance: Advance) -> list[OperatingPoint]:
    """Pictures sent whole, through codec, scaling and the uncut model."""
    samples = subject.samples
    chosen = list(samples.judge[:MOST])
    originals = [samples.original(i) for i in chosen]
    second = {name: v[: len(chosen)] for name, v in subject.second.items()}
    source = whole.inputs[0].name
    points = []
    assert subject.look is not None
    for number, (kind, quality) in enumerate(IMAGES):
        advance("pictures sent whole", number / len(IMAGES))
        codec = ImageCodec(kind, quality)
        sizes, device, edge, said = [], [], [], []
        for picture in originals:
            start = time.thread_time()
            payload = codec.encode(picture)
            middle = time.thread_time()
            said.append(whole.run({source: fit(codec.decode(payload), subject.look.picture)}))
            device.append(middle - start)
            edge.append(time.thread_time() - middle)
            sizes.append(len(payload))
        agreement = subject.measure.between(joined(said), second)
        points.append(
            OperatingPoint(
                f"{kind}-{quality}",
                "image",
                kind,
                quality,
                round(float(np.mean(sizes)), 1),
                reply,
                round(float(np.median(device)), 6),
                round(float(np.median(edge)), 6),
                {"all": agreement.quality},
            )
        )
    return points


def provenance(subject: Subject, trial: Trial, config: Quick) -> dict[str, str]:
    """How it was made, in words and figures; no path of this machine."""
    samples = subject.samples
    shown = msgspec.structs.replace(
        config,
        out=type(config.out)(),
        model=type(config.out)(config.model.name),
        calibrate=type(config.out)(config.calibrate.name),
    )
    kind = "pictures" if samples.pictures else "arrays"
    return {
        "command": "edgewise split quick",
        "config": msgspec.json.encode(shown, enc_hook=str).decode(),
        "cut": trial.candidate.tensor,
        "data": f"{len(samples.calibrate)} {kind} of {config.calibrate.name} calibrated, {len(samples.left)} left out",
        "quality": f"{subject.measure.metric} of coded against uncut, on {len(samples.judge)} {kind} that calibrated nothing",
        "bytes": "measured, mean payload",
        "times": "measured, median processor time of this machine, neither waiting nor link",
        "seed": str(config.seed),
    }


def _reply(subject: Subject) -> float:
    """Mean bytes of an answer to a judged sample."""
    some = {name: v[:16] for name, v in subject.second.items()}
    said = answers(some, subject.decoding, subject.labels)
    return round(float(np.mean([len(msgspec.msgpack.encode(a)) for a in said])), 1)


def _seconds(session: Session, values: Any) -> float:
    """Median processor time of the uncut model for one sample."""
    times = []
    for i in range(min(8, len(values))):
        start = time.thread_time()
        session.run({session.inputs[0].name: values[i : i + 1]})
        times.append(time.thread_time() - start)
    return float(np.median(times))


def within(points: Sequence[OperatingPoint], most: int) -> None:
    """BudgetError, naming the nearest, where no split has frames that small."""
    splits = [p for p in points if p.mode == "split"]
    if most and not any(p.frame_up <= most for p in splits):
        nearest = min(splits, key=lambda p: p.frame_up)
        raise BudgetError(
            "no point of this cut has frames that small",
            got=f"{most} bytes asked for",
            allowed=f"{nearest.frame_up:.0f} bytes and more: {nearest.name} is the nearest, agreeing in {nearest.worth():.3f}",
            hint="Cut later with --at, or train a bottleneck with `edgewise split fit`.",
        )
