"""Jobs of a benchmark: what is trained or measured, each in a process of its own, one a core, taken up where it stopped.

A Job names a function as `module:function` and gives it arguments; the function is called as `function(work, advance,
**arguments)` and leaves records (or other files) in the work folder. What it `leaves` says whether it is done: a job whose files
are all there is kept, not run again, unless another plan made them. For what is done leaves a short hash of its function, its
arguments and its plan in `jobs/NAME.plan`; files without such a note are taken as they are. A function that keeps checkpoints in
`work` and takes them up can be ended at any time; another begins anew.

The jobs of a benchmark lie in a folder of modules (`bench/rates`, `bench/adapt`): each module with `jobs(seed: int = 0, size:
Size = "full") -> list[Job]` is a method, found by that signature; where it has `EPOCHS` by size, they are in its jobs' plans.

How jobs are run: `bench.running`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bench.report import ROOT
from edgewise.core.errors import ConfigError

Size = Literal["quick", "medium", "full"]
Advance = Callable[[str, float], None]


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """`run` is `module:function`; `leaves`: files below the work folder that are there when it is done (records by
    `record_file`). Lower `priority` runs first; `after`: names of jobs that must be done before; `plan`: constants of its method
    that decide what it leaves (`jobs_of` adds the epochs); `minutes`: about so many of one core, 0 where nobody said."""

    name: str
    run: str
    leaves: tuple[str, ...]
    arguments: dict[str, Any] = {}
    priority: float = 4
    after: tuple[str, ...] = ()
    plan: dict[str, Any] = {}
    minutes: float = 0

    def done(self, work: Path) -> bool:
        """Whether all that it leaves is there, and not by another plan."""
        if not self.leaves or self.missing(work):
            return False
        note = self._note(work)
        return not self.plan or not note.exists() or note.read_text(encoding="utf-8").strip() == self.fingerprint

    def missing(self, work: Path) -> list[str]:
        """What of all that it leaves is not there."""
        return [file for file in self.leaves if not (work / file).exists()]

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of what decides the files that it leaves."""
        decisive = msgspec.json.encode((self.run, self.arguments, self.plan), order="deterministic")
        return hashlib.sha256(decisive).hexdigest()[:12]

    def note(self, work: Path) -> None:
        """Write down by which plan it was done; a job without a plan writes nothing."""
        if self.plan:
            self._note(work).parent.mkdir(parents=True, exist_ok=True)
            self._note(work).write_text(self.fingerprint + "\n", encoding="utf-8")

    def _note(self, work: Path) -> Path:
        return work / "jobs" / f"{self.name}.plan"


def folder(work: Path, size: Size) -> Path:
    """Where galleries, checkpoints and records of that size lie: the full one's in the folder itself, the others' below it."""
    return work if size == "full" else work / size


def modules(room: str, begins: str) -> list[str]:
    """The modules of bench/ROOM that define a function that begins so, as `rows(work`."""
    files = sorted((ROOT / "bench" / room).glob("*.py"))
    return [f.stem for f in files if f"\ndef {begins}" in f.read_text(encoding="utf-8")]


def methods(room: str) -> list[str]:
    """The modules of bench/ROOM that define `jobs(seed…`."""
    return modules(room, "jobs(seed")


def jobs_of(room: str, names: Sequence[str], seed: int = 0, size: Size = "full") -> list[Job]:
    """The jobs of these methods (files of bench/ROOM), in order of priority; ConfigError for two of one name."""
    known = methods(room)
    unknown = [n for n in names if n not in known]
    if unknown:
        raise ConfigError("there is no such method", got=", ".join(unknown), allowed=", ".join(known) or "none yet")
    found: list[Job] = []
    for name in names:
        module = importlib.import_module(f"bench.{room}.{name}")
        epochs = {"epochs": module.EPOCHS[size]} if hasattr(module, "EPOCHS") else {}
        found += [msgspec.structs.replace(job, plan={**epochs, **job.plan}) for job in module.jobs(seed, size)]
    twice = sorted({j.name for j in found if sum(o.name == j.name for o in found) > 1})
    if twice:
        raise ConfigError("two jobs have one name", got=", ".join(twice))
    return sorted(found, key=lambda j: j.priority)
