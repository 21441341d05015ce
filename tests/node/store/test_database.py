"""One owner, all or nothing, and a damaged file is moved aside; on a folder and on the simulated disk."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from edgewise.core.errors import StoreError
from edgewise.node.store.database import Database
from edgewise.node.store.disk import Disk, RealDisk
from edgewise.node.store.memory import Memory
from edgewise.node.store.simulated import SimulatedDisk


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return RealDisk(tmp_path) if request.param == "real" else SimulatedDisk(random.Random(1))


@pytest.fixture
def database(disk: Disk) -> Database:
    database = disk.connect("node/state.db")
    database.execute("create table t (x integer primary key)")
    return database


def numbers(database: Database) -> list[int]:
    return [x for (x,) in database.execute("select x from t order by x")]


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with database.transaction():
        database.execute("insert into t values (1)")
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.execute("insert into t values (2)")
        raise ZeroDivisionError
    with pytest.raises(StoreError, match="SQLite refused"), database.transaction():
        database.execute("insert into t values (3)")
        database.execute("insert into t values (1)")
    assert numbers(database) == [1]


def test_a_transaction_within_one_joins_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        with database.transaction():
            database.execute("insert into t values (1)")
        raise ZeroDivisionError
    assert numbers(database) == []


def test_what_failed_inside_cannot_be_committed_outside(database: Database) -> None:
    with pytest.raises(StoreError, match="all of it is undone"), database.transaction():
        database.execute("insert into t values (1)")
        try:
            with database.transaction():
                database.execute("insert into t values (2)")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert numbers(database) == []
    with database.transaction():
        database.execute("insert into t values (3)")
    assert numbers(database) == [3]


def test_a_second_owner_gets_a_sentence(disk: Disk, database: Database) -> None:
    with pytest.raises(StoreError, match="in use by another process"):
        disk.connect("node/state.db")
    database.execute("insert into t values (1)")
    database.close()
    assert numbers(disk.connect("node/state.db")) == [1]
    assert "node/state.db-shm" not in disk.names("node")


def test_threads_take_turns(database: Database) -> None:
    database.execute("insert into t values (0)")

    def add() -> None:
        for _ in range(25):
            with database.transaction():
                (x,) = database.execute("select x from t").fetchone()
                database.execute("update t set x=?", (x + 1,))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(database) == [100]


@pytest.mark.parametrize(
    "damage",
    [
        lambda disk: disk.write("node/state.db", b"\xff" * 6000, 100),
        lambda disk: disk.write("node/state.db", b"this was never a database" * 1000),
        lambda disk: disk.write("node/state.db", disk.read("node/state.db")[:4096]),
        lambda disk: disk.write("node/state.db", b"\0" * 3000, 4096),
    ],
    ids=["header", "text", "half", "page"],
)
def test_a_damaged_file_is_moved_aside_and_counted(disk: Disk, database: Database, damage) -> None:  # type: ignore[no-untyped-def]
    database.execute("insert into t values (1)")
    database.close()
    for times in (1, 2):
        damage(disk)
        again = disk.connect("node/state.db")
        assert again.damaged == times
        assert f"moved to node/state.db.damaged-{times}" in again.sentence
        again.execute("create table t (x integer primary key)")
        again.execute("insert into t values (7)")
        assert numbers(again) == [7]
        again.close()
        assert [n for n in disk.names("node") if "damaged" in n] == [f"state.db.damaged-{times}"], "the last one is kept"
    sound = disk.connect("node/state.db")
    assert (sound.damaged, sound.sentence, numbers(sound)) == (2, "", [7])


def test_a_file_of_a_later_edgewise_is_left_alone(disk: Disk, database: Database) -> None:
    database.execute("pragma user_version=99")
    database.close()
    with pytest.raises(StoreError, match="later edgewise; got format 99"):
        disk.connect("node/state.db")
    assert disk.names("node") == ["state.db"]


def test_a_memory_keeps_the_last_value(disk: Disk, database: Database) -> None:
    memory = Memory(database)
    assert memory.get("floor") is None
    memory.put("floor", b"1")
    memory.put("floor", b"2")
    with pytest.raises(ZeroDivisionError), database.transaction():
        memory.put("floor", b"3")
        raise ZeroDivisionError
    database.close()
    assert Memory(disk.connect("node/state.db")).get("floor") == b"2"
