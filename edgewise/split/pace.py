"""How many epochs fit into the seconds that somebody gives a training of several stages, found before it begins and kept.

Some steps of each stage are made on the side, timed by processor time and thrown away; the epochs of the plan that was asked for
are then stretched or shrunk alike until their steps take those seconds. The result is kept, so that a run which was killed goes
on as the same run on a machine that is busier by then. What freezing, exporting and measuring take comes on top.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from edgewise.core.errors import ConfigError

Advance = Callable[[str, float], None]
Plan = TypeVar("Plan", bound=Struct)
TRIED = 8  # steps of each stage that are timed
WARMING = 2  # of them, that are not counted
KEPT = "plan.json"


class Stage(Struct, frozen=True):
    """A stage of a plan: the field with its batch's size, and how often each of its fields of epochs comes."""

    batch: str
    passes: Mapping[str, float]


class _Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked for, and what came of it."""

    asked: dict[str, Any]
    seconds: float
    epochs: dict[str, float]


def paced(
    asked: Plan,
    stages: Sequence[Stage],
    seconds: float,
    tried: Callable[[Plan, Path, Advance], object],
    pictures: int,
    work: Path,
    processor: Callable[[], float] = time.process_time,
) -> Plan:
    """`asked` with epochs that take `seconds`; what `work` keeps from an earlier call is taken.

    `tried(plan, folder, advance)` runs a plan of few steps; advance is called after each step, by stage, in `stages`' order.
    """
    told = msgspec.to_builtins(asked)
    file = work / KEPT
    if file.is_file():
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        if kept.asked != msgspec.json.decode(msgspec.json.encode(told)) or kept.seconds != seconds:
            raise ConfigError(
                "the work folder holds a run of other seconds, or of another plan",
                got=f"{seconds:g} seconds",
                allowed=f"{kept.seconds:g} seconds, and rates and options as before",
                hint="Give another --work, or remove this one.",
            )
        return msgspec.structs.replace(asked, **kept.epochs)
    marks: dict[str, list[float]] = {}

    def mark(what: str, share: float) -> None:
        marks.setdefault(what, []).append(processor())

    stages = [stage for stage in stages if any(getattr(asked, field) for field in stage.passes)]
    few = {field: TRIED * getattr(asked, s.batch) / pictures for s in stages for field in s.passes if getattr(asked, field)}
    trial = work / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    tried(msgspec.structs.replace(asked, **few), trial, mark)
    shutil.rmtree(trial, ignore_errors=True)
    rows = [row for row in marks.values() if len(row) >= TRIED]
    whole = sum(
        passes * getattr(asked, field) * pictures / getattr(asked, stage.batch) * _step(row)
        for stage, row in zip(stages, rows, strict=True)
        for field, passes in stage.passes.items()
    )
    found = {field: getattr(asked, field) * seconds / whole for field in few}
    work.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_bytes(msgspec.json.encode(_Kept(told, seconds, found)))
    unfinished.replace(file)
    return msgspec.structs.replace(asked, **found)


def _step(marks: Sequence[float]) -> float:
    """Seconds of one step."""
    return max(float(np.median(np.diff(marks)[WARMING:])), 1e-6)
