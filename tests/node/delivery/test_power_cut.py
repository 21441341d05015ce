"""Power cut at every operation of an update, and a disk that takes nothing: what runs is the old version or the new, whole."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from edgewise.core.rollout import Health
from edgewise.node.store.simulated import PowerCut, SimulatedDisk

pytest.importorskip("apsw")
T0 = 1.8e9
MODEL = "vehicles"


def machine(site, conf, seed: int = 1):
    device = conf.Device(site, SimulatedDisk(random.Random(seed)))
    device.updater.begin(MODEL, conf.sha(site.parts[1]["manifest.json"]), site.parts[1], T0)
    device.updater.restarted(T0)
    return device


def whole_files(device, site) -> None:
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    device.settle()


def by_delta(device, site) -> None:
    device.updater.news(site.news("cam-1", 4, 1), device.now)
    device.settle()


def to_and_fro(device, site) -> None:
    whole_files(device, site)
    device.updater.news(site.news("cam-1", 1, 2), device.now)
    device.settle()


def judged_and_kept(device, site) -> None:
    whole_files(device, site)
    device.updater.health(Health(6.0, 30, 1), device.now)
    device.updater.news(site.news("cam-1", 2, 2), device.now)


def given_up(device, site) -> None:
    whole_files(device, site)
    device.updater.health(Health(30.0, 100, 100), device.now)
    device.settle()


WALKS: dict[Callable, tuple[int, list[str]]] = {
    whole_files: (2, ["fetching 2", "ready 2", "trial 2"]),
    by_delta: (4, ["fetching 4", "ready 4", "trial 4"]),
    to_and_fro: (1, ["fetching 2", "ready 2", "trial 2", "ready 1", "reverted 2"]),
    judged_and_kept: (2, ["fetching 2", "ready 2", "trial 2", "good 2"]),
    given_up: (1, ["fetching 2", "ready 2", "trial 2", "reverted 2"]),
}


@pytest.mark.parametrize("walk", WALKS, ids=lambda w: w.__name__)
def test_a_power_cut_at_any_write_leaves_a_whole_version_and_each_report_once(site, conf, walk) -> None:
    old, new = site.parts[1], conf.files_of(4, 5000)
    site.release(4, new, {conf.sha(old["manifest.json"]): conf.delta_between(old, new)})
    device = machine(site, conf)
    before = device.disk.operations
    walk(device, site)
    operations = device.disk.operations - before
    assert operations > 20
    version, steps = WALKS[walk]
    for cut in range(1, operations + 1):
        device = machine(site, conf, cut)
        device.disk.cut_at(cut)
        try:
            walk(device, site)
        except PowerCut:
            device.disk.cut()
        device.open()
        device.updater.restarted(device.now)
        assert device.updater.running.version in (1, 2, 4)
        assert device.whole(), f"cut at {cut}"
        device.settle()
        assert device.whole()
        again(device, site, walk)
        assert device.updater.running.version == version, f"cut at {cut}"
        assert device.whole()
        said = [s for r, s in zip(device.reports(), device.steps()) if not (r.step == "trial" and r.health)]
        assert said == steps, f"cut at {cut}"
        assert [item.seq for item in device.outbox.waiting(0, 1 << 20)] == list(range(1, len(device.reports()) + 1))


def again(device, site, walk) -> None:
    """The server says its last news again, and the frames go on: what the walk wanted comes true."""
    if walk in (whole_files, by_delta):
        walk(device, site)
        return
    if walk is given_up and any(r.step == "reverted" for r in device.reports()):
        return
    if not device.verifier.assigned:
        device.updater.news(site.news("cam-1", 2, 1), device.now)
        device.settle()
    if walk is given_up:
        device.updater.health(Health(30.0, 100, 100), device.now)
    else:
        device.updater.news(site.news("cam-1", 1 if walk is to_and_fro else 2, 2), device.now)
    device.settle()


def test_many_cuts_in_one_update(site, conf) -> None:
    """Power fails again and again, ever a little later: it comes through, and its reports are each there once."""
    for seed in range(12):
        device, draw = machine(site, conf, seed), random.Random(seed)
        while True:
            device.disk.cut_at(draw.randint(1, 60))
            try:
                whole_files(device, site)
                device.disk.cut_at(0)
                break
            except PowerCut:
                device.disk.cut()
            try:
                device.open()
                device.updater.restarted(device.now)
                device.updater.stopping(device.now)  # these are no crashes of the version
            except PowerCut:
                device.disk.cut()
                device.open()
            assert device.whole()
        assert device.steps() == ["fetching 2", "ready 2", "trial 2"]
        assert device.whole()


# A disk that takes nothing


@pytest.mark.parametrize("fault", ["full", "read_only"])
def test_a_disk_that_takes_nothing_is_a_sentence_and_the_version_in_use_goes_on(site, conf, fault) -> None:
    device = machine(site, conf)
    setattr(device.disk, fault, True)
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    assert device.updater.status.trouble
    assert device.updater.running.version == 1
    for _ in range(20):
        device.now = device.updater.wake
        device.updater.tick(device.now)
        assert device.updater.swap_due() is None
    assert device.now - T0 > 1000  # ever more rarely
    setattr(device.disk, fault, False)
    device.now += 400
    device.settle()
    assert device.updater.running.version == 2
    assert device.updater.status.trouble == ""
    assert device.steps() == ["fetching 2", "ready 2", "trial 2"]


@pytest.mark.parametrize("at", range(1, 12))
def test_a_disk_that_fills_up_in_the_middle_is_told_once_it_can_be(site, conf, at) -> None:
    device = machine(site, conf)
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    for _ in range(at):
        device.fetch(100)
    device.disk.full = True
    for _ in range(30):
        device.now += 100
        device.updater.tick(device.now)
        device.fetch()
        if device.updater.swap_due() is not None and not device.updater.swapped(device.now):
            device.updater.health(Health(1.0, 1, 0), device.now)
    assert device.updater.running.version == 1
    assert device.whole()
    device.disk.full = False
    device.now += 400
    device.settle()
    assert device.updater.running.version == 2
    steps = device.steps()
    assert [s for s in steps if s != "fetching 2"] == ["ready 2", "trial 2"]
    assert steps.count("fetching 2") <= 2
    if steps.count("fetching 2") == 2:
        assert "full" in device.reports()[1].sentence


def test_a_swap_that_cannot_be_written_is_not_made(site, conf) -> None:
    device = machine(site, conf)
    device.updater.news(site.news("cam-1", 2, 1), device.now)
    while device.fetch():
        pass
    assert device.updater.swap_due().version == 2
    device.disk.full = True
    assert not device.updater.swapped(device.now)
    assert device.updater.running.version == 1
    device.disk.full = False
    assert device.updater.swap_due().version == 2
    assert device.updater.swapped(device.now)
    assert device.updater.running.version == 2
