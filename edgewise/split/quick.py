"""`edgewise split quick`: a person's own ONNX model, cut for a device and an edge without training.

Every candidate cut (`cuts`) is tried with the quantiser that the answer's sensitivity to each channel asks for (`trial`),
agreement with the uncut model is measured on samples that calibrated nothing, bytes are those of frames on a socket.
One cut is chosen: the quickest under the cost model where a device and a link are named, else the one of the least bytes whose
tail leaves the edge some work. It becomes a bundle with several rates, the uncut model on the device, and pictures sent whole
(`points`).

JPEGs of the picture at the size that the model sees stand beside: where one is smaller at the same agreement, the report says so.
Without a learned bottleneck that is often so early in a network (split.md 4.x). It does not know whether the model is right.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from edgewise.codec.image import ImageCodec
from edgewise.core.wire import socket_bytes
from edgewise.runtime.session import Session
from edgewise.split.cuts import Candidate, candidates, chosen
from edgewise.split.outcome import CutRow, ImageRow, Report, hollow, plainly, row_of
from edgewise.split.quick_choice import choice, timed
from edgewise.split.quick_points import made
from edgewise.split.request import Quick
from edgewise.split.subject import Advance, Subject, outputs, prepared
from edgewise.split.trial import Sensed, Trial, Tried

__all__ = ["CutRow", "ImageRow", "Quick", "Report", "quick"]
JPEGS = (10, 20, 35, 50, 75, 90)
START = 3  # rung of the ladder at which a search begins


def quick(config: Quick, advance: Advance = lambda what, share: None) -> Report:
    """Do the whole job and write the bundle; an error is a sentence. `advance(what, share done)` is called along the way."""
    subject = prepared(config, advance)
    known = candidates(subject.graph)
    tried = [chosen(subject.graph, config.at, known)] if config.at else list(known)
    rows: list[CutRow] = []
    kept: dict[str, tuple[Candidate, Sensed, Tried]] = {}
    rung = START
    for number, candidate in enumerate(tried):

        def heard(share: float, number: int = number, tensor: str = candidate.tensor) -> None:
            advance(f"cut {number + 1} of {len(tried)}: {tensor}", (number + share) / len(tried))

        trial, found = attempt(subject, candidate, config, rung, heard)
        rung = found.rung  # neighbours need much the same
        rows.append(row_of(trial, found))
        kept[candidate.tensor] = (candidate, trial.sensed, found)  # without its features: a model has many cuts
    if config.device and config.link:
        rows, told = timed(subject.graph, tried, rows, config)
        subject = msgspec.structs.replace(subject, notes=(*subject.notes, *told))
    best, why = choice(rows, subject, config)
    images = jpegs(subject, advance) if subject.samples.pictures else ()
    candidate, sensed, found = kept[best.tensor]
    trial = begun(subject, candidate, config)
    trial.restore(sensed)
    bundle = made(subject, trial, found, config, advance)
    flat = trial.seen.mean.astype(np.float32).reshape([-1 if a == trial.candidate.axis else 1 for a in range(len(trial.shape))])
    said = trial.tails(np.broadcast_to(flat, (subject.batch, *trial.shape)).copy())
    nothing = {name: np.resize(v[:1], subject.second[name].shape) for name, v in said.items()}
    constant = subject.measure.between(nothing, subject.second).value
    return Report(
        model=config.model.name,
        task=subject.task,
        metric=subject.measure.metric,
        least=subject.least,
        cuts=tuple(rows),
        jpegs=images,
        chosen=best.tensor,
        why=why,
        points=bundle.manifest.points,
        folder=str(config.out),
        address=bundle.manifest.address,
        calibrated=len(subject.samples.calibrate),
        judged=len(subject.samples.judge),
        left=tuple((x.name, x.why) for x in subject.samples.left),
        notes=(*subject.notes, *plainly(rows, best, images, subject.least), *hollow(constant, subject.measure.metric)),
        constant=constant,
        int8=bundle.int8,
    )


def begun(subject: Subject, candidate: Candidate, config: Quick) -> Trial:
    """A candidate with its sessions and what calibration sees of it."""
    values = subject.samples.of(subject.samples.calibrate)
    return Trial(subject.model, subject.graph, candidate, values, subject.first, subject.batch, config.threads)


def attempt(
    subject: Subject, candidate: Candidate, config: Quick, start: int, heard: Callable[[float], None]
) -> tuple[Trial, Tried]:
    """A candidate with the coarsest coding that reaches the goal on calibration samples, measured on the others."""
    measure = subject.measure
    trial = begun(subject, candidate, config)
    options = trial.feel(measure, config.seed, lambda share: heard(0.3 * share))
    rung = trial.best(options, measure, subject.goal, start, lambda share: heard(0.3 + 0.4 * share))
    judged = subject.samples.of(subject.samples.judge)
    found = trial.measured(trial.code(rung), rung, judged, subject.second, measure, lambda share: heard(0.7 + 0.3 * share))
    return trial, found


def jpegs(subject: Subject, advance: Advance) -> tuple[ImageRow, ...]:
    """JPEGs of the judged pictures at the size that the model sees."""
    session = Session.load(subject.model.SerializeToString())
    values = subject.samples.of(subject.samples.judge)
    rows = []
    for number, quality in enumerate(JPEGS):
        advance("JPEGs beside", number / len(JPEGS))
        codec = ImageCodec("jpeg", quality)
        payloads = [codec.encode(v) for v in values]
        back = np.stack([codec.decode(p) for p in payloads])
        agreement = subject.measure.between(outputs(session, back, subject.batch), subject.second)
        rows.append(ImageRow(quality, round(float(np.mean([socket_bytes(len(p)) for p in payloads])), 1), agreement))
    return tuple(rows)
