"""From students at several rates to bundles: points measured as the product works, pictures beside them, the byte guard set.

Where each rate has a student of its own, each is a bundle of its own, `rate-1` … `rate-N` in the bundle's folder. Where one
student serves all rates, they are points of one bundle, between which a device changes from frame to frame. A point's frame is in
layers, the channels that took most bits first, so that a late one ends early.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from edgewise.core.artifact import Manifest
from edgewise.core.errors import BudgetError
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.session import Session
from edgewise.split.fit import PARTS, Advance, Fit, Fitted, judge_of
from edgewise.split.guard import ENOUGH, guarded
from edgewise.split.judged import Judge, Sessions
from edgewise.split.lesson import Lesson, spread
from edgewise.split.points import crossed, pictured, within, written
from edgewise.split.provenance import provenance
from edgewise.split.training.students import Step, bundles, students
from edgewise.training.accelerator import watched

log = logging.getLogger(__name__)

GUARDED = 256  # pictures by which the byte guard is set


def fitted(config: Fit, read: Lesson, advance: Advance) -> Fitted:
    """Everything behind the lesson: students, bundles, and what came of them."""
    begun = time.monotonic()
    folders: list[Path] = []
    manifests: list[Manifest] = []
    images: tuple[OperatingPoint, ...] = ()
    large: BudgetError | None = None
    measure, steps, apart = "", 0, bundles(config) > 1
    hint = f"What was learned is kept in {config.place}: the same command goes on there, with --device cpu as well."
    with watched(config.device, hint):
        for number, step in enumerate(students(config, read, advance), 1):
            folder = config.out / f"rate-{number}" if apart else config.out
            sessions = Sessions(*(Session.load(step.parts.models[part], config.threads) for part in PARTS))
            judge = judge_of(config, read, sessions)
            images = images or pictured(judge, read.original, advance)
            measure, steps = judge.measure, steps + step.steps
            try:
                manifests.append(_bundle(config, read, step, sessions, judge, images, folder, advance))
                folders.append(folder)
            except BudgetError as error:  # a higher β may have smaller frames
                large = error
    if large and not manifests:
        raise large
    left = tuple((x.name, x.why) for x in read.gallery.left)
    return Fitted(tuple(folders), tuple(manifests), steps, round(time.monotonic() - begun, 1), left, measure, read.told)


def _bundle(
    config: Fit,
    read: Lesson,
    step: Step,
    sessions: Sessions,
    judge: Judge,
    images: Sequence[OperatingPoint],
    folder: Path,
    advance: Advance,
) -> Manifest:
    clean = sessions.features(read.gallery.of(clean_of(read)))
    codings = {name: guarded(step.bottleneck, coding, [clean]) for name, coding in step.codings.items()}
    points = (*crossed(judge, step.bottleneck, codings, advance), *images)
    return written(
        folder,
        name=config.name or (folder.name if folder == config.out else f"{config.out.name}-{folder.name}"),
        models=step.parts.models,
        picture=read.look.picture,
        bottleneck=step.bottleneck,
        task=read.task,
        decoding=read.decoding,
        labels=read.names,
        points=within(points, config.bytes),
        codings=codings,
        parameters=step.parts.parameters,
        provenance=provenance(config, read, len(judge), judge.measure, step.words),
    )


def clean_of(read: Lesson) -> list[int]:
    """Pictures by which the byte guard is set: those that neither teach nor judge where they are enough, else the judges."""
    return spread(read.unused if len(read.unused) >= ENOUGH else read.judged or read.learn, GUARDED)
