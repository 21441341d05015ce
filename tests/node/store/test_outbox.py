"""The outbox's law: put = acked + dropped + waiting for each kind, numbers rise, and what waits is chained."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import FrameError, StoreError
from edgewise.net.items import LAST
from edgewise.node.store.database import in_memory
from edgewise.node.store.outbox import OVERHEAD, RENEW, Bounds, MemoryOutbox, Outbox
from edgewise.node.store.simulated import SimulatedDisk

DAY = 86_400.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["rows", "report"]), st.integers(0, 200)),
        st.tuples(st.just("ack"), st.just(""), st.integers(0, 12)),
        st.tuples(st.just("wait"), st.just(""), st.integers(-2 * 86400, 3 * 86400)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(STEPS, st.integers(300, 1500))
def test_the_sum_holds_and_what_waits_is_chained(steps: list[tuple[str, str, int]], room: int) -> None:
    database = in_memory()
    outbox = Outbox(database, Bounds(room, 7 * DAY))
    now, put, acked = 0.0, Counter[str](), 0
    for step, kind, n in steps:
        if step == "put":
            before = outbox.last
            assert outbox.put(kind, bytes(n), now) == before + 1
            put[kind] += 1
        elif step == "ack":
            acked = max(acked, min(acked + n, outbox.last))
            outbox.acked(acked)
        elif step == "wait":
            now += n
        else:
            epoch, outbox = outbox.epoch, Outbox(database, outbox.bounds)
            assert outbox.epoch == epoch
        waiting = outbox.waiting(0, 1 << 20)
        kinds = Counter(item.kind for item in waiting)
        for name, counts in outbox.counts.items():
            assert counts.put == put[name] == counts.acked + counts.dropped + kinds[name]
        assert outbox.size == sum(len(i.body) + OVERHEAD for i in waiting) <= room
        chain = [acked] + [item.seq for item in waiting]
        assert [item.after for item in waiting] == chain[:-1]
        assert chain == sorted(set(chain))
        for place, item in enumerate(waiting):  # from any place on it is the same chain
            assert outbox.waiting(item.seq, 1 << 20) == waiting[place + 1 :]


def test_telemetry_goes_first_and_oldest_first() -> None:
    outbox = MemoryOutbox(Bounds(bytes=5 * (100 + OVERHEAD)))
    for kind in ("report", "rows", "rows", "report", "rows", "report"):
        outbox.put(kind, bytes(100), 0.0)
    assert [(i.seq, i.kind) for i in outbox.waiting(0, 1 << 20)][:3] == [(1, "report"), (3, "rows"), (4, "report")]
    for _ in range(3):
        outbox.put("report", bytes(100), 0.0)
    assert [(i.after, i.seq) for i in outbox.waiting(0, 1 << 20)] == [(0, 4), (4, 6), (6, 7), (7, 8), (8, 9)]
    outbox.put("rows", bytes(100), 0.0)
    assert outbox.counts["rows"].over_bytes == 4, "a row that finds only reports is dropped itself"
    assert outbox.counts["report"].over_bytes == 1
    with pytest.raises(StoreError, match="larger than its outbox"):
        outbox.put("report", bytes(1000), 0.0)


def test_age_counts_days_of_being_up_and_no_jump_of_the_clock() -> None:
    outbox = MemoryOutbox(Bounds(age=7 * DAY))
    outbox.put("rows", b"in 1970", 10.0)
    outbox.put("rows", b"clock is set", 1.8e9)
    outbox.put("rows", b"clock is wild", 4e9)
    outbox.put("rows", b"clock is set back", 1.8e9)
    assert len(outbox) == 4
    for day in range(9):
        outbox.put("report", b"", 1.8e9 + day * DAY)
    counts = outbox.counts
    assert counts["rows"].over_age == 4
    assert counts["report"].over_age == 1, "of nine days' reports the first is older than seven days"


def test_numbers_end_with_a_sentence_and_an_empty_outbox_begins_a_new_epoch() -> None:
    database = in_memory()
    outbox = Outbox(database, epoch="first")
    database.execute("update outbox set last=?, acked=?", (LAST - 1, LAST - 1))
    assert outbox.put("rows", b"", 0.0) == LAST
    with pytest.raises(StoreError, match="used all its numbers"):
        outbox.put("rows", b"", 0.0)
    assert Outbox(database, epoch="second").epoch == "first", "something waits still"
    outbox.acked(LAST)
    assert LAST > RENEW
    renewed = Outbox(database, epoch="second")
    assert (renewed.epoch, renewed.put("rows", b"", 0.0)) == ("second", 1)
    assert renewed.counts["rows"].put == 2


def test_an_acknowledgement_of_what_was_never_put_is_refused() -> None:
    outbox = MemoryOutbox()
    outbox.put("rows", b"a", 0.0)
    with pytest.raises(FrameError, match="never sent; got 2"):
        outbox.acked(2)
    outbox.acked(1)
    outbox.acked(0)
    assert (len(outbox), outbox.acknowledged) == (0, 1)


def test_the_window_is_kept_but_never_stops_all() -> None:
    outbox = MemoryOutbox()
    for size in (500, 10, 10, 10):
        outbox.put("rows", bytes(size), 0.0)
    assert [i.seq for i in outbox.waiting(0, 100)] == [1]
    assert [i.seq for i in outbox.waiting(1, 25)] == [2, 3]
    assert [i.seq for i in outbox.waiting(3, 1)] == [4]
    for _ in range(200):
        outbox.put("rows", b"x", 0.0)
    assert len(outbox.waiting(0, 1 << 20)) == 204


def test_a_put_joins_what_is_undone_and_takes_no_number() -> None:
    database = SimulatedDisk(random.Random(0)).connect("state.db")
    outbox = Outbox(database)
    outbox.put("rows", b"a", 0.0)
    with pytest.raises(ZeroDivisionError), database.transaction():
        assert outbox.put("report", b"b", 0.0) == 2
        raise ZeroDivisionError
    assert (outbox.last, outbox.size, list(outbox.counts)) == (1, 1 + OVERHEAD, ["rows"])
    assert outbox.put("report", b"c", 0.0) == 2
