"""Adaptation in foul weather: statistics, learning, cascade and what each costs, beside what others do; targets and a figure.

    ./dev bench adapt --quick      a minute: every path once, on a few pictures of CIFAR-10; no figure of it means anything
    ./dev bench adapt --medium     ten minutes: 1,200 pictures a domain, networks that were hardly trained
    ./dev bench adapt              some three hours of one core, and an hour before that for networks: 10,000 pictures a domain of
                                   CIFAR-10 and three seeds, 5,000 of Imagenette and one

Each experiment is a file of bench/adapt: its `jobs(seed, size)` leave records, its `rows(work)` make rows and targets of what is
there. A run takes up what is done: jobs may be run before, one by one, by `python -m bench.adapt.running` (`--list` says what is
undone). What was not run, or failed, stays in the config by name and reason, and leaves its targets out.

Pictures are JPEG copies of CIFAR-10 and Imagenette through corruptions of our own code: **not CIFAR-10-C, not ImageNet-C**, and
not to be compared with figures on those. The teacher saw every family, on other pictures: head-room is there by construction.
Constants are chosen on families that are not reported. Intervals are 95 %, of paired differences and over seeds.
"""

from __future__ import annotations

import importlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from bench.adapt import record
from bench.adapt.ground import SCALES, WORK, jobs_of, methods
from bench.adapt.replays import CHOSEN, LEVEL, RATE, SHARE
from bench.jobs import Job, Size, folder, modules
from bench.report import Report, Row, Target
from bench.running import Outcome, account, followed

SECONDS: dict[Size, float] = {"quick": 55.0, "medium": 540.0, "full": float("inf")}
DRAWN = {"none": "C7", "moving statistics": "C0", "random uploads": "C1", "cascade": "C2", "ours": "C3", "upload all": "k"}


def run(quick: bool, medium: bool = False, work: Path = WORK) -> Report:
    """Run what is not done of that size, and report on all that is there."""
    size: Size = "quick" if quick else "medium" if medium else "full"
    here = folder(work, size)
    here.mkdir(parents=True, exist_ok=True)
    if quick:
        for left in ("records", "roads"):  # that everything runs is what it is for
            shutil.rmtree(here / left, ignore_errors=True)
    outcomes = followed(planned(size), here, 0, SECONDS[size], Console(stderr=True), together=quick)
    return reported(here, size, outcomes)


def planned(size: Size) -> list[Job]:
    """All jobs of that size."""
    return [job for seed in SCALES[size].seeds for job in jobs_of(methods(), seed, size)]


def reported(work: Path, size: Size, outcomes: Sequence[Outcome] = ()) -> Report:
    """Rows, targets and the figure of what is in `work`."""
    rows: list[Row] = []
    targets: list[Target] = []
    for name in reporting():
        more, judged = importlib.import_module(f"bench.adapt.{name}").rows(work)
        rows += more
        targets += judged
    config: dict[str, Any] = {
        "size": size,
        "each": dict(SCALES[size].each),
        "seeds": SCALES[size].seeds,
        "recipe": msgspec.to_builtins(CHOSEN),
        "frames_per_second": RATE,
        "share_that_may_go_up": SHARE,
        "jpeg": LEVEL,
        **account(outcomes),
    }
    return Report(rows, targets, config, "modelled", "torch and onnxruntime, CPU", figure(work))


def reporting() -> list[str]:
    """The modules of bench/adapt that define `rows(work…`, statistics first, then learning."""
    order = ("continual", "long", "selection", "roads", "coded", "device", "recurring", "untrusted")
    return sorted(modules("adapt", "rows(work"), key=lambda name: (order.index(name) if name in order else len(order), name))


def figure(work: Path) -> dict[str, bytes]:
    """Accuracy along the long streams, seed 0: how soon each way is worth what; nothing where none was replayed."""
    cases = {case: seeds[0] for case, seeds in record.cases(record.records(work), "long.").items() if 0 in seeds}
    cases = {case: one for case, one in cases.items() if len(one.found.timeline) > 1}
    if not cases:
        return {}
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure((4.2 * len(cases), 3.6), layout="constrained")
    FigureCanvasAgg(drawing)
    for number, (case, one) in enumerate(cases.items(), 1):
        axes = drawing.add_subplot(1, len(cases), number)
        for name, colour in DRAWN.items():
            points = [(m.seen, 100 * m.accuracy[name]) for m in one.found.timeline if name in m.accuracy]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=name, linewidth=1.3)
        axes.set_title(case.removeprefix("long."), fontsize=9)
        axes.set_xlabel("pictures", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if number == 1:
            axes.set_ylabel("accuracy in each stretch, %", fontsize=8)
            axes.legend(fontsize=7)
    out = io.BytesIO()
    drawing.savefig(out, format="png", dpi=110)
    return {"": out.getvalue()}
