"""The students of a recipe of two stages, each ready to become a bundle: what `split fit` teaches at several rates.

    entropic    GDN, stride 4, the paper's widths (paper 6)            β from 1 to 8: bits of a pixel against relative error
    lean        ours: residual strides without GDN, stride 8           β from 0.7 to 6
    bottlefit   the published encoder and decoder (paper 8)            no β: one student, codes of 8, 6, 4 … bits

Stage 2 learns from the teacher's answers alone, or from labels too where they are asked for; what is no classifier is distilled.
`seconds` become epochs before a run begins (`edgewise.split.pace`). With several cores the rates are a sweep of processes: while
the tail of one learns, the next is taught; what they leave in the work folder is taken up here, as after a kill.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from msgspec import Struct

from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.split.lesson import Lesson, lesson
from edgewise.split.pace import Stage, paced
from edgewise.split.sweep import Task, swept
from edgewise.split.training import stages
from edgewise.split.training.answers import answered, classified
from edgewise.split.training.ladder import Climb
from edgewise.split.training.parts import Parts, parts
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stages import Staged, Student
from edgewise.split.training.tune import Loss
from edgewise.training.accelerator import device

if TYPE_CHECKING:
    from edgewise.split.fit import Fit

Advance = Callable[[str, float], None]
SPANS = {"entropic": (1.0, 8.0), "lean": (0.7, 6.0)}
RATES = 4
WIDTHS = (8, 6, 4, 3, 2)  # of codes without a β, the finest first
LAYERS = 4  # of a frame: what a late one can leave out, for a few bytes each
FIRST, FURTHER, TUNED = (
    1.0,
    0.5,
    0.4,
)  # stage 1 of the first β, of each further one, and stage 2, for each epoch that is asked for
EPOCHS = 10.0
CHANNELS = 12  # of a bottlefit student, where nobody says


class Step(Struct, frozen=True):
    """What one bundle is made of: the parts of a student, what crosses, and a coding by point; `words` say how it was taught, in
    `steps` steps."""

    parts: Parts
    bottleneck: Bottleneck
    codings: Mapping[str, Coding]
    words: str
    steps: int


def bundles(config: Fit) -> int:
    """How many bundles come of it."""
    return 1 if config.recipe == "bottlefit" or config.together else len(config.betas) or config.rates or RATES


def students(config: Fit, read: Lesson, advance: Advance) -> Iterator[Step]:
    """The students, one after another; what the work folder holds is taken up."""
    torch.set_num_threads(config.threads)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    read.net.to(device(config.device))
    if config.recipe == "bottlefit":
        yield _staged(config, read, advance)
        return
    plan = planned(config, read, advance)
    if config.cores > 1 and not plan.several and len(plan.betas) > 1:
        swept(tasks(config, plan), config.cores, config.place / "logs", advance)
    climb = climbing(config, read, plan, config.place, advance)
    if plan.several:
        rungs = climb.all()
        yield _step(config, read, plan, rungs, {f"rate-{k}": rung.coding for k, rung in enumerate(rungs, 1)})
    else:
        for index in range(len(plan.betas)):
            yield _step(config, read, plan, [rung := climb.rung(index)], {f"rate-{index + 1}": rung.coding})


def betas(recipe: str, rates: int) -> tuple[float, ...]:
    """So many β over the span of a recipe, in equal ratios; its middle where there is one.

    >>> betas("lean", 4), betas("entropic", 1)
    ((0.7, 1.4, 2.9, 6.0), (2.8,))
    """
    low, high = SPANS[recipe]
    found = np.geomspace(low, high, rates) if rates > 1 else [math.sqrt(low * high)]
    return tuple(float(f"{b:.2g}") for b in found)


def planned(config: Fit, read: Lesson, advance: Advance) -> Plan:
    """The ladder that is asked for; its epochs those that its seconds hold, where there are some."""
    epochs = config.epochs or EPOCHS
    asked = Plan(
        betas=config.betas or betas(config.recipe, config.rates or RATES),
        first=FIRST * epochs,
        further=FURTHER * epochs,
        tuned=TUNED * epochs,
        free=config.free,
        several=config.together,
        channels=config.channels,
        wide=config.wide,
        layers=LAYERS,
        losses=config.paths,
        crop=config.crop,
        batch=config.batch or 32,
        seed=config.seed,
    )
    if not config.seconds:
        return asked
    rates = len(asked.betas)
    apart = 1 if asked.several else max(1, math.ceil(rates / config.cores))
    ladder = Stage("batch", {"first": 1.0, "further": rates - 1.0})

    def tried(plan: Plan, work: Path, heard: Advance) -> None:
        few = msgspec.structs.replace(plan, betas=plan.betas[:1], further=plan.first)
        advance("timing a few steps", 0.0)
        climb = climbing(config, read, few, work, heard)
        climb.all() if plan.several else climb.rung(0)
        advance("timing a few steps", 1.0)

    return paced(
        asked, [ladder, Stage("tuned_batch", {"tuned": float(apart)})], config.seconds, tried, len(read.learn), config.place
    )


def climbing(config: Fit, read: Lesson, plan: Plan, work: Path, advance: Advance) -> Climb:
    """The ladder of a plan in a folder."""
    design = {"lean": "lean", "entropic": "entropic"}[config.recipe]
    return Climb(read.net, config.cut, design, read.source, loss_of(config, read), read.look, plan, work, advance)


def loss_of(config: Fit, read: Lesson) -> Loss:
    """What stage 2 learns from."""
    if read.task != "classification":
        return answered
    taught = read.labels is not None and config.supervised
    return classified([read.labels.classes[i] for i in read.learn] if taught and read.labels else None)


def tasks(config: Fit, plan: Plan) -> list[Task]:
    """The rates as a sweep: stage 1 of each behind that of the one before, and stage 2 beside them."""
    found: list[Task] = []
    for index, beta in enumerate(plan.betas):
        for stage in (1, 2) if plan.tuned else (1,):
            said = {"config": msgspec.to_builtins(config, enc_hook=str), "plan": msgspec.to_builtins(plan)}
            after = (f"stage-1-beta-{plan.betas[index - 1]:g}",) if stage == 1 and index else ()
            after = (f"stage-1-beta-{beta:g}",) if stage == 2 else after
            found.append(
                Task(
                    f"stage-{stage}-beta-{beta:g}",
                    "edgewise.split.training.students:one",
                    {**said, "index": index, "stage": stage},
                    after,
                )
            )
    return sorted(found, key=lambda t: not t.name.startswith("stage-1"))


def one(said: Mapping[str, Any], advance: Advance) -> None:
    """A task of the sweep, in a process of its own: a rung up to a stage, left in the work folder."""
    from edgewise.split.fit import Fit

    config = msgspec.convert(said["config"], Fit, dec_hook=lambda kind, value: kind(value))
    plan = msgspec.convert(said["plan"], Plan)
    plan = msgspec.structs.replace(plan, tuned=plan.tuned if said["stage"] == 2 else 0.0)
    torch.set_num_threads(config.threads)
    read = lesson(config, config.place)
    read.net.to(device(config.device))
    climbing(config, read, plan, config.place, advance).rung(int(said["index"]))


def _step(config: Fit, read: Lesson, plan: Plan, rungs: list[Rung], codings: Mapping[str, Coding]) -> Step:
    first = rungs[0]
    epochs = (
        f"stage 1 {first.history['stage 1']:.3g} epochs, stage 2 {first.history['stage 2']:.3g} epochs {_lessons(config, read)}"
    )
    prices = ", ".join(f"{rung.beta:g}" for rung in rungs)
    words = f"{config.recipe} at {config.cut}, β {prices}; {epochs}"
    first.net.cpu(), first.teacher.cpu()
    low, high = (
        tuple(f(rows).item() for rows in zip(*values, strict=True))
        for f, values in ((np.min, [r.bottleneck.low for r in rungs]), (np.max, [r.bottleneck.high for r in rungs]))
    )
    made = Step(first.parts(), Bottleneck(first.bottleneck.shape, low, high), codings, words, _steps(read, plan, first))
    first.teacher.to(device(config.device))
    return made


def _steps(read: Lesson, plan: Plan, rung: Rung) -> int:
    first, second = (rung.history[s] * len(read.learn) / b for s, b in (("stage 1", plan.batch), ("stage 2", plan.tuned_batch)))
    return math.ceil(first) + math.ceil(second)


def _lessons(config: Fit, read: Lesson) -> str:
    """What stage 2 learned from, in words."""
    if read.task != "classification":
        return "from the teacher's outputs, no labels"
    if read.labels is None or not config.supervised:
        return "from the teacher's answers (KL), no labels"
    return f"from the teacher's answers and labels (half KL, half cross-entropy; {read.labels.of})"


def _staged(config: Fit, read: Lesson, advance: Advance) -> Step:
    """BottleFit's two stages, and codes of several widths for what crosses."""
    epochs = config.epochs or EPOCHS
    asked = Staged(
        first=FIRST * epochs,
        tuned=TUNED * epochs,
        free=True,
        channels=config.channels or CHANNELS,
        wide=config.wide,
        losses=config.paths,
        crop=config.crop,
        batch=config.batch or 32,
        seed=config.seed,
    )

    def taught(plan: Staged, work: Path, heard: Advance) -> Student:
        first = stages.taught(read.net, config.cut, "bottlefit", read.source, read.look, plan, work / "stage-1", heard)
        if not plan.tuned:
            return first
        loss = loss_of(config, read)
        return stages.finished(read.net, first, read.source, loss, read.look, plan, work / "stage-2", None, heard)

    if config.seconds:
        both = [Stage("batch", {"first": 1.0}), Stage("tuned_batch", {"tuned": 1.0})]
        asked = paced(asked, both, config.seconds, taught, len(read.learn), config.place)
    made = taught(asked, config.place, advance)
    values = stages.crossing(made, read.source, read.look)
    wide = stages.bottleneck_of(values, per_channel=config.per_channel)
    spent = [int(c) for c in np.argsort(-values.reshape(len(values), values.shape[1], -1).var((0, 2)), kind="stable")]
    widths = config.bits if config.bits != WIDTHS else WIDTHS[: config.rates or RATES]
    codings = {
        f"split-{b}": coding_for(wide, [values], [1 << b] * wide.channels, spent, min(LAYERS, wide.channels), context=True)
        for b in widths
    }
    words = (
        f"bottlefit at {config.cut}; stage 1 {asked.first:.3g} epochs, stage 2 {asked.tuned:.3g} epochs {_lessons(config, read)}"
    )
    count = math.ceil(asked.first * len(read.learn) / asked.batch) + math.ceil(asked.tuned * len(read.learn) / asked.tuned_batch)
    return Step(parts(read.net.cpu(), made.net.cpu(), made.stretch.first, read.look), wide, codings, words, count)
