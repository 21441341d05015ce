"""What the page keeps: everything that it was told, in bounded memory, and views that take turns."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgewise.apps.vision import page
from edgewise.apps.vision.page import AT_ONCE, PageState
from edgewise.core.answer import FrameRecord
from edgewise.core.errors import ImageError
from edgewise.web.events import Subscriber

Feed = Any  # of conftest.py, which tests cannot import by name


def record(node: str, frame: int) -> FrameRecord:
    return FrameRecord(node, frame, frame / 10, "answered", "split", "p", "w", latency=0.05, deadline=0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watched(state: PageState) -> list[tuple[str, str]]:
    """Take down what is published from now on, as (kind, key)."""
    published: list[tuple[str, str]] = []

    class Listener(Subscriber):
        def offer(self, slot: tuple[str, str], event: bytes) -> None:
            published.append(slot)

    state.hub._subscribers.add(Listener(9999))
    return published


def test_many_cameras_take_turns_and_none_starves() -> None:
    clock = Clock()
    state = PageState(clock=clock)
    for i in range(100):
        state.record(record(f"n{i}", 0))
    published = watched(state)
    seen: set[str] = set()
    for turn in range(1, 9):
        for i in range(100):
            state.record(record(f"n{i}", turn))
        clock.now += 0.1
        published.clear()
        state.refresh()
        nodes = [key for kind, key in published if kind == "node"]
        assert len(nodes) <= AT_ONCE
        seen.update(nodes)
    assert len(seen) == 100


def test_a_camera_is_shown_at_most_ten_times_a_second() -> None:
    clock = Clock()
    state = PageState(clock=clock)
    published = watched(state)
    for i in range(1000):
        clock.now += 0.01
        state.record(record("north", i))
        state.refresh()
    assert 90 <= sum(kind == "node" for kind, _ in published) <= 101


def test_a_silent_camera_is_looked_at_each_second() -> None:
    clock = Clock()
    state = PageState(clock=clock)
    state.record(record("north", 0))
    state.refresh()
    published = watched(state)
    for _ in range(50):
        clock.now += 0.1
        state.refresh()
    assert 4 <= sum(kind == "node" for kind, _ in published) <= 6


def test_more_cameras_than_can_be_shown_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_CAMERAS", 2)
    state = PageState()
    for name in ("a", "b", "c", "c"):
        state.record(record(name, 0))
    state.preview("d", b"\xff\xd8\xff")
    assert state.unshown == 2
    assert [row.node for row in state.table()] == ["a", "b"]


def test_a_picture_that_is_none_is_refused_and_counted() -> None:
    state = PageState()
    with pytest.raises(ImageError, match="got 5 bytes"):
        state.preview("a", b"hello")
    assert state.previews_refused == 1
    assert state.picture("a") is None
    assert state.picture("nobody") is None


def test_a_fresh_browser_is_told_everything(make_feed: Feed) -> None:
    feed = make_feed(("a", "b", "c"))
    feed.step(20)
    feed.status()
    kinds = [kind for kind, _ in feed.state.snapshot()]
    assert kinds[:2] == ["server", "table"]
    assert kinds.count("node") == kinds.count("picture") == 3
    sent = {kind: msgspec.json.decode(msgspec.json.encode(view)) for kind, view in feed.state.snapshot()}
    assert sent["server"]["accounts"]["sent"] == 60
    assert sum(row["answered"] + row["dropped"] + row["failed"] for row in sent["table"]["rows"]) == 60
