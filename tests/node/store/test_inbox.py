"""Exactly once in effect: whatever is sent again, each item counts once; a gap never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import FrameError
from edgewise.node.store.database import in_memory
from edgewise.node.store.inbox import EPOCHS, Inbox
from edgewise.node.store.outbox import Bounds, MemoryOutbox


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=25), st.integers(200, 1000))
def test_each_item_has_its_effect_once_whatever_is_sent_again(rounds: list[tuple[int, bool, bool]], room: int) -> None:
    database = in_memory()
    inbox, outbox = Inbox(database), MemoryOutbox(Bounds(room))
    effects: list[int] = []
    for puts, acknowledged, undone in rounds:
        for _ in range(puts):
            outbox.put("rows", bytes(50), 0.0)
        took: list[int] = []
        try:
            with database.transaction():
                for item in outbox.waiting(0, 1 << 20):
                    verdict = inbox.take("pi", outbox.epoch, item.after, item.seq)
                    assert verdict in ("new", "seen"), "a device that drops by its bounds leaves no gap"
                    took += [item.seq] * (verdict == "new")
                if undone:
                    raise InterruptedError
        except InterruptedError:
            continue
        effects += took
        if acknowledged:
            outbox.acked(inbox.watermark("pi", outbox.epoch) or 0)
    assert effects == sorted(set(effects))
    waiting = {i.seq for i in outbox.waiting(0, 1 << 20)}
    missing = set(range(1, outbox.last + 1)) - set(effects) - waiting
    assert len(missing) <= sum(counts.dropped for counts in outbox.counts.values()), "nothing is lost uncounted"


def test_a_gap_is_told_and_changes_nothing() -> None:
    inbox = Inbox(in_memory())
    assert [inbox.take("pi", "e", 0, 1), inbox.take("pi", "e", 1, 2), inbox.take("pi", "e", 3, 4)] == ["new", "new", "gap"]
    assert inbox.watermark("pi", "e") == 2
    assert [inbox.take("pi", "e", 2, 3), inbox.take("pi", "e", 1, 2), inbox.take("pi", "e", 2, 9)] == ["new", "seen", "new"]
    assert inbox.take("other", "e", 0, 1) == "new", "another node's numbers are its own"
    assert inbox.counts == {"taken": 5, "seen": 1, "begun": 0}


def test_a_new_server_takes_an_old_outbox_up_where_it_is() -> None:
    inbox = Inbox(in_memory())
    assert inbox.take("pi", "e", 41, 42) == "new"
    assert inbox.take("pi", "e", 41, 42) == "seen"
    assert inbox.counts["begun"] == 1


def test_old_outboxes_are_forgotten_by_node() -> None:
    inbox = Inbox(in_memory())
    inbox.take("quiet", "its only one", 0, 1)
    for n in range(EPOCHS + 10):
        inbox.take("pi", str(n), 0, 1)
    assert inbox.watermark("pi", "9") is None
    assert inbox.watermark("pi", "10") == inbox.watermark("pi", str(EPOCHS + 9)) == inbox.watermark("quiet", "its only one") == 1


@pytest.mark.parametrize(("after", "seq"), [(1, 1), (2, 1), (-1, 1), (0, 2**32), (0, 0)])
def test_numbers_that_do_not_rise_are_refused(after: int, seq: int) -> None:
    with pytest.raises(FrameError, match="rising numbers"):
        Inbox(in_memory()).take("pi", "e", after, seq)
