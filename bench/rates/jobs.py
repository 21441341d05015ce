"""The jobs of the split benchmark: its methods, files bench/rates/NAME.py, its work folder, and the names of its records.

It does not know what a job is (`bench.jobs`), nor how jobs are run (`bench.running`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import bench.jobs
from bench.jobs import Job, Size
from bench.report import ROOT

WORK = ROOT / "build" / "split"
# what records of each size call their pictures
DATA: dict[Size, str] = {"quick": "cifar10-32", "medium": "imagenette-128", "full": "imagenette-128"}
GROUND = "ground"  # the job that comes before all others


def record_file(method: str, point: str, seed: int = 0, task: str = "classification", data: str = "imagenette-128") -> str:
    """The path, below the work folder, at which `record.keep` puts the record of that name.

    >>> record_file("lean", "b3")
    'records/imagenette-128.classification.lean.b3.0.npz'
    """
    return f"records/{data}.{task}.{method}.{point}.{seed}.npz"


def methods() -> list[str]:
    """The modules of bench/rates that define `jobs(seed…`."""
    return bench.jobs.methods("rates")


def jobs_of(names: Sequence[str], seed: int = 0, size: Size = "full") -> list[Job]:
    """The jobs of these methods, in order of priority, all after the ground; ConfigError for two of one name."""
    found = bench.jobs.jobs_of("rates", names, seed, size)
    return [j if j.name == GROUND else msgspec.structs.replace(j, after=(*j.after, GROUND)) for j in found]
