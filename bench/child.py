"""One job as a process: the parent's side starts it, hears of it and ends it; the child's side calls the function.

A child says how far it is as JSON lines, a sentence where it fails, and what it warns of goes into a log of the work folder. It
holds a lock on a file there while it runs, which the system drops with the process: two processes never run one job at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from bench.jobs import Advance, Job
from bench.report import ROOT
from edgewise.core.errors import EdgewiseError, SourceError

GRACE = 20.0  # seconds that a process has to end


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What a child is told on its command line."""

    job: Job
    work: str


class _Said(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a child: how far it is, or the sentence that it failed with."""

    what: str = ""
    share: float = 0.0
    failed: str = ""


class Child:
    """A job that runs: its process, what it said last, its log below the work folder."""

    def __init__(self, job: Job, work: Path) -> None:
        self.job, self.work, self.start, self.failed = job, work, time.monotonic(), ""
        self.log = work / "jobs" / f"{job.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        asked = msgspec.json.encode(_Asked(job, str(work))).decode()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.child", asked],
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

    def ended(self, advance: Advance) -> str:
        """Why a process that has ended has failed; nothing where it left all that it promised."""
        self.hear(advance)
        self.out.close()
        status = self.process.returncode
        missing = self.job.missing(self.work)
        if status == 0 and not missing:
            return ""
        left = f"it ended without leaving {', '.join(missing)}" if status == 0 else f"it ended with status {status}"
        return self.failed or f"{left}; see {self.log.name}"

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


def call(job: Job, work: Path, advance: Advance) -> None:
    """Call the job's function, with its lock held, and write down by which plan it was done."""
    module, _, name = job.run.partition(":")
    (work / "jobs").mkdir(parents=True, exist_ok=True)
    with _alone(job, work):
        getattr(importlib.import_module(module), name)(work, advance, **job.arguments)
        job.note(work)


def main() -> int:
    """The child's side: call the function, say how far it is once a second, and the sentence where it fails."""
    asked = msgspec.json.decode(sys.argv[1], type=_Asked)
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
        call(asked.job, Path(asked.work), advance)
    except EdgewiseError as error:
        say(_Said(failed=str(error)))
        return 1
    return 0


def _environment() -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main())
