"""The audit log: who did what, to what, and how it went. Rows are only added, and each is chained by hash to the one before.

    chain(0) = 64 zeros        chain(n) = SHA-256(chain(n-1), and row n as JSON)

So a row that was changed, taken out or put in is found by `verify`. Rows cut off at the end are found only by who wrote the
last chain down elsewhere (`head`).

What comes from outside is bounded, so that nobody fills the disk by being refused: RATE rows a minute of one sort and MOST of
all, the others counted; and of all time the last KEPT. Those before are **sealed**: their words are gone, and of each run of
neighbours only its numbers and its last chain stay, by which the next row is verified as ever. Each sealing adds a row with the
hash of all runs, so that nobody adds a run unseen. What people and the guard did is never sealed, however much is refused.

It does not know who may read it.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from edgewise.core.errors import StoreError
from edgewise.node.store.database import Database

RATE = 10  # rows a minute of one sort
MOST = 120  # rows a minute from outside
KEPT = 20_000  # rows from outside
SEALED = 128  # rows that are sealed at once
SEAL = "seal"
MINUTE = 60.0
SORTS = 256  # that are remembered at once
_START = "0" * 64
_TABLE = """CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
subject TEXT NOT NULL, sentence TEXT NOT NULL, chain TEXT NOT NULL)"""
_OUTSIDE = "CREATE TABLE IF NOT EXISTS audit_outside (number INTEGER PRIMARY KEY)"
_RUNS = "CREATE TABLE IF NOT EXISTS audit_sealed (first INTEGER PRIMARY KEY, last INTEGER NOT NULL UNIQUE, chain TEXT NOT NULL)"


class Entry(Struct, frozen=True):
    """`who` did `what` (a verb) to `subject`, and a sentence on it."""

    number: int
    at: float
    who: str
    what: str
    subject: str
    sentence: str
    chain: str


class Audit:
    """The log in a database; `add` joins an open transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sorts: dict[tuple[str, str], tuple[float, int]] = {}  # (who, what) -> when its minute began, rows in it
        self.suppressed = 0
        """Things from outside that stand in no row of their own."""
        with database.transaction():
            for table in (_TABLE, _OUTSIDE, _RUNS):
                database.execute(table)
        (self._held,) = database.execute("SELECT count(*) FROM audit_outside").fetchone()

    def add(self, now: float, who: str, what: str, subject: str = "", sentence: str = "") -> Entry:
        """Add a row; words from outside are cut."""
        number, chain = self.head()
        words = (number + 1, float(now), _cut(who, 64), _cut(what, 32), _cut(subject, 128), _cut(sentence, 1000))
        entry = Entry(*words, _chained(chain, words))
        with self._database.transaction():
            self._database.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*words, entry.chain))
        return entry

    def bounded(self, now: float, who: str, what: str, subject: str = "", sentence: str = "") -> Entry | None:
        """Add a row on what comes from outside: RATE a minute of one sort (`who`, `what`) and MOST of all; others are counted."""
        key = (who, what)
        rows = self._rows(key, now)
        if rows >= RATE or self._rows(("", ""), now) >= MOST:
            self.suppressed += 1
            self._sorts[key] = (self._sorts[key][0], rows + 1)
            return None
        for sort in (key, ("", "")):
            self._sorts[sort] = (self._sorts[sort][0], self._sorts[sort][1] + 1)
        return self._outside(now, who, what, subject, sentence)

    def _rows(self, key: tuple[str, str], now: float) -> int:
        """How many rows of a sort there were, or would have been, in its minute. One that is over is told of and begins anew."""
        began, rows = self._sorts.get(key, (now, 0))
        if not 0 <= now - began < MINUTE:
            if rows > RATE and key[1]:
                self._outside(now, *key, "", f"{rows - RATE} more of these in the minute before stand in no row.")
            began, rows = now, 0
        if key not in self._sorts and len(self._sorts) >= SORTS:
            self._sorts.pop(min((k for k in self._sorts if k[1]), key=lambda k: self._sorts[k][0]))
        self._sorts[key] = (began, rows)
        return rows

    def _outside(self, now: float, who: str, what: str, subject: str, sentence: str) -> Entry:
        """A row that may be sealed one day."""
        with self._database.transaction():
            entry = self.add(now, who, what, subject, sentence)
            self._database.execute("INSERT INTO audit_outside VALUES (?)", (entry.number,))
            self._held += 1
            if self._held >= KEPT + SEALED:
                self._seal(now)
        return entry

    def _seal(self, now: float) -> None:
        """Take the words of the oldest rows from outside, and write down that it was done."""
        database = self._database
        oldest = "SELECT number, chain FROM audit_outside JOIN audit USING (number) ORDER BY number LIMIT ?"
        for number, chain in database.execute(oldest, (SEALED,)).fetchall():
            if database.execute("SELECT 1 FROM audit_sealed WHERE last = ?", (number - 1,)).fetchone():
                database.execute("UPDATE audit_sealed SET last = ?, chain = ? WHERE last = ?", (number, chain, number - 1))
            else:
                database.execute("INSERT INTO audit_sealed VALUES (?, ?, ?)", (number, number, chain))
            database.execute("DELETE FROM audit WHERE number = ?", (number,))
            database.execute("DELETE FROM audit_outside WHERE number = ?", (number,))
        entry = self.add(now, "audit", SEAL, "", f"Old rows from outside are sealed: {self._runs()[1]}")
        database.execute("INSERT INTO audit_outside VALUES (?)", (entry.number,))
        (self._held,) = database.execute("SELECT count(*) FROM audit_outside").fetchone()

    def _runs(self) -> tuple[dict[int, tuple[int, str]], str]:
        """Sealed runs (first number -> last number, chain), and their hash."""
        rows = self._database.execute("SELECT first, last, chain FROM audit_sealed ORDER BY first").fetchall()
        return {first: (last, chain) for first, last, chain in rows}, hashlib.sha256(msgspec.json.encode(rows)).hexdigest()

    def head(self) -> tuple[int, str]:
        """Number and chain of the last row: written down elsewhere, they show that nothing was cut off."""
        row = self._database.execute("SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
        return (int(row[0]), str(row[1])) if row is not None else (0, _START)

    def entries(self, after: int = 0, most: int = 100) -> list[Entry]:
        """Rows after a number, oldest first."""
        rows = self._database.execute("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, most))
        return [Entry(*row) for row in rows]

    def last(self, most: int = 20) -> list[Entry]:
        """The newest rows, newest first."""
        return [Entry(*row) for row in self._database.execute("SELECT * FROM audit ORDER BY number DESC LIMIT ?", (most,))]

    def verify(self, head: tuple[int, str] | None = None) -> int:
        """The number of the last row, all of them as they were written or sealed; StoreError names the first that is not.

        With `head` of an earlier day, also that the log still contains it; one that was sealed since can no longer be found.
        """
        number, chain, met = 0, _START, head is None or head == (0, _START)
        (runs, digest), sealed = self._runs(), ""
        began = bool(runs)
        for row in self._database.execute("SELECT * FROM audit ORDER BY number"):
            entry = Entry(*row)
            if number + 1 in runs:
                number, chain = runs.pop(number + 1)
                met = met or (number, chain) == head
            words = (entry.number, entry.at, entry.who, entry.what, entry.subject, entry.sentence)
            if entry.number != number + 1 or entry.chain != _chained(chain, words):
                raise StoreError(
                    f"row {entry.number} of the audit log is not as it was written",
                    got=f"{entry.who} {entry.what} {entry.subject}",
                    hint="Somebody changed the database: compare it with a copy.",
                )
            number, chain = entry.number, entry.chain
            sealed = entry.sentence if entry.what == SEAL else sealed
            met = met or (number, chain) == head
        if runs or (began and not sealed.endswith(digest)):
            raise StoreError(
                "rows of the audit log were sealed by somebody else",
                hint="Somebody changed the database: compare it with a copy.",
            )
        if not met:
            raise StoreError(
                "the audit log was cut off, or written anew", got=f"{number} rows", allowed=f"row {head and head[0]} as noted"
            )
        return number


def _chained(chain: str, words: tuple[object, ...]) -> str:
    return hashlib.sha256(chain.encode() + msgspec.json.encode(words)).hexdigest()


def _cut(words: str, most: int) -> str:
    return "".join(c if c.isprintable() else " " for c in words[:most])
