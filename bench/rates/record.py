"""What one method gave at one operating point, picture by picture: the common coin of the benchmark.

Every method, whatever it is, leaves Records in the folder `records` of the work folder, and every table, curve, interval and
target is made from those alone. Bytes are those of the whole frame (24 bytes of header and the payload; a picture codec's payload
is its file), pictures those of the held-out part in its drawn order, so that any two records can be compared pair by pair.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench import kept
from bench.rates.jobs import record_file
from edgewise.core.errors import SourceError


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured: `method` and `point` name it, `task` and `data` say on what. `epochs` by stage, as in {"stage 1": 10},
    `parameters` of the head, `more` for whatever else a table wants (figures only)."""

    method: str
    point: str
    seed: int = 0
    task: str = "classification"
    data: str = "imagenette-128"
    epochs: dict[str, float] = {}
    parameters: int = 0
    more: dict[str, float] = {}
    note: str = ""


class Record(Struct, frozen=True):
    """`right` (n,): 1 where the answer was right (or the score of the picture, 0 … 1); `bytes` (n,) of its frame."""

    about: About
    right: NDArray[np.float64]
    bytes: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def mean_bytes(self) -> float:
        return float(self.bytes.mean())


def keep(record: Record, work: Path) -> Path:
    """Write it to `work/records/`; a later one of the same method, point, seed, task and data takes its place."""
    a = record.about
    path = work / record_file(a.method, a.point, a.seed, a.task, a.data)
    facts = np.frombuffer(msgspec.json.encode(a), np.uint8)
    return kept.arrays(path, right=record.right, bytes=record.bytes, about=facts)


def records(work: Path) -> list[Record]:
    """All that were kept, by name; SourceError for a file that is none."""
    found = []
    for path in kept.finished(work / "records"):
        try:
            with np.load(path) as parts:
                about = msgspec.json.decode(parts["about"].tobytes(), type=About)
                found.append(Record(about, parts["right"], parts["bytes"]))
        except (OSError, KeyError, ValueError, msgspec.DecodeError) as error:
            raise SourceError(
                "a record cannot be read", got=f"{path.name} ({error})", hint="Remove it and run its job again."
            ) from error
    return found
