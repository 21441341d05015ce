"""Children of a benchmark: started with a job on their command line, watched from outside, always ended.

A child says one JSON line when it is ready and may say another at its end. Its CPU time and memory are read by the parent,
so that reading them costs the child nothing. Every wait is bounded.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import psutil  # type: ignore[import-untyped]

from bench.report import ROOT
from edgewise.core.errors import LinkError

T = TypeVar("T")


class Child:
    """A running child; `said` is its last line, decoded by `hear`."""

    def __init__(self, module: str, job: Any) -> None:
        self.module = module
        command = [sys.executable, "-m", module, msgspec.json.encode(job).decode()]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=_environment())
        self.watched = psutil.Process(self.process.pid)

    def hear(self, kind: type[T], seconds: float) -> T:
        """The child's next line, within `seconds`."""
        assert self.process.stdout is not None
        end, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not more:
                state = "ended" if ready else "said nothing in time"
                raise LinkError(f"a process of the benchmark {state}", got=f"{self.module}, status {self.process.poll()}")
            line += more
        return msgspec.json.decode(line, type=kind)

    def cpu(self) -> float:
        """CPU seconds used so far, user and system."""
        times = self.watched.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Resident bytes now."""
        return float(self.watched.memory_info().rss)

    def kill(self) -> None:
        """End it at once, as a machine that loses power would."""
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        """End it, gently first."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def child(module: str, job: Any) -> Iterator[Child]:
    """A child that is ended whatever happens."""
    running = Child(module, job)
    try:
        yield running
    finally:
        running.close()


def say(value: Any) -> None:
    """The child's side: one JSON line."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def job(kind: type[T]) -> T:
    """The child's side: what the parent asked for."""
    return msgspec.json.decode(sys.argv[1].encode(), type=kind)


def _environment() -> dict[str, str]:
    """The parent's, with one thread for every numerical library."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
