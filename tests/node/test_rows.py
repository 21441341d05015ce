"""Rows of the ledger on their way into an outbox: when they become an item, and which of them are lost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import StoreError
from edgewise.net.items import LARGEST_BODY
from edgewise.net.messages import unpack_records
from edgewise.node.rows import BATCH, Rows
from edgewise.node.store.outbox import Bounds, MemoryOutbox

ANSWER = Answer((), 1, 8, b"x")


def row(frame: int, mode: str = "local", why: str = "why") -> FrameRecord:
    return FrameRecord("cam", frame, 0.0, "answered", mode, "p", why, answer=ANSWER)  # type: ignore[arg-type]


def frames(rows: Rows) -> list[list[int]]:
    return [[r.frame for r in unpack_records(item.body)] for item in rows.outbox.waiting(0, 1 << 30)]


@given(st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(1, 40)), max_size=30))
def test_rows_wait_for_an_interval_or_a_batch_and_none_is_left_out(steps: list[tuple[float, int]]) -> None:
    rows, now, number, since = Rows(MemoryOutbox(), lambda: 0.0), 0.0, 0, 0.0
    for gap, several in steps:
        now += gap
        rows.tick(now)
        for _ in range(several):
            since = now if rows.due == float("inf") else since
            rows.add(row(number), now)
            number += 1
        assert rows.due == float("inf") or rows.due == since + rows.interval > now
    assert rows.waiting_rows == number
    rows.flush()
    items = frames(rows)
    assert [f for item in items for f in item] == list(range(number))
    assert all(len(item) <= BATCH for item in items)
    assert rows.lost == 0


def test_the_server_is_told_the_answers_that_it_did_not_give() -> None:
    rows = Rows(MemoryOutbox(), lambda: 0.0)
    for frame, mode in enumerate(("local", "split", "image")):
        rows.add(row(frame, mode), 0.0)
    rows.flush()
    (item,) = rows.waiting(0, 1 << 20)
    assert [r.answer for r in unpack_records(item.body)] == [ANSWER, Answer(), Answer()]


def test_rows_are_lost_when_the_outbox_drops_them_unsent_and_not_when_they_were_sent() -> None:
    rows = Rows(MemoryOutbox(Bounds(bytes=2050)), lambda: 0.0)
    for frame in range(3):
        rows.add(row(frame, why="w" * 500), 0.0)
        rows.flush()
    sent = rows.waiting(0, 1 << 20)
    assert len(sent) == 3
    for frame in range(3, 9):
        rows.add(row(frame, why="w" * 500), 0.0)
        rows.flush()
    left = [item.seq for item in rows.waiting(sent[-1].seq, 1 << 20)]
    rows.acked(left[-1])
    assert rows.waiting_rows == 0
    assert rows.lost == 6 - len(left) > 0
    assert rows.outbox.counts["rows"].dropped >= rows.lost  # type: ignore[attr-defined]


def test_a_batch_that_is_too_large_becomes_several_items_and_a_row_that_is_goes_nowhere() -> None:
    rows = Rows(MemoryOutbox(), lambda: 0.0)
    for frame in range(8):
        rows.add(row(frame, why="w" * (LARGEST_BODY // 4)), 0.0)
    rows.add(msgspec.structs.replace(row(8), why="w" * LARGEST_BODY), 0.0)
    rows.flush()
    items = rows.waiting(0, 1 << 30)
    assert all(len(item.body) <= LARGEST_BODY for item in items)
    assert [f for item in frames(rows) for f in item] == list(range(8))
    assert (rows.lost, rows.waiting_rows) == (1, 8)


def test_a_full_disk_loses_rows_with_a_sentence_and_takes_the_next_ones() -> None:
    class Full(MemoryOutbox):
        full = True

        def put(self, kind: str, body: bytes, now: float) -> int:
            if self.full:
                raise StoreError("the disk is full")
            return super().put(kind, body, now)

    outbox = Full()
    rows = Rows(outbox, lambda: 0.0)
    rows.add(row(0), 0.0)
    assert rows.tick(rows.interval)
    assert (rows.lost, rows.sentence) == (1, "the disk is full.")
    outbox.full = False
    rows.add(row(1), 1.0)
    rows.flush()
    assert (frames(rows), rows.sentence) == ([[1]], "")


def test_a_slow_disk_is_written_more_rarely() -> None:
    now = [0.0]

    class Slow(MemoryOutbox):
        took = 0.001

        def put(self, kind: str, body: bytes, now_: float) -> int:
            now[0] += self.took
            return super().put(kind, body, now_)

    outbox = Slow()
    rows = Rows(outbox, lambda: 0.0, 0.25, timer=lambda: now[0])
    for took, interval in ((0.001, 0.25), (0.02, 1.0), (5.0, 2.0), (0.001, 0.25)):
        outbox.took = took
        rows.add(row(0), 0.0)
        rows.flush()
        assert rows.interval == pytest.approx(interval)


def test_a_long_time_offline_keeps_no_more_in_memory_than_the_outbox_holds() -> None:
    rows = Rows(MemoryOutbox(Bounds(bytes=4000)), lambda: 0.0)
    for frame in range(2):
        rows.add(row(frame, why="w" * 500), 0.0)
        rows.flush()
    sent = rows.waiting(0, 1 << 20)
    for frame in range(2, 300):
        rows.add(row(frame, why="w" * 500), 0.0)
        rows.flush()
        held = len(rows.outbox.waiting(0, 1 << 30))
        assert rows.waiting_rows <= held + len(sent)  # what was sent may have arrived
        assert rows.waiting_rows + rows.lost == frame + 1
    last = rows.waiting(0, 1 << 20)[-1].seq
    lost = rows.lost
    rows.acked(last)
    assert rows.waiting_rows == 0
    assert rows.lost == lost == 300 - held - len(sent)
