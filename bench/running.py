"""Runs jobs: each in a process of its own with one thread, one a core, taken up where it stopped, bounded by seconds.

    python -m bench.rates.running [--work build/split] [--method NAME …] [--only NAME …] [--seed 0 …] [--seconds S] [--list]
    python -m bench.adapt.running [--work build/adapt] and the same

What still runs when the seconds are over is ended, and the next call goes on with it. A job that fails fails alone, and what
comes after it waits. It knows neither how a process is heard (`bench.child`) nor which jobs there are.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import selectors
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.child import Child, call
from bench.jobs import Advance, Job, Size, folder
from edgewise.core.errors import EdgewiseError

State = Literal["kept", "done", "failed", "ended", "waits"]
DONE: tuple[State, ...] = ("kept", "done")
POLL = 0.2  # seconds


class Outcome(Struct, frozen=True):
    """What became of a job: `kept` from before, `done`, `failed` (`reason`), `ended` by the bound of seconds; or it `waits`."""

    job: Job
    state: State
    seconds: float = 0.0
    reason: str = ""


def run(
    jobs: Sequence[Job],
    work: Path,
    cores: int = 0,
    seconds: float = float("inf"),
    advance: Advance = lambda what, share: None,
    again: bool = False,
) -> list[Outcome]:
    """Run `jobs`, at most `cores` at once (0: as many as the machine has), each with one thread; an Outcome each, in their order.

    `advance(job's name and what it does, share)` is called as children report. A job that fails fails alone, and what comes
    `after` it waits. `again`: also what is done already.
    """
    cores, end = cores or os.cpu_count() or 1, time.monotonic() + seconds
    outcomes = {j.name: Outcome(j, "kept") for j in jobs if j.done(work) and not again}
    waiting = sorted((j for j in jobs if j.name not in outcomes), key=lambda j: j.priority)
    running: dict[str, Child] = {}
    with selectors.DefaultSelector() as heard, contextlib.ExitStack() as bound:
        bound.callback(_close, running)
        while waiting or running:
            while len(running) < cores and time.monotonic() < end and (job := _next(waiting, outcomes, jobs, work)):
                waiting.remove(job)
                running[job.name] = child = Child(job, work)
                heard.register(child.out, selectors.EVENT_READ, child)
            if not running or time.monotonic() >= end:
                break
            for key, _ in heard.select(min(POLL, max(end - time.monotonic(), 0))):
                key.data.hear(advance)
            for child in [c for c in running.values() if c.process.poll() is not None]:
                heard.unregister(child.out)
                del running[child.job.name]
                reason = child.ended(advance)
                outcomes[child.job.name] = Outcome(child.job, "failed" if reason else "done", child.age, reason)
                advance(child.job.name, 1.0)
        for name, child in running.items():
            child.close()
            outcomes[name] = Outcome(
                child.job, "ended", child.age, f"the bound of {seconds:.0f} s; it goes on when it is called again"
            )
    return [outcomes.get(j.name, Outcome(j, "waits", reason=_why(j, outcomes))) for j in jobs]


def in_turn(
    jobs: Sequence[Job], work: Path, seconds: float = float("inf"), advance: Advance = lambda what, share: None
) -> list[Outcome]:
    """Run `jobs` one after another in this process: for jobs so small that a process each would take longer than they do."""
    end, outcomes = time.monotonic() + seconds, {j.name: Outcome(j, "kept") for j in jobs if j.done(work)}
    waiting = sorted((j for j in jobs if j.name not in outcomes), key=lambda j: j.priority)
    while time.monotonic() < end and (job := _next(waiting, outcomes, jobs, work)):
        waiting.remove(job)
        start = time.monotonic()
        try:
            call(job, work, functools.partial(_said_of, job.name, advance))
            missing = job.missing(work)
            reason = f"it ended without leaving {', '.join(missing)}" if missing else ""
        except EdgewiseError as error:
            reason = str(error)
        outcomes[job.name] = Outcome(job, "failed" if reason else "done", time.monotonic() - start, reason)
        advance(job.name, 1.0)
    return [outcomes.get(j.name, Outcome(j, "waits", reason=_why(j, outcomes))) for j in jobs]


def _said_of(name: str, advance: Advance, what: str, share: float) -> None:
    advance(f"{name}: {what}", share)


def _close(running: dict[str, Child]) -> None:
    for child in running.values():
        child.close()


def _next(waiting: list[Job], outcomes: dict[str, Outcome], jobs: Sequence[Job], work: Path) -> Job | None:
    """The first that nothing keeps waiting: what it comes `after` is done, now or (where it is not among the jobs) before."""
    here = {j.name for j in jobs}

    def ready(name: str) -> bool:
        return name not in here or (name in outcomes and outcomes[name].state in DONE)

    return next((j for j in waiting if all(ready(name) for name in j.after)), None)


def _why(job: Job, outcomes: dict[str, Outcome]) -> str:
    unmet = [n for n in job.after if n not in outcomes or outcomes[n].state not in DONE]
    return f"it comes after {', '.join(unmet)}" if unmet else "the bound of seconds was reached before its turn"


def followed(
    jobs: Sequence[Job],
    work: Path,
    cores: int,
    seconds: float,
    console: Console,
    again: bool = False,
    together: bool = False,
) -> list[Outcome]:
    """`run` with a bar for each job that is at work; `together`: `in_turn` instead."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}

        def advance(what: str, share: float) -> None:
            name = what.partition(":")[0]
            if name not in bars:
                bars[name] = progress.add_task(what, total=1.0)
            progress.update(bars[name], description=what, completed=share, visible=share < 1)

        return in_turn(jobs, work, seconds, advance) if together else run(jobs, work, cores, seconds, advance, again)


