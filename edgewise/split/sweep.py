"""A sweep: trainings that do not wait for each other, each in a process of its own, one a core.

Two threads of one training on two cores gain little; two trainings gain a core. A child is this file as a program: it is told
on its standard input what to call, says on its standard output how far it is, and ends when that input ends, so that no child
goes on where its parent was killed. What it prints otherwise goes into a log of the folder.

    parent → child    one line of JSON: target `module:function`, its argument
    child → parent    lines of JSON: what it does and the share of it; or the sentence that it failed with

A task that fails ends the sweep with its sentence, and the others are ended too: they have their checkpoints, and the same call
goes on from there. It does not know what a task does.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
from msgspec import Struct

from edgewise.core.errors import ConfigError, EdgewiseError

Advance = Callable[[str, float], None]
GRACE = 10.0  # seconds that a child is given to end
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """`target` (module:function) is called with `said` and an advance; it waits for the tasks named in `after`."""

    name: str
    target: str
    said: dict[str, Any]
    after: tuple[str, ...] = ()


class Heard(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a child: what share of what is done, or the sentence it failed with."""

    what: str = ""
    share: float = 0.0
    failed: str = ""


class SweepError(EdgewiseError):
    """A child's own sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.args = (sentence,)


class _Child:
    """A running task; its lines go into the queue with its name, and None when it has ended."""

    def __init__(self, task: Task, logs: Path, lines: SimpleQueue[tuple[str, Heard | None]]) -> None:
        self.task, self.failed = task, ""
        self.log = logs / f"{task.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgewise.split.sweep"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **dict.fromkeys(THREADS, "1")},
                start_new_session=True,  # Ctrl-C is the parent's to hear
            )
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(msgspec.json.encode(task) + b"\n")
        self.process.stdin.flush()
        self._lines = lines
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put((self.task.name, msgspec.json.decode(line, type=Heard)))
        self.process.wait()
        self._lines.put((self.task.name, None))

    def close(self) -> None:
        """Let go of the pipes of a process that has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._hearing.join()
        self.close()


def swept(tasks: Sequence[Task], cores: int, logs: Path, advance: Advance = lambda what, share: None) -> None:
    """Do all `tasks`, at most `cores` at once; the first that fails ends the others, and its sentence is raised."""
    names = [t.name for t in tasks]
    unmet = [f"{t.name} after {name}" for i, t in enumerate(tasks) for name in t.after if name not in names[:i]]
    if unmet or len(set(names)) < len(names) or cores < 1:
        raise ConfigError(
            "a sweep cannot be run", got=unmet or names, allowed="names once, each after earlier ones, a core or more"
        )
    logs.mkdir(parents=True, exist_ok=True)
    lines: SimpleQueue[tuple[str, Heard | None]] = SimpleQueue()
    waiting, running, done = list(tasks), dict[str, _Child](), set[str]()
    try:
        while waiting or running:
            while len(running) < cores and (ready := next((t for t in waiting if done >= set(t.after)), None)):
                waiting.remove(ready)
                running[ready.name] = _Child(ready, logs, lines)
            name, heard = lines.get()
            if heard is None:
                child = running.pop(name)
                child.close()
                if child.process.returncode:
                    raise SweepError(child.failed or _crashed(child))
                done.add(name)
            elif heard.failed:
                running[name].failed = heard.failed
            else:
                advance(heard.what, heard.share)
    finally:
        for child in running.values():
            child.end()


def _crashed(child: _Child) -> str:
    last = child.log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
    return (
        f"the training {child.task.name} ended with status {child.process.returncode}; got {last or 'no word'}. See {child.log}."
    )


def main() -> int:
    """A child's whole life."""
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a person's network prints is no line of ours
    with open(0, "rb", buffering=0, closefd=False) as told_by:
        task = msgspec.json.decode(told_by.readline(), type=Task)
    threading.Thread(target=_orphaned, daemon=True).start()
    told: dict[str, int] = {}

    def say(what: str, share: float) -> None:
        percent = int(100 * share)
        if told.get(what) != percent:
            told[what] = percent
            out.write(msgspec.json.encode(Heard(what, share)) + b"\n")
            out.flush()

    module, _, function = task.target.partition(":")
    try:
        getattr(importlib.import_module(module), function)(task.said, say)
    except EdgewiseError as error:
        out.write(msgspec.json.encode(Heard(failed=str(error))) + b"\n")
        out.flush()
        return 1
    return 0


def _orphaned() -> None:
    """Ends the process when the parent is gone: its end of the pipe is closed with it, however it went."""
    while os.read(0, 4096):  # not `sys.stdin`: the lock of its buffer would be held while the interpreter ends
        pass
    os._exit(3)


if __name__ == "__main__":
    raise SystemExit(main())
