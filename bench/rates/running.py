"""Runs jobs: each in a process of its own with one thread, one a core, taken up where it stopped, bounded by seconds.

    python -m bench.rates.running [--work build/split] [--method NAME …] [--only NAME …] [--seed 0 …] [--seconds S] [--list]

A child says how far it is as JSON lines; what it warns of goes into a log of the work folder. Two processes never run one job at
once: a lock on a file there, which the system drops with the process. What still runs when the seconds are over is ended, and
the next call goes on with it. A job that fails fails alone.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import importlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, get_args

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.rates.jobs import WORK, Advance, Job, Size, folder, jobs_of, methods
from bench.report import ROOT
from edgewise.core.errors import EdgewiseError, SourceError

State = Literal["kept", "done", "failed", "ended", "waits"]
POLL, GRACE = 0.2, 20.0  # seconds


class Outcome(Struct, frozen=True):
    """What became of a job: `kept` from before, `done`, `failed` (`reason`), `ended` by the bound of seconds; or it `waits`."""

    job: Job
    state: State
    seconds: float = 0.0
    reason: str = ""


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What a child is told on its command line."""

    job: Job
    work: str


class _Said(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a child: how far it is, or the sentence that it failed with."""

    what: str = ""
    share: float = 0.0
    failed: str = ""


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
    running: dict[str, _Child] = {}
    with selectors.DefaultSelector() as heard, contextlib.ExitStack() as bound:
        bound.callback(_close, running)
        while waiting or running:
            while len(running) < cores and time.monotonic() < end and (job := _next(waiting, outcomes, jobs, work)):
                waiting.remove(job)
                running[job.name] = child = _Child(job, work)
                heard.register(child.out, selectors.EVENT_READ, child)
            if not running or time.monotonic() >= end:
                break
            for key, _ in heard.select(min(POLL, max(end - time.monotonic(), 0))):
                key.data.hear(advance)
            for child in [c for c in running.values() if c.process.poll() is not None]:
                heard.unregister(child.out)
                del running[child.job.name]
                outcomes[child.job.name] = child.outcome(advance)
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
            _call(job, work, functools.partial(_said_of, job.name, advance))
            missing = [f for f in job.leaves if not (work / f).exists()]
            reason = f"it ended without leaving {', '.join(missing)}" if missing else ""
        except EdgewiseError as error:
            reason = str(error)
        outcomes[job.name] = Outcome(job, "failed" if reason else "done", time.monotonic() - start, reason)
        advance(job.name, 1.0)
    return [outcomes.get(j.name, Outcome(j, "waits", reason=_why(j, outcomes))) for j in jobs]


def _said_of(name: str, advance: Advance, what: str, share: float) -> None:
    advance(f"{name}: {what}", share)


def _close(running: dict[str, _Child]) -> None:
    for child in running.values():
        child.close()


def _next(waiting: list[Job], outcomes: dict[str, Outcome], jobs: Sequence[Job], work: Path) -> Job | None:
    """The first that nothing keeps waiting: what it comes `after` is done, now or (where it is not among the jobs) before."""
    here = {j.name for j in jobs}

    def ready(name: str) -> bool:
        return name not in here or (name in outcomes and outcomes[name].state in ("kept", "done"))

    return next((j for j in waiting if all(ready(name) for name in j.after)), None)


def _why(job: Job, outcomes: dict[str, Outcome]) -> str:
    unmet = [n for n in job.after if n not in outcomes or outcomes[n].state not in ("kept", "done")]
    return f"it comes after {', '.join(unmet)}" if unmet else "the bound of seconds was reached before its turn"


class _Child:
    """A job that runs: its process, what it said last, its log below the work folder."""

    def __init__(self, job: Job, work: Path) -> None:
        self.job, self.work, self.start, self.failed = job, work, time.monotonic(), ""
        self.log = work / "jobs" / f"{job.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        asked = msgspec.json.encode(_Asked(job, str(work))).decode()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.rates.running", "--child", asked],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
            )
        assert self.process.stdout is not None
        self.out: IO[bytes] = self.process.stdout
        os.set_blocking(self.out.fileno(), False)
        self._rest = b""

    @property
    def age(self) -> float:
        return time.monotonic() - self.start

    def hear(self, advance: Advance) -> None:
        """Take the lines that are there; a line that is none of ours is left in peace."""
        try:
            more = os.read(self.out.fileno(), 1 << 16)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + more).split(b"\n")
        for line in lines:
            try:
                said = msgspec.json.decode(line, type=_Said)
            except msgspec.DecodeError:
                continue
            self.failed = said.failed or self.failed
            if not said.failed:
                advance(f"{self.job.name}: {said.what}", said.share)

    def outcome(self, advance: Advance) -> Outcome:
        """What became of a process that has ended."""
        self.hear(advance)
        self.out.close()
        status = self.process.returncode
        missing = [f for f in self.job.leaves if not (self.work / f).exists()]
        if status == 0 and not missing:
            return Outcome(self.job, "done", self.age)
        left = f"it ended without leaving {', '.join(missing)}" if status == 0 else f"it ended with status {status}"
        return Outcome(self.job, "failed", self.age, self.failed or f"{left}; see {self.log.name}")

    def close(self) -> None:
        """End it, gently first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(GRACE)
        if not self.out.closed:
            self.out.close()


@contextlib.contextmanager
def _alone(job: Job, work: Path) -> Iterator[None]:
    """Hold the job's lock; SourceError where another process runs it."""
    with (work / "jobs" / f"{job.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError("another process runs this job", got=job.name, hint="Wait for it, or end it first.") from error
        yield


def _call(job: Job, work: Path, advance: Advance) -> None:
    """Call the job's function, with its lock held."""
    module, _, name = job.run.partition(":")
    (work / "jobs").mkdir(parents=True, exist_ok=True)
    with _alone(job, work):
        getattr(importlib.import_module(module), name)(work, advance, **job.arguments)


def _child(asked: _Asked) -> int:
    """The child's side: call the function, say how far it is once a second, and the sentence where it fails."""
    last = [0.0]

    def say(said: _Said) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
            sys.stdout.buffer.flush()

    def advance(what: str, share: float) -> None:
        if time.monotonic() - last[0] >= 1:
            last[0] = time.monotonic()
            say(_Said(what, share))

    try:
        _call(asked.job, Path(asked.work), advance)
    except EdgewiseError as error:
        say(_Said(failed=str(error)))
        return 1
    return 0


def _environment() -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT)}


