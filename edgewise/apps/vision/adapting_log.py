"""What happened while a server adapted a model, one JSON object a line, in a file that grows to a bound and then begins anew.

`edgewise adapt report` draws it (`adapting_report.py`), so it holds figures and no sentence that a program would have to read:

    begun      model, teacher, budget                 standing   counts since the beginning, every ten seconds
    version    published: number, bytes by its way    stage      of its rollout, and why
    told       what devices are to do from now on     happened   in the course of learning: trial, rejected, rearmed …

The file before is kept once, under another name. Pictures and answers never come here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from edgewise.core.errors import ConfigError

T = TypeVar("T")
LARGEST = 16 << 20  # bytes
NAME, BEFORE = "adapting.jsonl", "adapting.before.jsonl"


class Begun(Struct, frozen=True, tag_field="kind", tag="begun"):
    """`at` in s since 1970, `budget` in B/s for each device."""

    at: float
    model: str
    teacher: str
    budget: float


class Stood(Struct, frozen=True, tag_field="kind", tag="standing"):
    """How it stood: counts since the last `begun`. `frames` of all devices, `bytes_down` of versions that devices took;
    `agreement` with the teacher on audits, of the version in use and of the source (shares of 1, None where there are too few).
    """

    at: float
    state: str
    frames: int
    uploads: int
    audits: int
    bytes_up: int
    bytes_down: int
    steps: int
    accepted: int
    rejected: int
    reverts: int
    version: int
    agreement: float | None
    source: float | None
    refused: dict[str, int]


class Published(Struct, frozen=True, tag_field="kind", tag="version"):
    """Version `version` at `address` in answer to shipment `number`: `whole` bytes of files, `delta` by the way from its
    parent.
    """

    at: float
    number: int
    version: int
    address: str
    whole: int
    delta: int
    why: str


class Staged(Struct, frozen=True, tag_field="kind", tag="stage"):
    """The rollout of `version` entered `stage`."""

    at: float
    version: int
    stage: str
    why: str


class Wished(Struct, frozen=True, tag_field="kind", tag="told"):
    """What devices were told: bytes and samples a second, shares of audits and of the cascade; all 0 where nothing is wanted."""

    at: float
    samples: float
    bytes: float
    audit: float
    cascade: float
    selection: str


class Noted(Struct, frozen=True, tag_field="kind", tag="happened"):
    at: float
    what: str
    why: str


Line = Begun | Stood | Published | Staged | Wished | Noted
_DECODER = msgspec.json.Decoder(Line)


class Journal:
    """In `folder`; lines are written as they come, and one that the disk does not take is counted in `lost`."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self.file, self._largest, self.lost = folder / NAME, largest, 0

    def write(self, line: Line) -> None:
        try:
            if self.file.exists() and self.file.stat().st_size > self._largest:
                self.file.replace(self.file.with_name(BEFORE))
            with self.file.open("ab") as out:
                out.write(msgspec.json.encode(line) + b"\n")
        except OSError:  # a full disk ends no adaptation
            self.lost += 1


def read(file: Path) -> tuple[Line, ...]:
    """The lines of a log, or of that in a state folder; one that was cut off by the end of the process is left out."""
    place = file / NAME if file.is_dir() else file
    if not place.is_file():
        raise ConfigError(
            "there is no log of adaptation", got=file, allowed=f"{NAME}, or the state folder of a server with --adapt"
        )
    before = place.with_name(BEFORE)
    return (*(_lines(before) if before.is_file() and place.name == NAME else ()), *_lines(place))


def thinned(course: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of them, evenly apart, the last among them.

    >>> thinned((0, 1, 2, 3, 4, 5), 3)
    (1, 3, 5)
    """
    return course[:: -max(1, -(-len(course) // most))][::-1]


def _lines(file: Path) -> Iterator[Line]:
    for number, text in enumerate(rows := file.read_bytes().split(b"\n"), 1):
        if not text:
            continue
        try:
            yield _DECODER.decode(text)
        except msgspec.MsgspecError as error:
            if number == len(rows):  # the last line, without its end
                return
            raise ConfigError("a line of a log of adaptation cannot be read", got=f"{file}:{number} ({error})") from None
