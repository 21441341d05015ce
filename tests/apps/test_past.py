"""The charts' hours and days: what the store has is what the page is given, after a restart too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgewise.apps.vision.page import PageState
from edgewise.apps.vision.past import Past
from edgewise.core.answer import FrameRecord, Outcome
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.history import History, Minute

NOW = 1_790_000_000.0


def frames(n: int, outcome: Outcome = "answered") -> Sequence[FrameRecord]:
    return [FrameRecord("n", i, 0.0, outcome, "split", "p", "w", latency=0.05, bytes_up=100, energy=0.1) for i in range(n)]


class Counting:
    """A history whose looks into the database are counted."""

    def __init__(self, inner: History) -> None:
        self.inner, self.looks = inner, 0

    def nodes(self, start: float, stop: float) -> dict[str, Minute]:
        self.looks += 1
        return self.inner.nodes(start, stop)


@pytest.mark.parametrize(("range_", "back"), [("10m", 300), ("6h", 4 * 3600), ("7d", 5 * 86_400)])
def test_every_frame_of_a_range_is_in_it_once(tmp_path: Path, range_: str, back: float) -> None:
    history = History(RealDisk(tmp_path).connect("s.db"))
    for k in range(5):
        history.add("north", frames(10), NOW - back + 60 * k)
        history.add("south", [*frames(3), *frames(2, "dropped"), *frames(1, "failed")], NOW - back + 60 * k)
    north, south = Past(history).read(range_, NOW)["nodes"]
    assert (north.node, south.node) == ("north", "south")
    assert sum(north.answered) == 50
    assert [sum(south.answered), sum(south.dropped), sum(south.failed)] == [15, 10, 5]
    assert sum(south.bytes) == 30 * 100
    assert sum(north.energy) == pytest.approx(5.0)
    assert north.p50[0] == pytest.approx(0.05, rel=0.06)
    assert all(NOW - back - 3600 < at < NOW for at in north.at)


def test_what_is_older_than_the_range_is_not_in_it(tmp_path: Path) -> None:
    history = History(RealDisk(tmp_path).connect("s.db"))
    history.add("north", frames(1), NOW - 7 * 3600)
    assert Past(history).read("6h", NOW)["nodes"] == []
    assert len(Past(history).read("7d", NOW)["nodes"]) == 1


def test_a_second_look_costs_the_newest_steps_alone(tmp_path: Path) -> None:
    counting = Counting(History(RealDisk(tmp_path).connect("s.db")))
    past = Past(counting)
    past.read("7d", NOW)
    first, counting.looks = counting.looks, 0
    assert first >= 168
    counting.inner.add("north", frames(4), NOW)
    found = past.read("7d", NOW + 5)
    assert counting.looks <= 2
    assert sum(found["nodes"][0].answered) == 4  # what is new is seen all the same


async def test_it_outlives_the_server(tmp_path: Path) -> None:
    database = RealDisk(tmp_path).connect("s.db")
    History(database).add("north", frames(7), NOW - 1000)
    database.close()
    state = PageState(wall=lambda: NOW, history=History(RealDisk(tmp_path).connect("s.db")))
    found = await state.earlier("6h")
    assert found["step"] == 120
    assert [sum(n.answered) for n in found["nodes"]] == [7]  # type: ignore[attr-defined]


async def test_a_server_without_a_store_has_no_past() -> None:
    assert (await PageState().earlier("7d"))["nodes"] == []
