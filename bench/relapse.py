"""A version that is worse goes out to real devices, and comes back by itself: who ever ran it, and how long it took.

`edgewise serve` and `edgewise run` are processes; the version is the shipped bundle with noise in its weights, and the guard is
the one of the README. Quality is what each device measures on its bundle's probe.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.report import Row
from bench.yard import announced, ended, started, version, yard
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.fleet import Fleet
from edgewise.apps.vision.operating import publish_bundle, read_fleet, start_rollout
from edgewise.core.errors import LinkError

GUARD = "quality>-0.5pt p95<500ms"
WINDOW = 30.0  # s
SCENES = ("14:clear", "4:fog", "6:night", "20:rain", "21:haze")


class Relapse(Struct, frozen=True):
    """Nodes that tried the version, of how many; whether only canaries did; seconds until it was gone; the guard's sentence."""

    tried: tuple[str, ...]
    canaries: tuple[str, ...]
    nodes: int
    seconds: float
    stage: str
    sentence: str

    @property
    def good(self) -> bool:
        return self.stage == "reverted" and set(self.tried) == set(self.canaries) and self.seconds <= WINDOW


def relapse(devices: int, rate: float = 4.0) -> Relapse:
    names = tuple(f"camera-{i + 1}" for i in range(devices))
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        site = stack.enter_context(yard(folder, names))
        for i, name in enumerate(names):
            words = [
                "run",
                "--source",
                f"junction:{SCENES[i % len(SCENES)]}",
                "--server",
                site.server,
                "--rate",
                f"{rate:g}",
                "--quiet",
            ]
            words += ["--keys", str(site.keys / "devices" / name), "--announce", str(folder / f"{name}.ready")]
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = started(words, log)
            stack.callback(ended, process)
            announced(process, folder / f"{name}.ready")
        until = time.monotonic() + 30
        while len(settled(read_fleet(site.keys, site.server), 1)) < devices:
            if time.monotonic() > until:
                raise LinkError("not all devices joined", got=settled(read_fleet(site.keys, site.server), 1))
            time.sleep(0.5)
        bad = version(folder / "bad", 9000, 5.0)
        publish_bundle(bad, "main", site.keys, site.server, [find("vehicles")], None, None, 30.0, "", False, lambda said: None)
        began, tried = time.monotonic(), set()
        start_rollout("main", f"{100 / devices:g}%", GUARD, f"{WINDOW:g}s", "latest", 1, site.keys, site.server)
        while True:
            fleet = read_fleet(site.keys, site.server)
            tried |= set(settled(fleet, 2))
            (rollout,) = fleet.rollouts
            seconds = time.monotonic() - began
            if (rollout.stage == "reverted" and len(settled(fleet, 1)) == devices) or seconds > 2 * WINDOW:
                return Relapse(tuple(sorted(tried)), rollout.canaries, devices, seconds, rollout.stage, rollout.why)
            time.sleep(0.1)


def settled(fleet: Fleet, number: int) -> list[str]:
    """Nodes that run version `number`."""
    return [row.node for row in fleet.nodes for model in row.models if model.running_version == number]


def rows(it: Relapse) -> list[Row]:
    case = f"a worse version to {it.nodes} real devices, {len(it.canaries)} of them canaries"
    return [
        Row(case, "devices that ran it and were no canaries", len(set(it.tried) - set(it.canaries)), "", it.nodes),
        Row(case, "time from the rollout's start until nobody runs it", it.seconds, "s", 1),
    ]
