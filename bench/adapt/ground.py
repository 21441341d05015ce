"""The ground of the benchmark of adaptation: how much of everything there is in each size, and the jobs that train its networks.

| size | CIFAR-10, a domain | Imagenette, a domain | seeds | for |
|---|---|---|---|---|
| full | 10,000 | 5,000 | 0, 1, 2; Imagenette 0 | figures |
| medium | 1,200 | none | 0 | ten minutes: trends |
| quick | 150 | none | 0 | a minute: does every path work |

A seed draws the student's training, the order of the stream, what is uploaded and every grain of noise; the teacher is the same
for all seeds. Sizes have folders of their own below the work folder, the full one the folder itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

import bench.jobs
from bench.adapt import models
from bench.adapt.models import Data, Role
from bench.jobs import Advance, Job, Size
from bench.report import ROOT

WORK = ROOT / "build" / "adapt"
PRIORITY = {"student": 0.0, "teacher": 0.1}


class Scale(Struct, frozen=True):
    """`each`: pictures of a domain by data; those not named are left out. `teach` and `judge`: pictures that there are to learn
    from and to judge on (0: all). `epochs` by data and role, the plan's own where none is named; `detector`: frames of a road;
    `seeds`."""

    each: dict[Data, int]
    seeds: tuple[int, ...] = (0,)
    teach: int = 0
    judge: int = 0
    epochs: dict[tuple[Data, Role], float] = {}
    detector: int = 2000

    def pictures(self, data_set: Data, share: float = 1.0) -> int:
        """A share of a domain, in whole batches where there are some."""
        return max(50, round(self.each[data_set] * share / 50) * 50)

    def part(self, data_set: Data) -> float:
        """How much shorter than the full size it is."""
        return self.each[data_set] / SCALES["full"].each[data_set]


SCALES: dict[Size, Scale] = {
    "full": Scale(
        {"cifar10": 10_000, "imagenette": 5_000},
        (0, 1, 2),
        epochs={("imagenette", "student"): 8, ("imagenette", "teacher"): 6},
    ),
    "medium": Scale(
        {"cifar10": 1_200}, epochs={("cifar10", "student"): 0.4, ("cifar10", "teacher"): 0.8}, judge=2_000, detector=100
    ),
    "quick": Scale(
        {"cifar10": 150}, teach=200, judge=150, epochs={("cifar10", "student"): 0.5, ("cifar10", "teacher"): 0.5}, detector=4
    ),
}
# minutes of one core: 0.5 s a step of ResNet-20, 0.8 s of ResNet-56; 18 ms a picture of ResNet-10 at 112 px, 32 ms of ResNet-18
MINUTES: dict[tuple[Data, Role], float] = {
    ("cifar10", "student"): 3,
    ("cifar10", "teacher"): 20,
    ("imagenette", "student"): 22,
    ("imagenette", "teacher"): 29,
}

SHORT: dict[tuple[Size, Role], float] = {
    ("medium", "student"): 1.2,
    ("medium", "teacher"): 3,
    ("quick", "student"): 0.05,
    ("quick", "teacher"): 0.15,
}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """The student of this seed, and with seed 0 the teacher and the networks of Imagenette."""
    scale = SCALES[size]
    wanted: list[tuple[Data, Role]] = [("cifar10", "student")]
    if seed == 0:
        wanted.append(("cifar10", "teacher"))
        if "imagenette" in scale.each:
            wanted += [("imagenette", "student"), ("imagenette", "teacher")]
    return [_job(data_set, role, seed, size) for data_set, role in wanted]


def net(data_set: Data, role: Role, seed: int = 0) -> str:
    """The name of the job that trains it: one teacher for all seeds."""
    return f"{data_set}-{role}.{0 if role == 'teacher' else seed}"


def before(data_set: Data, seed: int) -> tuple[str, ...]:
    """What a replay comes after."""
    return net(data_set, "student", seed), net(data_set, "teacher")


def jobs_of(names: Sequence[str], seed: int = 0, size: Size = "full") -> list[Job]:
    """The jobs of these methods (files of bench/adapt)."""
    return bench.jobs.jobs_of("adapt", names, seed, size)


def methods() -> list[str]:
    """The modules of bench/adapt that have jobs."""
    return bench.jobs.methods("adapt")


def train(work: Path, advance: Advance, data_set: Data, role: Role, seed: int, size: Size) -> None:
    """A job: one network of that size, in the place where the other jobs look for it."""
    scale = SCALES[size]
    models.fit(work, advance, data_set, role, seed, scale.teach, scale.epochs.get((data_set, role), 0.0))


def _job(data_set: Data, role: Role, seed: int, size: Size) -> Job:
    return Job(
        net(data_set, role, seed),
        "bench.adapt.ground:train",
        tuple(models.leaves(data_set, role, seed)),
        {"data_set": data_set, "role": role, "seed": seed, "size": size},
        PRIORITY[role] + (0.5 if data_set == "imagenette" else 0),
        plan={"course": str(models.planned(data_set, role, seed, SCALES[size].epochs.get((data_set, role), 0.0)))},
        minutes=MINUTES[data_set, role] if size == "full" else SHORT[size, role],
    )
