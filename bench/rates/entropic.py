"""Entropic Student (paper 6) on the ground of the benchmark: a ladder of β at the cut behind layer1, a record for each.

The widths are ours (48, 32, 24 channels: `entropic-narrow`), for the published ones cost a picture of 128
pixels about as much as the whole teacher; head and tail of both are timed elsewhere. `entropic-paper` has the published widths
(96, 48, 24) at the first two β of the same ladder, one seed, in the full size alone: a method of its own, so that what the narrow
widths cost in bytes is measured and not supposed. Noise alone in stage 1, as published, with rounding about the median; stage 2
with the encoder frozen, half cross-entropy and half KL.

    epochs            here   paper
    stage 1, first β    10      10      every further β, warm-started from the one before: 5
    stage 2              4      10

Jobs come one after another, since each β begins from the one before. A seed beside the first climbs the same ladder as far as
its last point, so that a β has the same epochs behind it in every seed; two of its points are tuned and recorded.
"""

from __future__ import annotations

from pathlib import Path

from bench.jobs import Advance, Job, Size
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of

METHOD, DESIGN, CUT = "entropic", "entropic-narrow", "stem..layer1"
WIDE, PUBLISHED = "entropic-paper", "entropic"  # the method of the published widths, and their design
DESIGNS = {METHOD: DESIGN, WIDE: PUBLISHED}
BETAS: dict[Size, tuple[float, ...]] = {"quick": (2.0,), "medium": (2.0, 4.0), "full": (1.0, 2.0, 4.0, 8.0)}
SEEDS = (2.0, 4.0)  # β of the seeds beside the first
FEW = 2  # β of the published widths, the first of the ladder
EPOCHS: dict[Size, tuple[float, float, float]] = {"quick": (2, 1, 1), "medium": (3, 2, 1), "full": (10, 5, 4)}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """A job for each β, each after the one before; those of the published widths behind."""
    betas, told = climbed(BETAS[size], SEEDS, seed, size)
    found = _jobs(METHOD, betas, told, seed, size, 2 if seed == 0 else 6)
    if seed == 0 and size == "full":
        found += _jobs(WIDE, betas[:FEW], betas[:FEW], seed, size, 4)
    return found


def climbed(
    betas: tuple[float, ...], chosen: tuple[float, ...], seed: int, size: Size
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The ladder of that seed, from the same first β as every other's, and those of it that leave a record.

    >>> climbed((1.0, 2.0, 4.0, 8.0), (2.0, 4.0), 1, "full")
    ((1.0, 2.0, 4.0), (2.0, 4.0))
    """
    if seed == 0 or size != "full":
        return betas, betas
    return betas[: betas.index(chosen[-1]) + 1], chosen


def _jobs(method: str, betas: tuple[float, ...], told: tuple[float, ...], seed: int, size: Size, priority: float) -> list[Job]:
    found: list[Job] = []
    for index, beta in enumerate(betas):
        if beta not in told:  # the next one climbs over it
            continue
        arguments = {"index": index, "betas": list(betas), "seed": seed, "size": size}
        arguments |= {} if method == METHOD else {"method": method}
        leaves = (record_file(method, point(beta), seed, data=DATA[size]),)
        after = (found[-1].name,) if found else ()
        name = f"{method}-{point(beta)}.{seed}"
        planned = {"cut": CUT, "design": DESIGNS[method]}
        found.append(Job(name, "bench.rates.entropic:rung", leaves, arguments, priority, after, planned))
    return found


def point(beta: float) -> str:
    """The name of an operating point.

    >>> point(2.0)
    'b2'
    """
    return f"b{beta:g}"


def plan(betas: tuple[float, ...], seed: int, size: Size, crop: int) -> Plan:
    """What the ladder is asked for."""
    first, further, tuned = EPOCHS[size]
    return Plan(betas, first=first, further=further, tuned=tuned, crop=crop, seed=seed)


def rung(
    work: Path, advance: Advance, index: int, betas: list[float], seed: int = 0, size: Size = "full", method: str = METHOD
) -> None:
    """The student of one β, and its record."""
    found = ground(work, size, advance)
    asked = plan(tuple(betas), seed, size, found.crop)
    folder, labels = work / method / f"seed-{seed}", found.train.labels.tolist()
    climb = Climb(found.teacher, CUT, DESIGNS[method], found.train, labels, found.look, asked, folder, advance)
    record(work, found, climb.rung(index), method, point(betas[index]), seed, advance)


def record(work: Path, found: Ground, done: Rung, method: str, name: str, seed: int, advance: Advance) -> Record:
    """Judge a rung on the held-out pictures and keep its record."""
    judged = done.judged(found.held, found.held.labels.tolist(), advance=advance)
    parameters = sum(p.numel() for p in split_of(done.net, done.stretch).encoder.parameters())
    epochs = {stage: done.history[stage] for stage in ("stage 1", "stage 2")}
    more = {"beta": done.beta, "estimated": done.history["estimated"], "coded": done.history["coded"]}
    about = About(method, name, seed, data=found.data, epochs=epochs, parameters=parameters, more=more)
    kept = Record(about, judged.right, judged.bytes)
    keep(kept, work)
    return kept
