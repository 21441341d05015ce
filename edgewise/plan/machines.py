"""Profiles become machines that can be asked how long a graph takes: by their own operator costs, or by this host's, scaled.

A profile with operator costs (a calibrated one) speaks for itself. One with quoted runs of well-known networks borrows the
operator costs of this host, scaled by those runs. One with neither has no times, and what it would do stays unknown.
Where this host was never calibrated, a short calibration is made and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgewise.core.device import Device
from edgewise.core.errors import UnknownFigure
from edgewise.core.graph import Graph
from edgewise.core.measurement import Measurement
from edgewise.plan.anchors import anchors
from edgewise.plan.candidates import Machine
from edgewise.plan.estimate import latency, scale_to
from edgewise.profiles.load import load_device, save_device, this_profile

SHORT = 15.0  # seconds of a calibration that nobody asked for
Progress = Callable[[float, str], None]


def machines(
    device: str | Path, edge: str | Path, host: Device | None = None, progress: Progress | None = None
) -> tuple[Machine, Machine, tuple[str, ...]]:
    """The device and the edge server as machines, and where their times are from, in sentences."""
    here, there = (None if str(name) == "this" else load_device(name) for name in (device, edge))
    if host is None and not (here is not None and here.operators and there is not None and there.operators):
        host = this_host(progress)
    found = [_machine(profile or host, host) for profile in (here, there)]
    notes = dict.fromkeys(note for _, note in found)
    return found[0][0], found[1][0], tuple(notes)


def this_host(progress: Progress | None = None, file: Path | None = None) -> Device:
    """This machine's profile: the one that is kept, else one of a short calibration, which is then kept."""
    file = file or this_profile()
    if not file.is_file():
        from edgewise.runtime.calibrate import calibrate

        measured = calibrate(SHORT, progress)
        note = f"{measured.notes} It was a short calibration: `edgewise calibrate` gives narrower intervals."
        save_device(msgspec.structs.replace(measured, notes=note), file)
    return load_device("this", file)


def _machine(profile: Device | None, host: Device | None) -> tuple[Machine, str]:
    assert profile is not None  # it is the host where it was named `this`
    if profile.operators:
        timed = profile
    else:
        try:
            assert host is not None  # machines() calibrates where a profile has no costs of its own
            timed = scale_to(host, profile, anchors())
        except UnknownFigure as error:
            return Machine(profile, _unknown, None), f"Times on {profile.name} are unknown: {error}"
    told = [line for line in timed.notes.splitlines() if line.startswith(("Operator costs", "Measured"))]
    note = f"Times on {profile.name} are modelled by the estimator of operator costs. {' '.join(told)}".strip()
    return Machine(timed, lambda graph: latency(graph, timed), _slowness(timed, host)), note


def _unknown(graph: Graph) -> Measurement | None:
    return None


def _slowness(timed: Device, host: Device | None) -> float:
    """How much longer this device takes for a well-known network than the host, which stands for the coders' reference."""
    if host is None or timed is host:
        return 1.0
    known = anchors()["MobileNetV2"]
    return latency(known, timed).value / latency(known, host).value
