"""Seconds of history: every frame in exactly one of them (or counted as too late), in order, whatever the device's clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import FrameRecord
from edgewise.web.history import KEPT, MOST_OPEN, SETTLE, History


def frame(at: float, latency: float = 0.0) -> FrameRecord:
    return FrameRecord(
        "n", 0, at, "answered", "split", "p", "w", latency=latency, deadline=0.1, bytes_up=100, energy=0.5, link_rate=2e6
    )


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-30, 30)), max_size=80))
def test_every_frame_is_in_one_second(steps: list[tuple[float, float]]) -> None:
    history, now = History(), 100.0
    for wait, skew in steps:
        now += wait
        history.add(frame(now + skew), now)
        history.close(now)
    history.close(now + 60)
    assert sum(sum(s.fates) for s in history.seconds) + history.after == len(steps)
    assert sum(s.bytes_up for s in history.seconds) == 100 * (len(steps) - history.after)
    times = [s.at for s in history.seconds]
    assert times == sorted(set(times))


def test_batches_do_not_make_the_chart_saw() -> None:
    """Ten frames a second that arrive in batches of fifteen are still ten in each second."""
    history = History()
    for batch in range(20):
        now = 50.0 + 1.5 * batch
        for i in range(15):
            history.add(frame(1.5 * batch + i / 10), now)
    history.close(200.0)
    counts = [sum(s.fates) for s in history.seconds]
    assert set(counts[1:-1]) == {10}


def test_a_second_is_closed_when_its_fates_are_known() -> None:
    history = History()
    history.add(frame(7.0), 1000.0)
    assert history.close(1000.9 + SETTLE) == []
    (second,) = history.close(1001.0 + SETTLE)
    assert (second.at, second.link_rate, second.deadline) == (1000, 2e6, 0.1)
    history.add(frame(7.0), 1005.0)
    assert history.after == 1


def test_a_device_that_starts_again_goes_on_where_the_page_is() -> None:
    history = History()
    history.add(frame(5000.0), 10.0)
    history.add(frame(1.0), 40.0)
    history.close(60.0)
    assert [s.at for s in history.seconds] == [10, 40]


def test_memory_is_bounded_while_nobody_looks() -> None:
    history = History()
    for i in range(5000):
        history.add(frame(float(i)), float(i))
    assert len(history._open) <= MOST_OPEN + 1
    assert len(history.seconds) == KEPT


def test_ten_minutes_are_kept() -> None:
    history = History()
    for i in range(KEPT + 50):
        history.add(frame(float(i)), float(i))
        history.close(float(i))
    history.close(1e6)
    columns = history.columns()
    assert len(columns["at"]) == KEPT
    assert columns["at"][-1] == KEPT + 49
