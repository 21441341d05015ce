"""The outbox of a device: items that wait until a server has them durably, in the order in which they were put.

Numbers (`seq`) count up from 1 and never restart within an epoch, which is made with the database. What the server acknowledged
is deleted; what was not is sent again, so the wire may bring an item twice and the inbox counts it once.

**Bounds.** Over `bounds.bytes`, telemetry goes first, oldest first; reports of delivery only when no telemetry is left. What is
older than `bounds.age` goes too. Everything that is dropped is counted by kind and reason in the same transaction, so that at
any moment, for each kind, put = acked + dropped (bytes) + dropped (age) + waiting.

**Age** is counted on a clock of the outbox's own, which follows the wall clock from put to put but never goes back and gains at
most a day at a step. So a clock that jumps from 1970 to now, or to 2099, drops nothing, and a device that was off for a month
still sends what it has: the bound is on days of being up, and bytes bound the rest.

It does not know what is in a body, nor who sends it. It cannot know that the disk it stands on is an older copy of itself: a
device that is set back to an image must begin with a new database.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from msgspec import Struct

from edgewise.core.errors import FrameError, StoreError
from edgewise.net.items import LARGEST_BODY, LAST, Item
from edgewise.node.store.database import Database, in_memory

REPORT = "report"  # kinds other than this are telemetry
OVERHEAD = 64  # bytes that an item counts beside its body
STEP = 86_400.0  # s that the outbox's clock gains at most from one put to the next
RENEW = LAST // 2  # an empty outbox that is opened with a number beyond this begins a new epoch
_BATCH = 64

_TABLES = (
    "create table if not exists outbox (one integer primary key check (one = 1), epoch text not null, last integer not null,"
    " acked integer not null, bytes integer not null, clock real not null, wall real)",
    "create table if not exists outbox_items (seq integer primary key, kind text not null, body blob not null,"
    " report integer not null, at real not null)",
    "create index if not exists outbox_order on outbox_items (report, seq)",
    "create table if not exists outbox_counts (kind text primary key, put integer not null default 0,"
    " acked integer not null default 0, over_bytes integer not null default 0,"
    " over_age integer not null default 0) without rowid",
)


class Bounds(Struct, frozen=True, forbid_unknown_fields=True):
    """What an outbox may hold: bytes, and age (s)."""

    bytes: int = 64 << 20
    age: float = 7 * 86_400.0


BOUNDS = Bounds()


class Counts(Struct, frozen=True):
    """What became of the items of one kind, ever."""

    put: int = 0
    acked: int = 0
    over_bytes: int = 0
    over_age: int = 0

    @property
    def dropped(self) -> int:
        return self.over_bytes + self.over_age


class Outbox:
    """`epoch` names the row of numbers; it is taken when the database has none yet, and drawn where it is None."""

    def __init__(self, database: Database, bounds: Bounds = BOUNDS, epoch: str | None = None) -> None:
        self.bounds = bounds
        self._database = database
        with database.transaction():
            for table in _TABLES:
                database.execute(table)
            found = database.execute("select epoch, last, bytes from outbox").fetchone()
            if found is None or (found[1] > RENEW and not found[2]):
                row = (epoch or secrets.token_hex(8),)
                database.execute("insert or replace into outbox values (1, ?, 0, 0, 0, 0, null)", row)
                found = row
        self.epoch: str = found[0]

    def put(self, kind: str, body: bytes, now: float) -> int:
        """The number of a new item, durable when this returns, or when the transaction that it joined ends."""
        cost = len(body) + OVERHEAD
        if not 1 <= len(kind) <= 16:
            raise StoreError("an item's kind has no such length", got=repr(kind[:40]), allowed="1 to 16 characters")
        if len(body) > LARGEST_BODY:
            raise StoreError("an item is larger than any session carries", got=f"{len(body)} bytes", allowed=LARGEST_BODY)
        if cost > self.bounds.bytes:
            raise StoreError("an item is larger than its outbox", got=f"{cost} bytes", allowed=f"{self.bounds.bytes}")
        database = self._database
        with database.transaction():
            last, held, clock, wall = database.execute("select last, bytes, clock, wall from outbox").fetchone()
            if last >= LAST:
                raise StoreError("the outbox has used all its numbers", got=last, hint="Start again when it is empty.")
            seq, held = last + 1, held + cost
            clock += min(max(0.0, now - wall), STEP) if wall is not None else 0.0
            row = (seq, kind, body, int(kind == REPORT), clock)
            database.execute("insert into outbox_items values (?, ?, ?, ?, ?)", row)
            self._count(kind, "put", 1)
            held -= self._expire(clock)
            if held > self.bounds.bytes:
                held -= self._relieve(held - self.bounds.bytes)
            database.execute("update outbox set last=?, bytes=?, clock=?, wall=?", (seq, held, clock, now))
        return int(seq)

    def waiting(self, after: int, limit_bytes: int) -> list[Item]:
        """Items with numbers above `after`, ascending, of `limit_bytes` together; the first in any case, however large it is."""
        found: list[Item] = []
        room = limit_bytes
        before = self._before(after)
        while True:
            rows = self._database.execute(
                "select seq, kind, body from outbox_items where seq > ? order by seq limit ?", (max(before, after), _BATCH)
            ).fetchall()
            for seq, kind, body in rows:
                room -= len(body)
                if found and room < 0:
                    return found
                found.append(Item(before, seq, kind, bytes(body)))
                before = seq
            if len(rows) < _BATCH or room <= 0:
                return found

    def acked(self, seq: int) -> None:
        """A server has all items up to `seq` durably. FrameError where it says so of one that was never put."""
        database = self._database
        with database.transaction():
            last, before = database.execute("select last, acked from outbox").fetchone()
            if seq > last:
                raise FrameError("an item was acknowledged that was never sent", got=seq, allowed=f"up to {last}")
            if seq <= before:
                return
            freed = 0
            for kind, n, bodies in database.execute(
                "select kind, count(*), sum(length(body)) from outbox_items where seq <= ? group by kind", (seq,)
            ):
                self._count(kind, "acked", n)
                freed += bodies + n * OVERHEAD
            database.execute("delete from outbox_items where seq <= ?", (seq,))
            database.execute("update outbox set acked=?, bytes=bytes-?", (seq, freed))

    @property
    def counts(self) -> dict[str, Counts]:
        """By kind, over the whole life of the database."""
        rows = self._database.execute("select kind, put, acked, over_bytes, over_age from outbox_counts order by kind")
        return {kind: Counts(*counts) for kind, *counts in rows}

    @property
    def size(self) -> int:
        """Bytes that wait, OVERHEAD of each item included."""
        return int(self._database.execute("select bytes from outbox").fetchone()[0])

    @property
    def last(self) -> int:
        """The number that was given last; 0 before the first."""
        return int(self._database.execute("select last from outbox").fetchone()[0])

    @property
    def oldest(self) -> int | None:
        """The number of the oldest telemetry that waits; None: none does. All before it is acknowledged or dropped."""
        found = self._database.execute("select seq from outbox_items where report=0 order by seq limit 1").fetchone()
        return None if found is None else int(found[0])

    @property
    def acknowledged(self) -> int:
        """All items up to this number are acknowledged or dropped."""
        return int(self._database.execute("select acked from outbox").fetchone()[0])

    def __len__(self) -> int:
        """Items that wait."""
        return int(self._database.execute("select count(*) from outbox_items").fetchone()[0])

    def _before(self, after: int) -> int:
        """The last number up to `after` that was not dropped."""
        (acked,) = self._database.execute("select acked from outbox").fetchone()
        (held,) = self._database.execute("select max(seq) from outbox_items where seq <= ?", (after,)).fetchone()
        return max(int(acked), held or 0)

    def _count(self, kind: str, what: str, n: int) -> None:
        self._database.execute(
            f"insert into outbox_counts (kind, {what}) values (?, ?)"
            f" on conflict (kind) do update set {what}={what}+excluded.{what}",
            (kind, n),
        )

    def _expire(self, clock: float) -> int:
        """Drop what is too old; the bytes that this frees."""
        freed = 0
        for seq, kind, size, at in self._oldest("seq"):
            if clock - at <= self.bounds.age:
                break
            freed += self._drop(seq, kind, size, "over_age")
        return freed

    def _relieve(self, excess: int) -> int:
        """Drop telemetry, then reports, oldest first, until `excess` bytes are free; the bytes that this frees."""
        freed = 0
        for seq, kind, size, _ in self._oldest("report, seq"):
            if freed >= excess:
                break
            freed += self._drop(seq, kind, size, "over_bytes")
        return freed

    def _oldest(self, order: str) -> Iterator[tuple[int, str, int, float]]:
        """Items in this order, looked up anew after each few, as the ones before are dropped meanwhile."""
        for count in _growing():
            rows = self._database.execute(
                f"select seq, kind, length(body), at from outbox_items order by {order} limit ?", (count,)
            ).fetchall()
            yield from rows
            if len(rows) < count:
                return

    def _drop(self, seq: int, kind: str, size: int, why: str) -> int:
        self._database.execute("delete from outbox_items where seq=?", (seq,))
        self._count(kind, why, 1)
        return size + OVERHEAD


class MemoryOutbox(Outbox):
    """The same for a device without a store: it ends with the process, and so does its epoch."""

    def __init__(self, bounds: Bounds = BOUNDS, epoch: str | None = None) -> None:
        super().__init__(in_memory(), bounds, epoch)


def _growing() -> Iterator[int]:
    count = 1
    while True:
        yield count
        count = min(2 * count, _BATCH)