def followed(jobs: Sequence[Job], work: Path, cores: int, seconds: float, console: Console, again: bool = False) -> list[Outcome]:
    """`run` with a bar for each job that is at work."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}

        def advance(what: str, share: float) -> None:
            name = what.partition(":")[0]
            if name not in bars:
                bars[name] = progress.add_task(what, total=1.0)
            progress.update(bars[name], description=what, completed=share, visible=share < 1)

        return run(jobs, work, cores, seconds, advance, again)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rates.running", description="Run jobs of the split benchmark.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of galleries, checkpoints and records")
    parser.add_argument("--size", choices=get_args(Size), default="full")
    parser.add_argument("--seed", type=int, action="append", help="one or more; 0 unless told")
    parser.add_argument("--method", action="append", help=f"one or more of: {', '.join(methods())}")
    parser.add_argument("--only", action="append", help="names of jobs, or their beginnings")
    parser.add_argument("--cores", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true", help="also what is done already")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    given = parser.parse_args(words)
    if given.child:
        return _child(msgspec.json.decode(given.child, type=_Asked))
    console = Console(stderr=True)
    try:
        chosen = [j for s in given.seed or [0] for j in jobs_of(given.method or methods(), s, given.size)]
        chosen = [j for j in chosen if not given.only or any(j.name.startswith(o) for o in given.only)]
        work = folder(given.work, given.size)
        if given.list:
            for job in chosen:
                console.print(f"{job.priority:4g}  {job.name:40} {'done' if job.done(work) else ''}", markup=False)
            return 0
        outcomes = followed(chosen, work, given.cores, given.seconds, console, given.again)
    except EdgewiseError as error:
        console.print(f"jobs: {error}", style="red", markup=False, highlight=False)
        return 1
    for one in outcomes:
        console.print(f"{one.state:7} {one.job.name:40} {one.seconds:6.0f} s  {one.reason}", markup=False, highlight=False)
    return 0 if all(o.state in ("kept", "done") for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
