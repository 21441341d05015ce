"""Entropic Student (paper 6) on the ground of the benchmark: a ladder of β at the cut behind layer1, a record for each.

The widths are ours (48, 32, 24 channels: `entropic-narrow`), for the published ones would cost a picture of
128 pixels about as much as the whole teacher; head and tail of both are timed elsewhere. Noise alone in stage 1, as published,
with rounding about the median; stage 2 with the encoder frozen, half cross-entropy and half KL.

    epochs            here   paper
    stage 1, first β    10      10      every further β, warm-started from the one before: 5
    stage 2              4      10

Jobs come one after another, since each β begins from the one before; a seed beside the first makes two points.
"""

from __future__ import annotations

from pathlib import Path

from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, Advance, Job, Size, record_file
from bench.rates.record import About, Record, keep
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung
from edgewise.split.training.stretch import split_of

METHOD, DESIGN, CUT = "entropic", "entropic-narrow", "stem..layer1"
BETAS: dict[Size, tuple[float, ...]] = {"quick": (2.0,), "medium": (2.0, 4.0), "full": (1.0, 2.0, 4.0, 8.0)}
SEEDS = (2.0, 4.0)  # β of the seeds beside the first
EPOCHS: dict[Size, tuple[float, float, float]] = {"quick": (2, 1, 1), "medium": (3, 2, 1), "full": (10, 5, 4)}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """A job for each β, each after the one before."""
    found: list[Job] = []
    betas = BETAS[size] if seed == 0 or size != "full" else SEEDS
    for index, beta in enumerate(betas):
        arguments = {"index": index, "betas": list(betas), "seed": seed, "size": size}
        leaves = (record_file(METHOD, point(beta), seed, data=DATA[size]),)
        after = (found[-1].name,) if found else ()
        name = f"{METHOD}-{point(beta)}.{seed}"
        found.append(Job(name, "bench.rates.entropic:rung", leaves, arguments, 2 if seed == 0 else 6, after))
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


def rung(work: Path, advance: Advance, index: int, betas: list[float], seed: int = 0, size: Size = "full") -> None:
    """The student of one β, and its record."""
    found = ground(work, size, advance)
    asked = plan(tuple(betas), seed, size, found.crop)
    folder = work / METHOD / f"seed-{seed}"
    climb = Climb(found.teacher, CUT, DESIGN, found.train, found.train.labels.tolist(), found.look, asked, folder, advance)
    record(work, found, climb.rung(index), METHOD, point(betas[index]), seed, advance)


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
