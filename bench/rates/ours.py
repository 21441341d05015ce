"""Our head on the ground of the benchmark: one ladder of β, and two ways to tune each rung.

    lean         stage 2 leaves the encoder as stage 1 made it, without a label: one bitstream for any tail
    lean-task    stage 2 teaches the encoder too, cross-entropy, KL and bits at WORTH · β together: what the classes do not need
                 no longer crosses, so this bitstream is for this task alone

Both stand at the cut behind layer2, with the link at stride 16 (`edgewise.split.training.lean`), and follow the same plan as
Entropic Student, epoch by epoch (the paper's 10 + 10 for each β):

    epochs            here
    stage 1, first β    10      every further β, warm-started from the one before: 5
    stage 2              4

Finer rungs (FINE) have a ladder of their own each, so that the others keep their epochs: what the teacher's own accuracy costs.
Their encoder stays as stage 1 made it.

Stage 1 of a rung is a job, and each way to tune it another, so that two cores have work. A seed beside the first climbs the same
ladder as far as its last point, so that a β has the same epochs behind it in every seed, and is tuned and recorded at two points.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from bench.jobs import Advance, Job, Size
from bench.rates.entropic import EPOCHS, climbed, point, record
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from edgewise.split.training.ladder import Climb
from edgewise.split.training.rung import Plan, Rung

METHOD, TASK, DESIGN, CUT = "lean", "lean-task", "lean", "stem..layer2"
BETAS: dict[Size, tuple[float, ...]] = {"quick": (0.5,), "medium": (1.25, 3.0), "full": (0.5, 1.25, 3.0, 6.0)}
FINE: dict[Size, tuple[float, ...]] = {"quick": (), "medium": (), "full": (0.1, 0.2)}
SEEDS = (1.25, 3.0)  # β of the seeds beside the first
WORTH = 0.7  # of a bit in stage 2, where the loss is half cross-entropy and half KL instead of errors of features
TAUGHT = "taught.json"
PLANNED = {"cut": CUT, "design": DESIGN, "worth": WORTH}  # beside the epochs, what a record follows from


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """Stage 1 of each β after that of the one before; behind each its two ways to be tuned."""
    betas, told = climbed(BETAS[size], SEEDS, seed, size)
    fine = FINE[size] if seed == 0 else ()
    finer = [job for beta in fine for job in _ladder((beta,), (beta,), seed, size, (METHOD,))]
    return [*_ladder(betas, told, seed, size), *finer]


def _ladder(
    betas: tuple[float, ...], told: tuple[float, ...], seed: int, size: Size, ways: tuple[str, ...] = (METHOD, TASK)
) -> list[Job]:
    found: list[Job] = []
    before: tuple[str, ...] = ()
    priority = 1 if seed == 0 else 6
    for index, beta in enumerate(betas):
        arguments = {"index": index, "betas": list(betas), "seed": seed, "size": size}
        name = f"{METHOD}-taught-{point(beta)}.{seed}"
        leaves = (str(_folder(Path(), seed, index, betas) / TAUGHT),)
        found.append(Job(name, "bench.rates.ours:taught", leaves, arguments, priority, before, PLANNED))
        before = (name,)
        for method in ways if beta in told else ():
            leaves = (record_file(method, point(beta), seed, data=DATA[size]),)
            more = {**arguments, "method": method}
            called = f"{method}-{point(beta)}.{seed}"
            found.append(Job(called, "bench.rates.ours:tuned", leaves, more, priority + 0.1, before, PLANNED))
    return found


def plan(betas: list[float], index: int, seed: int, size: Size, crop: int, method: str) -> Plan:
    """What the ladder is asked for, as far as the rung `index`; `method` "" is stage 1 alone."""
    first, further, tuned = EPOCHS[size]
    return Plan(
        tuple(betas[: index + 1]),
        first=first,
        further=further,
        tuned=tuned if method else 0,
        free=method == TASK,
        worth=WORTH,
        crop=crop,
        seed=seed,
    )


def taught(work: Path, advance: Advance, index: int, betas: list[float], seed: int = 0, size: Size = "full") -> None:
    """Stage 1 of one β, and what its frames will take."""
    found = ground(work, size, advance)
    history = climb(work, found, index, betas, seed, size, "", advance).history
    (_folder(work, seed, index, tuple(betas)) / TAUGHT).write_bytes(msgspec.json.encode(dict(history)))


def tuned(
    work: Path, advance: Advance, index: int, betas: list[float], seed: int = 0, size: Size = "full", method: str = METHOD
) -> None:
    """Stage 2 of one β, and its record. It works in a folder of its own, beginning with a copy of stage 1."""
    found = ground(work, size, advance)
    there = _folder(work, seed, index, tuple(betas)) / "stage-1"
    here = work / method / f"seed-{seed}" / _rung(index, betas[index]) / "stage-1"
    if not here.exists():
        shutil.copytree(there, here.with_name("stage-1.unfinished"), dirs_exist_ok=True)
        here.with_name("stage-1.unfinished").replace(here)
    done = climb(work, found, index, betas, seed, size, method, advance)
    record(work, found, done, method, point(betas[index]), seed, advance)


def climb(
    work: Path, found: Ground, index: int, betas: list[float], seed: int, size: Size, method: str, advance: Advance
) -> Rung:
    """A rung of stage 1 alone (`method` "") or of one way to tune it; what is done costs a look."""
    asked = plan(betas, index, seed, size, found.crop, method)
    own = work / method / f"seed-{seed}" if method else _root(work, seed)
    labels = found.train.labels.tolist()
    return Climb(found.teacher, CUT, DESIGN, found.train, labels, found.look, asked, own, advance).rung(index)


def _root(work: Path, seed: int) -> Path:
    return work / "lean-taught" / f"seed-{seed}"


def _folder(work: Path, seed: int, index: int, betas: tuple[float, ...]) -> Path:
    return _root(work, seed) / _rung(index, betas[index])


def _rung(index: int, beta: float) -> str:
    return f"{index}-beta-{beta:g}"
