"""The simulated disk: it keeps its promises and no more, so that what stands on it is really tested."""

from __future__ import annotations

import random
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import StoreError
from edgewise.node.store.outbox import Outbox
from edgewise.node.store.simulated import SECTOR, PowerCut, SimulatedDisk

WRITES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 1500), st.booleans()), max_size=12)


@given(WRITES, st.integers(0, 1000))
def test_after_a_cut_each_sector_is_the_synced_one_or_the_last(writes: list[tuple[int, int, bool]], seed: int) -> None:
    disk, draw = SimulatedDisk(random.Random(seed)), random.Random(seed + 1)
    disk.write("a", b"")
    disk.sync("a")
    synced = now = b""
    for at, size, sync in writes:
        at = min(at, len(now))
        data = draw.randbytes(size)
        disk.write("a", data, at)
        now = now[:at] + data + now[at + size :]
        if sync:
            disk.sync("a")
            synced = now
    assert disk.read("a") == now
    disk.cut()
    found = disk.read("a")
    assert len(found) in (len(synced), len(now))
    for start in range(0, len(found), SECTOR):
        sector = found[start : start + SECTOR]
        allowed = [(x[start : start + SECTOR].ljust(SECTOR, b"\0"))[: len(sector)] for x in (synced, now)]
        assert sector in allowed


def test_unsynced_bytes_are_sometimes_lost_sometimes_torn_sometimes_kept() -> None:
    seen = set()
    for seed in range(60):
        disk = SimulatedDisk(random.Random(seed))
        disk.write("a", b"o" * 4 * SECTOR)
        disk.sync("a")
        disk.write("a", b"n" * 4 * SECTOR, 0)
        disk.cut()
        new = disk.read("a").count(b"n")
        seen.add("old" if not new else "new" if new == 4 * SECTOR else "torn")
    assert seen == {"old", "new", "torn"}


def test_names_that_are_not_settled_come_and_go_but_replace_is_whole() -> None:
    made, removed, replaced = set(), set(), set()
    for seed in range(40):
        disk = SimulatedDisk(random.Random(seed))
        disk.write("a", b"old")
        disk.write("b", b"new")
        disk.sync("a")
        disk.sync("b")
        disk.write("c", b"unsynced")
        disk.remove("b") if seed % 2 else disk.cut_at(1)
        with suppress(PowerCut, StoreError):
            disk.replace("b", "a")
        disk.cut()
        made.add(disk.size("c") is not None)
        if seed % 2:
            removed.add(disk.size("b") is None)
        else:
            replaced.add((disk.read("a"), disk.size("b")))
    assert made == removed == {True, False}
    assert replaced == {(b"old", 3), (b"new", None)}


def test_everything_raises_until_the_power_is_back() -> None:
    disk = SimulatedDisk(random.Random(1))
    database = disk.connect("state.db")
    outbox = Outbox(database)
    outbox.put("rows", b"durable", 0.0)
    disk.cut_at(3)
    with pytest.raises(PowerCut):
        for _ in range(10):
            outbox.put("rows", b"x", 0.0)
    for call in (
        lambda: disk.read("state.db"),
        lambda: disk.write("a", b""),
        lambda: disk.names(""),
        lambda: disk.connect("state.db"),
        lambda: outbox.last,
        lambda: database.close(),
    ):
        with pytest.raises(PowerCut):
            call()
    disk.cut()
    with pytest.raises(PowerCut):  # the process of that time does not come back
        outbox.put("rows", b"ghost", 0.0)
    again = Outbox(disk.connect("state.db"))
    assert again.waiting(0, 1000)[0].body == b"durable"
    assert again.last in (1, 2)


def test_a_killed_process_leaves_its_writes_to_the_disk_and_its_lock_to_the_next() -> None:
    disk = SimulatedDisk(random.Random(1))
    outbox = Outbox(disk.connect("state.db"))
    disk.write("a", b"unsynced")
    for n in range(1, 4):
        outbox.put("rows", b"x", 0.0)
        disk.kill()
        with pytest.raises(PowerCut):
            len(outbox)
        outbox = Outbox(disk.connect("state.db"))
        assert len(outbox) == n
    assert disk.read("a") == b"unsynced"


@pytest.mark.parametrize("fault", ["full", "read_only"])
def test_a_fault_of_the_disk_is_a_sentence_and_passes(fault: str) -> None:
    disk = SimulatedDisk(random.Random(1))
    outbox = Outbox(disk.connect("state.db"))
    kept = outbox.put("rows", b"kept", 0.0)
    setattr(disk, fault, True)
    with pytest.raises(StoreError, match=r"disk is full|cannot be written"):
        outbox.put("rows", bytes(10_000), 0.0)
    with pytest.raises(StoreError, match=r"disk is full|cannot be written"):
        disk.write("a", b"x")
    setattr(disk, fault, False)
    assert outbox.put("rows", b"after", 0.0) == kept + 1
    disk.kill()
    assert [i.body for i in Outbox(disk.connect("state.db")).waiting(0, 100)] == [b"kept", b"after"]


def test_the_same_seed_and_calls_leave_the_same_things() -> None:
    def run(seed: int) -> tuple[int, bytes | None, list[bytes]]:
        disk = SimulatedDisk(random.Random(seed))
        outbox = Outbox(disk.connect("state.db"), epoch="e")
        disk.write("a", bytes(range(256)) * 40)
        disk.cut_at(40 + seed)
        with pytest.raises(PowerCut):
            for n in range(100):
                outbox.put("rows", str(n).encode(), 0.0)
        disk.cut()
        waiting = [item.body for item in Outbox(disk.connect("state.db")).waiting(0, 10_000)]
        return disk.operations, disk.read("a") if disk.size("a") is not None else None, waiting

    runs = [run(seed) for seed in range(10)]
    assert runs == [run(seed) for seed in range(10)]
    assert len({str(found) for found in runs}) > 5, "and other seeds leave other things"


def test_without_apsw_the_database_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import edgewise.node.store

    monkeypatch.delattr(edgewise.node.store, "vfs", raising=False)
    monkeypatch.delitem(sys.modules, "edgewise.node.store.vfs", raising=False)
    monkeypatch.setitem(sys.modules, "apsw", None)
    with pytest.raises(StoreError, match=r"no module apsw\. Install edgewise\[faults\]"):
        SimulatedDisk(random.Random(1)).connect("state.db")
