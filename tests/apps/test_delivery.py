"""Versions to real devices, as processes: a good one stays, a worse one goes back from its canary, and kills cost nothing."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.yard import Yard, announced, ended, started, version, yard
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.fleet import Fleet
from edgewise.apps.vision.operating import act, publish_bundle, read_audit, read_fleet, start_rollout

NAMES = ("camera-1", "camera-2")
GUARD = "quality>-0.5pt p95<5s"


class Site:
    """A server and two devices; `devices` may be killed and begun again."""

    def __init__(self, at: Yard, folder: Path) -> None:
        self.at, self.folder = at, folder
        self.devices: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self, name: str) -> None:
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        words = ["run", "--source", "junction:14:clear", "--rate", "5", "--quiet", "--server", self.at.server]
        words += ["--keys", str(self.at.keys / "devices" / name), "--announce", str(ready)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.devices[name] = started(words, log)
        announced(self.devices[name], ready)

    def publish(self, bundle: Path, old: Path) -> None:
        publish_bundle(bundle, "main", self.at.keys, self.at.server, [old], None, None, 30.0, "", False, lambda said: None)

    def roll(self, canary: str = "100%", window: str = "1s") -> None:
        start_rollout("main", canary, GUARD, window, "latest", 1, self.at.keys, self.at.server)

    def until(self, holds: Callable[[Fleet], bool], seconds: float = 40.0) -> Fleet:
        end = time.monotonic() + seconds
        while not holds(fleet := read_fleet(self.at.keys, self.at.server)):
            assert time.monotonic() < end, fleet
            time.sleep(0.2)
        return fleet


def running(fleet: Fleet) -> dict[str, int | None]:
    return {row.node: model.running_version for row in fleet.nodes for model in row.models}


def everywhere(number: int) -> Callable[[Fleet], bool]:
    return lambda fleet: running(fleet) == dict.fromkeys(NAMES, number)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("site")
    with yard(folder, NAMES) as at, contextlib.ExitStack() as stack:
        it = Site(at, folder)
        for name in NAMES:
            it.begin(name)
        stack.callback(lambda: [ended(process) for process in it.devices.values()])
        it.until(everywhere(1))
        yield it


def test_a_release_goes_out_is_judged_goes_back_and_survives_a_kill(site: Site) -> None:
    good = version(site.folder / "good", 500, 1e-6)
    site.publish(good, find("vehicles"))
    site.roll()
    fleet = site.until(lambda f: everywhere(2)(f) and f.rollouts[0].stage == "done")
    assert all(guard.verdict == "holds" for guard in fleet.rollouts[0].guard)

    site.devices["camera-1"].send_signal(signal.SIGKILL)
    site.devices["camera-1"].wait()
    site.begin("camera-1")

    tried: set[str] = set()
    site.publish(version(site.folder / "bad", 9000, 5.0, base=good), good)
    site.roll("50%", "20s")

    def back(fleet: Fleet) -> bool:
        tried.update(node for node, number in running(fleet).items() if number == 3)
        return fleet.rollouts[0].stage == "reverted" and everywhere(2)(fleet)

    fleet = site.until(back)
    assert tried <= set(fleet.rollouts[0].canaries) and len(fleet.rollouts[0].canaries) == 1
    assert "quality" in fleet.rollouts[0].why
    log = read_audit(site.at.keys, site.at.server, 200)
    assert {"publish", "start", "wide", "done", "revert", "node good", "node reverted"} <= {entry.what for entry in log}


def test_a_person_takes_a_good_version_back(site: Site) -> None:
    site.publish(version(site.folder / "better", 500, 1e-6, seed=4), find("vehicles"))
    site.roll()
    number = max(n or 0 for n in running(site.until(lambda f: f.rollouts[0].stage == "done")).values())
    before = number - 2  # the one between was worse
    act("main", "revert", "", site.at.keys, site.at.server)
    site.until(everywhere(before))
