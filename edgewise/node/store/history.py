"""What each device did, minute by minute, on the server: the dashboard's history, which outlives a restart.

A frame belongs to the minute in which its record came. Latencies are kept as counts by logarithmic bucket (ratio 1.1), so that
a minute can be added to at any time, rows of several minutes can be joined, and a quantile is within five per cent.

`add` joins the transaction that takes the records from the inbox: a record that comes twice is counted once.

**Bounds.** A minute that is older than `age` is forgotten, and at most `NODES` devices a minute are told apart (the rest counts
under OTHERS). Age is counted as the outbox counts it: on a clock that follows the wall clock from minute to minute, never goes
back and gains at most a day at a step. So a clock that jumps to 2099 and back takes no history with it, and what it wrote
meanwhile goes with its week. However the clock jumps, twice as many minutes as `age` has are kept at most.

A look at many minutes reads PAGE rows at a time and joins them in between: so records that come meanwhile wait for a page alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from edgewise.core.answer import FrameRecord
from edgewise.node.store.database import Database

MINUTE = 60
NODES = 1024
OTHERS = "(others)"
RATIO = 1.1
LOW, HIGH = 1e-4, 1e3  # s; what is outside is held at the border
_STEP = math.log(RATIO)
_TABLE = (
    "create table if not exists history (minute integer not null, node text not null, answered integer not null,"
    " dropped integer not null, failed integer not null, late integer not null, bytes integer not null, energy real not null,"
    " latencies blob not null, primary key (minute, node)) without rowid"
)
PAGE = 250  # rows that are read at once: under a millisecond
STEP = 86_400.0  # s that the history's clock gains at most from one minute to the next
_CLOCK = "create table if not exists history_clock (one integer primary key check (one = 1), clock real not null, wall real)"
_MINUTES = (
    "create table if not exists history_minutes (number integer primary key, minute integer not null unique, clock real not null)"
)
_BUCKETS = msgspec.msgpack.Decoder(dict[int, int])


class Minute(Struct, frozen=True):
    """A device in the minute that begins at `at` (s since 1970). Latencies in s, of answered frames; None without one."""

    at: int
    node: str
    answered: int
    dropped: int
    failed: int
    late: int
    bytes: int
    energy: float
    p50: float | None
    p95: float | None


class History:
    def __init__(self, database: Database, age: float = 7 * 86_400.0) -> None:
        self.age = age
        self._database = database
        with database.transaction():
            for table in (_TABLE, _CLOCK, _MINUTES):
                database.execute(table)
            if database.execute("select 1 from history_clock").fetchone() is None:
                database.execute("insert into history_clock values (1, 0, null)")
                database.execute(
                    "insert into history_minutes (minute, clock) select distinct minute, 0 from history order by minute"
                )

    def add(self, node: str, records: Iterable[FrameRecord], now: float) -> None:
        """Frames of `node`, whose fates were told at `now` (wall clock, s)."""
        fates = {"answered": 0, "dropped": 0, "failed": 0}
        late = carried = 0
        energy = 0.0
        buckets: dict[int, int] = {}
        for record in records:
            fates[record.outcome] += 1
            late += record.late
            carried += record.bytes_up + record.bytes_down
            energy += record.energy if math.isfinite(record.energy) else 0.0
            if record.outcome == "answered" and math.isfinite(record.latency):
                bucket = _bucket(record.latency)
                buckets[bucket] = buckets.get(bucket, 0) + 1
        if not any(fates.values()):
            return
        at = int(now // MINUTE) * MINUTE
        with self._database.transaction():
            self._begin(at, now)
            node = self._told_apart(at, node)
            before = self._database.execute("select latencies from history where minute=? and node=?", (at, node)).fetchone()
            for bucket, n in (_BUCKETS.decode(before[0]) if before else {}).items():
                buckets[bucket] = buckets.get(bucket, 0) + n
            self._database.execute(
                "insert into history values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (minute, node) do update set"
                " answered=answered+excluded.answered, dropped=dropped+excluded.dropped, failed=failed+excluded.failed,"
                " late=late+excluded.late, bytes=bytes+excluded.bytes, energy=energy+excluded.energy,"
                " latencies=excluded.latencies",
                (at, node, *fates.values(), late, carried, energy, msgspec.msgpack.encode(buckets)),
            )

    def minutes(self, node: str, start: float, stop: float) -> list[Minute]:
        """The minutes of one device from `start` to before `stop`, ascending; a minute without a frame has no row."""
        rows = self._database.execute(
            "select * from history where node=? and minute >= ? and minute < ? order by minute", (node, start, stop)
        )
        return [_minute(row) for row in rows]

    def nodes(self, start: float, stop: float) -> dict[str, Minute]:
        """Each device's sum over its minutes from `start` to before `stop`; `at` is the first of them."""
        sums: dict[str, _Sum] = {}
        for row in self._pages(start, stop):
            known = sums.get(row[1])
            if known is None:
                known = sums[row[1]] = _Sum(row[0])
            known.take(row)
        return {node: sums[node].minute(node) for node in sorted(sums)}

    def _pages(self, start: float, stop: float) -> Iterator[Sequence[Any]]:
        """Rows from `start` to before `stop`, by minute; nothing is held up between two pages."""
        after: tuple[float, str] = (start, "")
        while True:
            rows = self._database.execute(
                "select * from history where (minute, node) > (?, ?) and minute < ? order by minute, node limit ?",
                (*after, stop, PAGE),
            ).fetchall()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1][0], rows[-1][1]

    def _told_apart(self, at: int, node: str) -> str:
        known = self._database.execute("select 1 from history where minute=? and node=?", (at, node)).fetchone()
        if known:
            return node
        (n,) = self._database.execute("select count(*) from history where minute=?", (at,)).fetchone()
        return node if n < NODES else OTHERS

    def _begin(self, at: int, now: float) -> None:
        """A minute without a row yet: the clock goes on, and what is too old by it is forgotten."""
        if self._database.execute("select 1 from history_minutes where minute=?", (at,)).fetchone():
            return
        clock, wall = self._database.execute("select clock, wall from history_clock").fetchone()
        clock += min(max(0.0, now - wall), STEP) if wall is not None else 0.0
        self._database.execute("update history_clock set clock=?, wall=?", (clock, now))
        self._database.execute("insert into history_minutes (minute, clock) values (?, ?)", (at, clock))
        old = "from history_minutes where clock < ? or number <= (select max(number) from history_minutes) - ?"
        bounds = (clock - self.age, int(2 * self.age // MINUTE))
        self._database.execute(f"delete from history where minute in (select minute {old})", bounds)
        self._database.execute(f"delete {old}", bounds)


def _bucket(latency: float) -> int:
    return math.floor(math.log(min(max(latency, LOW), HIGH) / LOW) / _STEP)


def _quantile(buckets: dict[int, int], q: float) -> float | None:
    """The geometric middle of the bucket that holds the nearest rank."""
    rank, seen = max(1, math.ceil(q * sum(buckets.values()))), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return LOW * math.exp(_STEP * (bucket + 0.5))
    return None


def _minute(row: Sequence[Any]) -> Minute:
    found = _Sum(row[0])
    found.take(row)
    return found.minute(row[1])


class _Sum:
    """A device's minutes, added up; `at` is the first of them."""

    def __init__(self, at: int) -> None:
        self.at, self.sums, self.buckets = at, [0, 0, 0, 0, 0, 0.0], dict[int, int]()

    def take(self, row: Sequence[Any]) -> None:
        for i, value in enumerate(row[2:-1]):
            self.sums[i] += value
        for bucket, n in _BUCKETS.decode(row[-1]).items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + n

    def minute(self, node: str) -> Minute:
        answered, dropped, failed, late, carried = (int(x) for x in self.sums[:5])
        middle, high = _quantile(self.buckets, 0.5), _quantile(self.buckets, 0.95)
        return Minute(self.at, node, answered, dropped, failed, late, carried, self.sums[5], middle, high)
