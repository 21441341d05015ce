"""What a device holds, in two small tables: slots (the version in use, and the one before) and goals (the version on its way).

    slots   (model, place)   active   in use: on trial, or proved
                             standby  the last proved one before it: going back needs no download
    goals   (model)          what the last assignment names, and how far it has come

Rows are whole values (JSON of the Structs here), written in the transaction of whoever changes them. Releases stand beside them
as they were signed, so that a restart needs no news.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from edgewise.core.errors import StoreError
from edgewise.core.release import FileEntry, Release
from edgewise.node.store.database import Database

Place = Literal["active", "standby"]
State = Literal["fetching", "ready", "reached", "barred"]
_TABLES = (
    "CREATE TABLE IF NOT EXISTS slots (model TEXT, place TEXT, body BLOB NOT NULL, PRIMARY KEY (model, place))",
    "CREATE TABLE IF NOT EXISTS goals (model TEXT PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS taken (digest TEXT PRIMARY KEY, envelope BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS told (digest TEXT PRIMARY KEY, at REAL NOT NULL, number INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, body BLOB NOT NULL)",
)
TOLD = 256  # digests of refused documents that are remembered


class Slot(Struct, frozen=True, forbid_unknown_fields=True):
    """A version on this device, whole: `files` by name as its release signed them. `proved`: its trial is over, and it was good.

    `digest` is empty for the version that the device came with, until a release of the same address is assigned. `since` (s since
    1970) is when it came into use, `sequence` the assignment that asked for it, `boots` how often it was started on trial without
    a clean end.
    """

    model: str
    version: int
    address: str
    files: dict[str, FileEntry]
    digest: str = ""
    proved: bool = False
    since: float = 0.0
    sequence: int = 0
    boots: int = 0


class Goal(Struct, frozen=True, forbid_unknown_fields=True):
    """What the last assignment wants of a model. `spoilt` are bases whose routes failed, `sentence` why it does not go on.

    `told`: the sentence stands in a report already. A barred goal is not tried again until another one was named in between.
    """

    release: Release
    digest: str
    sequence: int
    state: State = "fetching"
    spoilt: tuple[str, ...] = ()
    sentence: str = ""
    told: bool = False


class Slots:
    """The tables. Every method joins an open transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction():
            for table in _TABLES:
                database.execute(table)

    def slot(self, model: str, place: Place) -> Slot | None:
        row = self._database.execute("SELECT body FROM slots WHERE model = ? AND place = ?", (model, place)).fetchone()
        return _read(row[0], Slot) if row is not None else None

    def all(self) -> list[tuple[Place, Slot]]:
        rows = self._database.execute("SELECT place, body FROM slots ORDER BY model, place").fetchall()
        return [(place, _read(body, Slot)) for place, body in rows]

    def fill(self, place: Place, slot: Slot) -> None:
        with self._database.transaction():
            body = msgspec.json.encode(slot)
            self._database.execute("INSERT OR REPLACE INTO slots VALUES (?, ?, ?)", (slot.model, place, body))

    def clear(self, model: str, place: Place) -> None:
        with self._database.transaction():
            self._database.execute("DELETE FROM slots WHERE model = ? AND place = ?", (model, place))

    def goal(self, model: str) -> Goal | None:
        row = self._database.execute("SELECT body FROM goals WHERE model = ?", (model,)).fetchone()
        return _read(row[0], Goal) if row is not None else None

    def goals(self) -> list[Goal]:
        return [_read(row[0], Goal) for row in self._database.execute("SELECT body FROM goals ORDER BY model").fetchall()]

    def aim(self, goal: Goal) -> None:
        with self._database.transaction():
            body = msgspec.json.encode(goal)
            self._database.execute("INSERT OR REPLACE INTO goals VALUES (?, ?)", (goal.release.name, body))

    def drop(self, model: str) -> None:
        with self._database.transaction():
            self._database.execute("DELETE FROM goals WHERE model = ?", (model,))

    def keep(self, digest: str, envelope: bytes) -> None:
        """Remember a release as it was signed; those that no slot and no goal names are forgotten."""
        named = {slot.digest for _, slot in self.all()} | {goal.digest for goal in self.goals()} | {digest}
        with self._database.transaction():
            self._database.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (digest, envelope))
            for (known,) in self._database.execute("SELECT digest FROM taken").fetchall():
                if known not in named:
                    self._database.execute("DELETE FROM taken WHERE digest = ?", (known,))

    def envelope(self, digest: str) -> bytes | None:
        row = self._database.execute("SELECT envelope FROM taken WHERE digest = ?", (digest,)).fetchone()
        return bytes(row[0]) if row is not None else None

    def first_time(self, digest: str, now: float) -> bool:
        """Whether a refused document comes for the first time (of the last TOLD)."""
        if self._database.execute("SELECT 1 FROM told WHERE digest = ?", (digest,)).fetchone() is not None:
            return False
        with self._database.transaction():
            number = int(self._database.execute("SELECT COALESCE(MAX(number), 0) FROM told").fetchone()[0]) + 1
            self._database.execute("INSERT INTO told VALUES (?, ?, ?)", (digest, now, number))
            self._database.execute("DELETE FROM told WHERE number <= ?", (number - TOLD,))
        return True

    def count(self, name: str) -> None:
        with self._database.transaction():
            sql = "INSERT INTO tally VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1"
            self._database.execute(sql, (name,))

    @property
    def counts(self) -> dict[str, int]:
        return {str(name): int(n) for name, n in self._database.execute("SELECT name, n FROM tally ORDER BY name").fetchall()}

    def fact(self, name: str) -> bytes | None:
        row = self._database.execute("SELECT body FROM facts WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row is not None else None

    def note(self, name: str, body: bytes) -> None:
        with self._database.transaction():
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, body))

    def needed(self) -> Iterator[str]:
        """Hashes of files that a slot holds."""
        for _, slot in self.all():
            yield from (entry.sha256 for entry in slot.files.values())


Kind = TypeVar("Kind", Slot, Goal)


def _read(body: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"a {kind.__name__.lower()} of this device cannot be read", got=error) from None
