"""A power cut at every operation that changes the disk, enumerated: after each the disk holds the old or the new, always valid.

What said that it is durable must be there. The last test takes syncing away and sees the same laws break: they can fail.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.node.store.blobs import STRIDE, Blobs
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import Bounds, Outbox
from edgewise.node.store.simulated import PowerCut, SimulatedDisk, Stored

SEEDS = 10


def enumerated(life: Callable[[SimulatedDisk], None], check: Callable[[SimulatedDisk], None], seeds: int = SEEDS) -> int:
    """Run `life` with the power cut at each of its operations in turn, `check` the disk after it; how many cuts."""
    whole = SimulatedDisk(random.Random(0))
    life(whole)
    cuts = whole.operations
    whole.kill()
    check(whole)
    for n in range(1, cuts + 1):
        for seed in range(seeds):
            disk = SimulatedDisk(random.Random(1000 * n + seed))
            disk.cut_at(n)
            with pytest.raises(PowerCut):
                life(disk)
            disk.cut()
            check(disk)
    return cuts


def test_outbox_keeps_what_it_took_and_acknowledged() -> None:
    taken: list[int] = []
    acknowledged: list[int] = []

    def life(disk: SimulatedDisk) -> None:
        taken.clear()
        acknowledged[:] = [0]
        outbox = Outbox(disk.connect("state.db"), Bounds(bytes=1200), epoch="e")
        for n in range(12):
            taken.append(outbox.put("report" if n % 5 == 4 else "rows", bytes([n]) * 40, float(n)))
            if n % 4 == 3:
                outbox.acked(n - 1)
                acknowledged.append(n - 1)

    def check(disk: SimulatedDisk) -> None:
        database = disk.connect("state.db")
        assert not database.damaged
        outbox = Outbox(database, Bounds(bytes=1200), epoch="e")
        waiting = outbox.waiting(0, 1 << 20)
        assert outbox.last >= len(taken)
        assert outbox.last <= len(taken) + 1, "at most the one that was being put"
        assert outbox.acknowledged >= acknowledged[-1]
        assert all(item.body == bytes([item.seq - 1]) * 40 for item in waiting)
        assert [i.after for i in waiting] == ([outbox.acknowledged] + [i.seq for i in waiting])[:-1]
        counts = outbox.counts.values()
        assert sum(c.put for c in counts) == outbox.last == sum(c.acked + c.dropped for c in counts) + len(waiting)
        assert outbox.put("rows", b"goes on", 99.0) == outbox.last

    assert enumerated(life, check) > 80


def test_a_blob_is_whole_or_not_there_and_its_synced_part_stays() -> None:
    old, new = random.Random(1).randbytes(3000), random.Random(2).randbytes(2 * STRIDE + 5000)
    names = [hashlib.sha256(data).hexdigest() for data in (old, new)]
    finished: list[str] = []
    safe = [0]

    def life(disk: SimulatedDisk) -> None:
        finished.clear()
        safe[0] = 0
        blobs = Blobs(disk)
        finished.append(blobs.put(old))
        for at in range(0, len(new), 50_000):
            blobs.append(names[1], at, new[at : at + 50_000])
            safe[0] = (at + 50_000) // STRIDE * STRIDE
        blobs.finish(names[1], len(new))
        finished.append(names[1])
        finished.remove(names[0])
        blobs.remove(names[0])

    def check(disk: SimulatedDisk) -> None:
        blobs = Blobs(disk)
        assert set(finished) <= set(blobs.names()) <= set(names)
        for name in blobs.names():
            assert hashlib.sha256(blobs.read(name)).hexdigest() == name
        at = blobs.partial(names[1])
        assert at >= safe[0] - STRIDE or blobs.has(names[1])
        if not blobs.has(names[1]):
            blobs.append(names[1], at, new[at:])
            blobs.finish(names[1], len(new))  # what was believed of the partial file was right
        assert blobs.read(names[1]) == new

    assert enumerated(life, check, seeds=8) > 15


def test_a_slot_and_its_report_change_together_or_not_at_all() -> None:
    done: list[int] = []

    def life(disk: SimulatedDisk) -> None:
        done.clear()
        database = disk.connect("state.db")
        outbox = Outbox(database, epoch="e")
        with database.transaction():
            database.execute("create table if not exists slot (one integer primary key, version integer, address text)")
            database.execute("insert or ignore into slot values (1, 0, '')")
        for version in range(1, 9):
            with database.transaction():
                database.execute("update slot set version=?, address=?", (version, str(version) * 3000))
                outbox.put("report", str(version).encode(), 0.0)
            done.append(version)
            if version == 4:
                database.close()
                database = disk.connect("state.db")
                outbox = Outbox(database)

    def check(disk: SimulatedDisk) -> None:
        database = disk.connect("state.db")
        outbox = Outbox(database, epoch="e")
        known = database.execute("select 1 from sqlite_master where name='slot'").fetchone()
        version, address = database.execute("select version, address from slot").fetchone() if known else (0, "")
        assert address == (str(version) * 3000 if version else "")
        assert [item.body for item in outbox.waiting(0, 1 << 20)] == [str(v).encode() for v in range(1, version + 1)]
        assert len(done) <= version <= len(done) + 1

    assert enumerated(life, check) > 60


def test_an_effect_and_its_watermark_are_one() -> None:
    acknowledged: list[int] = []

    def life(disk: SimulatedDisk) -> None:
        acknowledged.clear()
        database = disk.connect("server.db")
        inbox = Inbox(database)
        database.execute("create table if not exists effects (seq integer)")
        for batch in range(6):
            with database.transaction():
                for seq in range(3 * batch, 3 * batch + 4):  # the first of each was in the batch before
                    if seq and inbox.take("pi", "e", seq - 1, seq) == "new":
                        database.execute("insert into effects values (?)", (seq,))
            acknowledged.append(3 * batch + 3)

    def check(disk: SimulatedDisk) -> None:
        database = disk.connect("server.db")
        watermark = Inbox(database).watermark("pi", "e") or 0
        assert watermark >= max(acknowledged, default=0)
        if database.execute("select 1 from sqlite_master where name='effects'").fetchone():
            effects = [seq for (seq,) in database.execute("select seq from effects order by rowid")]
            assert effects == list(range(1, watermark + 1))

    assert enumerated(life, check) > 50


@pytest.mark.parametrize(
    "law",
    [
        test_outbox_keeps_what_it_took_and_acknowledged,
        test_a_blob_is_whole_or_not_there_and_its_synced_part_stays,
        test_a_slot_and_its_report_change_together_or_not_at_all,
        test_an_effect_and_its_watermark_are_one,
    ],
)
def test_on_a_drive_that_does_not_sync_the_laws_break(law: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    real = Stored.sync
    losing = Stored.lose

    def lose(self: Stored, draw: random.Random) -> None:
        monkeypatch.setattr(Stored, "sync", real)
        losing(self, draw)
        monkeypatch.setattr(Stored, "sync", lambda self: None)

    monkeypatch.setattr(Stored, "sync", lambda self: None)
    monkeypatch.setattr(Stored, "lose", lose)
    with pytest.raises((AssertionError, EdgewiseError)):  # a law broken, a hash wrong, a database unreadable
        law()