def account(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """For the config of a result: how many jobs came to what, and by name and reason those that are not done."""
    return {
        "jobs": {s: sum(o.state == s for o in outcomes) for s in get_args(State)},
        "not run": {o.job.name: f"{o.state}: {o.reason}" for o in outcomes if o.state not in DONE},
    }


def command(
    prog: str,
    work: Path,
    methods: Sequence[str],
    jobs_of: Callable[[Sequence[str], int, Size], list[Job]],
    words: Sequence[str] | None = None,
) -> int:
    """The command line of a benchmark's jobs: `methods` are its modules, `jobs_of(names, seed, size)` their jobs."""
    parser = argparse.ArgumentParser(prog=prog, description="Run jobs of a benchmark.")
    parser.add_argument("--work", type=Path, default=work, help="folder of galleries, checkpoints and records")
    parser.add_argument("--size", choices=get_args(Size), default="full")
    parser.add_argument("--seed", type=int, action="append", help="one or more; 0 unless told")
    parser.add_argument("--method", action="append", help=f"one or more of: {', '.join(methods)}")
    parser.add_argument("--only", action="append", help="names of jobs, or their beginnings")
    parser.add_argument("--cores", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true", help="also what is done already")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    given = parser.parse_args(words)
    console = Console(stderr=True)
    try:
        chosen = [j for s in given.seed or [0] for j in jobs_of(given.method or methods, s, given.size)]
        chosen = [j for j in chosen if not given.only or any(j.name.startswith(o) for o in given.only)]
        here = folder(given.work, given.size)
        if given.list:
            listed(chosen, here, console)
            return 0
        outcomes = followed(chosen, here, given.cores, given.seconds, console, given.again)
    except EdgewiseError as error:
        console.print(f"jobs: {error}", style="red", markup=False, highlight=False)
        return 1
    for one in outcomes:
        console.print(f"{one.state:7} {one.job.name:40} {one.seconds:6.0f} s  {one.reason}", markup=False, highlight=False)
    return 0 if all(o.state in DONE for o in outcomes) else 1


def listed(jobs: Sequence[Job], work: Path, console: Console) -> None:
    """Each job by priority, whether it is done, and about how many minutes of one core what is not done takes."""
    for job in jobs:
        about = f"{job.minutes:6.1f} min" if job.minutes else " " * 10
        console.print(f"{job.priority:4g}  {job.name:40} {about}  {'done' if job.done(work) else ''}", markup=False)
    undone = [j for j in jobs if not j.done(work)]
    known = sum(j.minutes for j in undone)
    console.print(f"{len(undone)} of {len(jobs)} not done" + (f", about {known:.0f} minutes of one core" if known else ""))
