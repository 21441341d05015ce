"""The dashboard's history: sums that hold, quantiles near the true ones, after a restart, and bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise.core.answer import FrameRecord
from edgewise.node.store import history as room
from edgewise.node.store.database import Parameters, Rows, in_memory
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.history import OTHERS, History


def record(outcome: str, latency: float = 0.05, energy: float = 0.5) -> FrameRecord:
    return FrameRecord("pi", 0, 0.0, outcome, "split", "split", "", latency=latency, bytes_up=100, bytes_down=20, energy=energy)  # type: ignore[arg-type]


def test_minutes_outlive_a_restart_and_go_on(tmp_path: Path) -> None:
    database = RealDisk(tmp_path).connect("state.db")
    History(database).add("pi", [record("answered"), record("dropped"), record("failed")], 600.0)
    database.close()
    history = History(RealDisk(tmp_path).connect("state.db"))
    history.add("pi", [record("answered", energy=float("nan"))], 659.9)
    history.add("pi", [record("answered")], 660.0)
    history.add("two", [record("dropped")], 660.0)
    history.add("two", [], 720.0)
    first, second = history.minutes("pi", 0, 1e9)
    assert (first.at, first.answered, first.dropped, first.failed, first.bytes, first.energy) == (600, 2, 1, 1, 480, 1.5)
    assert (second.at, second.answered) == (660, 1)
    sums = history.nodes(0, 1e9)
    assert (sums["pi"].at, sums["pi"].answered, sums["pi"].bytes) == (600, 3, 600)
    assert (sums["two"].dropped, sums["two"].p95) == (1, None)
    assert history.minutes("pi", 660, 720) == [second]


def test_quantiles_of_joined_minutes_are_near_the_true_ones() -> None:
    latencies = np.random.default_rng(3).lognormal(-3, 0.8, 3000)
    history = History(in_memory())
    for start in range(0, 3000, 100):
        history.add("pi", [record("answered", float(x)) for x in latencies[start : start + 100]], 60.0 * (start // 500))
    found = history.nodes(0, 1e9)["pi"]
    assert found.p50 == pytest.approx(np.quantile(latencies, 0.5), rel=0.06)
    assert found.p95 == pytest.approx(np.quantile(latencies, 0.95), rel=0.06)


def test_what_is_old_is_forgotten_and_so_is_what_a_wild_clock_wrote() -> None:
    history = History(in_memory(), age=3600.0)
    history.add("pi", [record("answered")], 4e9)
    for minute in range(100):
        history.add("pi", [record("answered")], 1e9 + 60 * minute)
    minutes = history.minutes("pi", 0, 1e10)
    assert len(minutes) <= 61
    assert minutes[-1].at <= 1e9 + 60 * 99


def test_a_clock_that_jumps_takes_no_history_with_it(tmp_path: Path) -> None:
    """To 2099 and back, to 1970 and back, with a restart between: the minutes before are all there."""
    database = RealDisk(tmp_path).connect("s.db")
    for minute in range(10):
        History(database, age=7 * 86_400.0).add("pi", [record("answered")], 1.8e9 + 60 * minute)
    for now in (4.1e9, 100.0, 1.8e9 + 700):
        database.close()
        database = RealDisk(tmp_path).connect("s.db")
        History(database).add("pi", [record("answered")], now)
    assert len(History(database).minutes("pi", 1.7e9, 1.9e9)) == 11


def test_a_clock_that_goes_back_for_ever_fills_no_disk() -> None:
    history = History(in_memory(), age=600.0)
    for minute in range(100):
        history.add("pi", [record("answered")], 1e9 - 60 * minute)
    found = history.minutes("pi", 0, 1e10)
    assert len(found) == 20
    assert found[0].at == (1e9 - 60 * 99) // 60 * 60, "the latest are those that are kept"


def test_a_history_of_before_goes_on_and_is_bounded_too() -> None:
    database = in_memory()
    History(database, age=3600.0).add("pi", [record("answered")], 1e9)
    database.execute("drop table history_clock")
    database.execute("drop table history_minutes")
    history = History(database, age=3600.0)
    assert len(history.minutes("pi", 0, 1e10)) == 1
    for minute in range(1, 100):
        history.add("pi", [record("answered")], 1e9 + 60 * minute)
    assert len(history.minutes("pi", 0, 1e10)) <= 62


def test_a_look_reads_a_page_at_a_time_and_lets_others_write_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    database = in_memory()
    history = History(database)
    for minute in range(20):
        for node in ("a", "b", "c"):
            history.add(node, [record("answered"), record("failed")], 1e9 + 60 * minute)
    whole, execute, most = history.nodes(0, 2e9), database.execute, 0

    def watched(sql: str, params: Parameters = ()) -> Rows:
        nonlocal most
        rows = execute(sql, params).fetchall()
        most = max(most, len(rows))
        return Rows(rows)

    monkeypatch.setattr(room, "PAGE", 7, raising=False)
    monkeypatch.setattr(database, "execute", watched)
    assert history.nodes(0, 2e9) == whole
    assert 0 < most <= 7
    assert {n: (m.answered, m.failed, m.energy) for n, m in whole.items()} == dict.fromkeys("abc", (20, 20, 20.0))
    assert history.nodes(1e9, 1e9 + 60)["b"].answered == 1  # minutes begin where the range does


def test_a_flood_of_names_is_counted_under_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "NODES", 3)
    history = History(in_memory())
    for n in range(10):
        history.add(f"pi-{n}", [record("answered")], 60.0)
    sums = history.nodes(0, 1e9)
    assert len(sums) == 4
    assert sums[OTHERS].answered == 7
