"""The audit log: a changed row is found, and nobody fills it from outside."""

from __future__ import annotations

import pytest

from edgewise.core.errors import StoreError
from edgewise.node.delivery import audit as room
from edgewise.node.delivery.audit import MINUTE, MOST, RATE, Audit
from edgewise.node.store.database import SqlDatabase, in_memory


def log(rows: int = 5) -> tuple[Audit, object]:
    database = in_memory()
    audit = Audit(database)
    for i in range(rows):
        audit.add(float(i), "ann", "start", f"yard {i}", "Ein Satz: größer.")
    return audit, database


def test_what_was_written_is_verified() -> None:
    audit, database = log()
    assert audit.verify() == 5
    assert [e.subject for e in audit.last(2)] == ["yard 4", "yard 3"]
    assert [e.number for e in audit.entries(after=3)] == [4, 5]
    assert Audit(database).verify() == 5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET who = 'bob' WHERE number = 2",
        "UPDATE audit SET sentence = '' WHERE number = 5",
        "UPDATE audit SET at = 9 WHERE number = 1",
        "DELETE FROM audit WHERE number = 3",
        "UPDATE audit SET chain = (SELECT chain FROM audit WHERE number = 1) WHERE number = 4",
        "INSERT INTO audit SELECT 6, at, who, what, subject, sentence, chain FROM audit WHERE number = 5",
    ],
)
def test_a_changed_log_is_found(change: str) -> None:
    audit, database = log()
    database.execute(change)  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="not as it was written"):
        audit.verify()


def test_rows_cut_off_are_found_by_who_noted_the_head() -> None:
    audit, database = log()
    head = audit.head()
    audit.add(9.0, "ann", "pause")
    assert audit.verify(head) == 6
    database.execute("DELETE FROM audit WHERE number >= 5")  # type: ignore[attr-defined]
    assert audit.verify() == 4
    with pytest.raises(StoreError, match="cut off"):
        audit.verify(head)


def test_what_comes_from_outside_is_bounded_and_counted() -> None:
    audit, _ = log(0)
    for i in range(1000):
        audit.bounded(i * 0.01, "cam-1", "refused", "", "No.")
    assert audit.verify() == RATE
    assert audit.suppressed == 1000 - RATE
    audit.bounded(MINUTE + 1, "cam-1", "refused", "", "No.")
    assert "990 more" in audit.last(2)[1].sentence
    for i in range(2000):
        audit.bounded(2 * MINUTE + 5, f"address {i}", "refused", "", "No.")
    assert audit.verify() <= RATE + 2 + MOST + 256


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> tuple[Audit, SqlDatabase]:
    """A log that was refused things for days, and in which a person did three."""
    monkeypatch.setattr(room, "KEPT", 40, raising=False)
    monkeypatch.setattr(room, "SEALED", 8, raising=False)
    database = in_memory()
    audit = Audit(database)
    for i in range(500):
        if i in (30, 31, 300):
            audit.add(i * MINUTE, "ann", "start", f"yard {i}")
        audit.bounded(i * MINUTE, "cam-1", "refused", "", "No.")
    return audit, database


def rows(database: SqlDatabase, table: str = "audit") -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_of_what_comes_from_outside_the_last_rows_stay_and_all_that_people_did(sealed: tuple[Audit, SqlDatabase]) -> None:
    audit, database = sealed
    assert rows(database) <= 40 + 8 + 3
    assert rows(database, "audit_sealed") <= 4
    assert [e.subject for e in audit.entries(most=100) if e.who == "ann"] == ["yard 30", "yard 31", "yard 300"]
    head = audit.head()
    assert audit.verify() == head[0] > 500
    again = Audit(database)
    for i in range(500, 520):
        again.bounded(i * MINUTE, "cam-1", "refused", "", "No.")
    assert again.verify(head) == again.head()[0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET who = 'bob' WHERE who = 'ann' AND subject = 'yard 31'",
        "DELETE FROM audit WHERE subject = 'yard 31'",
        "DELETE FROM audit_sealed WHERE first = 1",
        "UPDATE audit_sealed SET chain = (SELECT chain FROM audit WHERE subject = 'yard 31') WHERE first = 1",
        "UPDATE audit_sealed SET last = last + 1 WHERE last > 400",
        "INSERT INTO audit_sealed SELECT number + 5, number + 5, chain FROM audit ORDER BY number DESC LIMIT 1",
    ],
)
def test_a_changed_log_is_found_beside_what_was_sealed(sealed: tuple[Audit, SqlDatabase], change: str) -> None:
    audit, database = sealed
    database.execute(change)
    with pytest.raises(StoreError, match=r"not as it was written|sealed by somebody else"):
        audit.verify()


def test_nobody_hides_a_row_by_sealing_it(sealed: tuple[Audit, SqlDatabase]) -> None:
    audit, database = sealed
    number, chain = database.execute("SELECT number, chain FROM audit WHERE subject = 'yard 300'").fetchone()
    database.execute("DELETE FROM audit WHERE number = ?", (number,))
    database.execute("INSERT INTO audit_sealed VALUES (?, ?, ?)", (number, number, chain))
    with pytest.raises(StoreError, match=r"sealed by somebody else|not as it was written"):
        audit.verify()


def test_words_from_outside_are_cut_and_plain() -> None:
    audit, _ = log(0)
    entry = audit.add(0.0, "x\n" * 100, "say", "\ud800", "y\x1b[2J" * 1000)
    assert len(entry.who) == 64
    assert "\n" not in entry.who
    assert "\x1b" not in entry.sentence
    assert audit.verify() == 1
