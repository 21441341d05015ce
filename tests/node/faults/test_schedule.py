"""A seed is a schedule: the same each time, within its bounds, and over many seeds every kind of fault is drawn."""

from __future__ import annotations

from edgewise.node.faults.schedule import KINDS, SERVER, schedule


def test_a_seed_is_one_schedule() -> None:
    assert schedule(3) == schedule(3)
    assert str(schedule(3)) == str(schedule(3))
    assert len({str(schedule(seed)) for seed in range(50)}) == 50


def test_trouble_is_over_before_the_quiet_time() -> None:
    for it in map(schedule, range(400)):
        assert all(f.at >= 0 and f.at + f.seconds <= it.trouble + 1e-9 for f in it.faults), it
        assert all(0 <= f.amount < 1 and f.node in (*it.devices, SERVER) for f in it.faults), it
        assert [a.at for a in it.acts] == sorted(a.at for a in it.acts), it
        published = [a.version for a in it.acts if a.deed == "publish"]
        assert sorted(published) == list(range(1, len(published) + 1)) and 2 <= len(published) <= 4, it
        assert 2 <= len(it.devices) <= 3, it


def test_every_pause_is_resumed() -> None:
    for seed in range(300):
        deeds = [a.deed for a in schedule(seed).acts]
        assert deeds.count("pause") <= deeds.count("resume")


def test_every_kind_is_drawn_and_befalls_whom_it_may() -> None:
    drawn = [f for seed in range(600) for f in schedule(seed).faults]
    assert {f.kind for f in drawn} == set(KINDS)
    assert all(KINDS[f.kind].server for f in drawn if f.node == SERVER)
    bad = {a.bad for seed in range(200) for a in schedule(seed).acts if a.deed == "publish"}
    assert bad == {"", "quality", "slow", "load", "crash"}
