"""Split methods and picture codecs on the same pictures: bytes against accuracy, latency, energy; targets and figures.

    ./dev bench split --quick      a minute: the first half of the paths, on CIFAR-10 at 32 px; no figure of it means anything
    ./dev bench split --medium     ten minutes: fewer pictures, epochs and points, on Imagenette at 128 px, without the junction
    ./dev bench split              hours: every job of every method, seed 0, and two points of seeds 1 and 2

Each method is a file of bench/rates: its `jobs(seed, size)` leave records, and `rows(work)` of those that have one make rows,
targets and figures of what is there. A run takes up what is done already: jobs keep checkpoints in build/split and may be run
before, one by one, by `python -m bench.rates.running`. What was not run, or failed, stays in the config of the result by name and
reason, and leaves its targets out.

Accuracy and bytes are of all 3,925 held-out pictures; bytes are those of whole frames, 24 of a header included. Intervals are
95 % of a paired bootstrap over pictures; what another training would change is seen in the rows of three seeds alone.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.jobs import Job, Size, folder, modules
from bench.rates import compared
from bench.rates.ground import DONE
from bench.rates.jobs import WORK, jobs_of, methods
from bench.report import Report, Row, Target
from bench.running import Outcome, account, followed

SEEDS: dict[Size, tuple[int, ...]] = {"quick": (0,), "medium": (0,), "full": (0, 1, 2)}
SECONDS: dict[Size, float] = {"quick": 50.0, "medium": 540.0, "full": float("inf")}
GROUND = ("teacher", "train.npz", "val.npz", DONE)  # what a quick run keeps of the one before


def run(quick: bool, medium: bool = False, work: Path = WORK) -> Report:
    """Run what is not done of that size, and report on all that is there."""
    size: Size = "quick" if quick else "medium" if medium else "full"
    here = folder(work, size)
    here.mkdir(parents=True, exist_ok=True)
    if quick:
        _afresh(here)
    outcomes = followed(planned(size), here, 0, SECONDS[size], Console(stderr=True), together=quick)
    return reported(here, size, outcomes)


def reported(work: Path, size: Size, outcomes: Sequence[Outcome] = ()) -> Report:
    """Rows, targets and figures of the records in `work`."""
    rows: list[Row] = []
    targets: list[Target] = []
    figures: dict[str, bytes] = {}
    for name in reporting():
        more, judged, *drawn = importlib.import_module(f"bench.rates.{name}").rows(work)
        rows += more
        targets += judged
        for figure in drawn:
            figures |= figure
    config: dict[str, Any] = {"size": size, "methods": compared.epochs(work), **account(outcomes)}
    return Report(rows, targets, config, "modelled", "onnxruntime and torch, CPU", figures)


def reporting() -> list[str]:
    """The modules of bench/rates that define `rows(work…`, this comparison first."""
    return sorted(modules("rates", "rows(work"), key=lambda n: n != "compared")


def planned(size: Size) -> list[Job]:
    """All jobs of that size."""
    return [job for seed in SEEDS[size] for job in jobs_of(methods(), seed, size)]


def _afresh(here: Path) -> None:
    """A quick run proves that everything runs, so it begins with the pictures and their teacher alone."""
    for entry in here.iterdir():
        if entry.name not in GROUND:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
