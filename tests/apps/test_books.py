"""The sum of a device: it adds up at every moment, a loss is found, and what is only late is not called one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.apps.vision.books import SETTLE, Accounts, Books, overall
from edgewise.apps.vision.status import NodeStatus
from edgewise.core.answer import FrameRecord


def record(frame: int, outcome: str = "answered", reason: str = "") -> FrameRecord:
    return FrameRecord("n", frame, frame / 10, outcome, "split", "p", "w", reason=reason)  # type: ignore[arg-type]


def said(sent: int | None, open_: int = 0, lost: int = 0) -> NodeStatus:
    return NodeStatus("n", True, sent=sent, open=open_, records_lost=lost)


def whole(a: Accounts) -> bool:
    terms = (a.total, a.open, a.coming, a.lost, a.before, a.missing)
    return a.sent is None or (a.sent == sum(terms) and min(terms) >= 0)


events = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 3)),
        st.tuples(st.just("status"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@given(events)
def test_the_sum_adds_up_at_every_moment(run: list[tuple[str, int]]) -> None:
    """Whatever the order of records and statuses, restarts among them, and however they lie."""
    books, now, frame, sent = Books("n"), 0.0, 0, 0
    for kind, n in run:
        if kind == "record":
            books.add(record(frame))
            frame += 1
        elif kind == "status":
            sent = max(sent, frame) + n
            books.said(said(sent, n, n // 2), now)
        elif kind == "wait":
            now += n
        else:
            frame = sent = 0
        assert whole(books.accounts(now))


@given(st.floats(0, SETTLE - 1.5), st.integers(1, 10))
def test_records_that_lag_are_on_their_way_and_no_loss(late: float, batch: int) -> None:
    """A steady device whose records come in batches, `late` seconds after the last frame of each."""
    books = Books("n")
    arrivals = [((i // batch + 1) * batch / 10 + late, i) for i in range(200)]
    statuses = [(float(t), 10 * t) for t in range(1, 20)]
    for at, what, i in sorted([(t, 1, i) for t, i in arrivals] + [(t, 0, n) for t, n in statuses]):
        if what:
            books.add(record(i))
        else:
            books.said(said(i), at)
        assert books.accounts(at).adds_up, at
    end = books.accounts(40.0)
    assert (end.total, end.missing, end.before) == (200, 0, 0)


def test_a_frame_without_a_fate_is_found() -> None:
    books = Books("n")
    books.said(said(0), 0.0)
    books.said(said(0), 7.0)
    for i in range(10):
        books.add(record(i))
    books.said(said(11), 8.0)
    assert books.accounts(8.0).coming == 1
    found = books.accounts(8.0 + SETTLE)
    assert (found.sent, found.total, found.missing, found.coming, found.adds_up) == (11, 10, 1, 0, False)
    books.add(record(10))
    assert books.accounts(9.0 + SETTLE).adds_up


def test_open_and_lost_ones_are_terms_and_not_losses() -> None:
    books = Books("n")
    for i in range(7):
        books.add(record(i, "dropped", "expired"))
    books.said(said(10, 2, 1), 0.0)
    now = books.accounts(SETTLE + 1)
    assert (now.sent, now.total, now.open, now.lost, now.coming, now.adds_up) == (10, 7, 2, 1, 0, True)


def test_records_of_frames_never_sent_are_found() -> None:
    books = Books("n")
    books.said(said(0), 0.0)
    for i in range(5):
        books.add(record(i))
    books.said(said(3), 1.0)
    books.said(said(3), 2.0 + SETTLE)
    assert books.accounts(2.0 + SETTLE).excess == 2


def test_a_server_that_starts_in_the_middle_counts_what_went_before_apart() -> None:
    books = Books("n")
    for i in range(500, 510):
        books.add(record(i))
    books.said(said(510), 0.0)
    now = books.accounts(SETTLE)
    assert (now.sent, now.before, now.total, now.adds_up) == (510, 500, 10, True)


def test_a_device_that_starts_again_goes_on() -> None:
    books = Books("n")
    for life in range(3):
        for i in range(30):
            books.add(record(i))
        books.said(said(30), 10.0 * life)
        books.said(said(30), 10.0 * life + SETTLE)
    now = books.accounts(100.0)
    assert (now.sent, now.total, now.adds_up) == (90, 90, True)


def test_a_short_life_is_seen_by_the_count_that_falls() -> None:
    books = Books("n")
    for i in range(10):
        books.add(record(i))
    books.said(said(10), 0.0)
    for i in range(4):
        books.add(record(i))
    books.said(said(5, 1), 3.0)
    now = books.accounts(4.0 + SETTLE)
    assert (now.sent, now.total, now.open, now.adds_up) == (15, 14, 1, True)


def test_all_devices_are_whole_only_when_each_has_said() -> None:
    quiet, told = Books("a"), Books("b")
    quiet.add(record(0))
    told.add(record(0))
    told.said(said(1), 0.0)
    both = overall([quiet.accounts(0.0), told.accounts(0.0)])
    assert (both.sent, both.total) == (None, 2)
    quiet.said(said(2, 1), 0.0)
    both = overall([quiet.accounts(0.0), told.accounts(0.0)])
    assert (both.sent, both.total, both.open) == (3, 2, 1)
    assert overall([]).sent is None
