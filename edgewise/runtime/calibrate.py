"""Calibration: a measured profile of this machine, from which models that never ran here can be estimated.

Hundreds of small networks (see `probes`) run in onnxruntime, one thread, all optimisations on, and `fit` solves for the
cost of each kind of kernel. A fixed unit, one small convolutional network, is timed beside every few probes, and each
figure is held against the unit of its own moment: what neighbours do to clock and memory cancels. The unit's seconds stand
in the profile, so that a later reader can see whether the machine has changed.

What it does not measure: power, several threads, accelerators, models whose weights do not fit into the last cache.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgewise.core.device import Device, Run
from edgewise.core.errors import ConfigError
from edgewise.core.measurement import Measurement
from edgewise.graph.kernels import Kernel
from edgewise.runtime.fit import fit
from edgewise.runtime.session import Session
from edgewise.runtime.timing import time_session

try:
    import onnx

    from edgewise.graph.count import graph_of
    from edgewise.graph.lowering import lower
    from edgewise.graph.sketch import Sketch
    from edgewise.runtime.probes import probes
except ModuleNotFoundError as missing:
    raise ConfigError(
        "calibration builds ONNX models and needs a package that is not here",
        got=f"no module {missing.name}",
        hint="pip install 'edgewise[server]'",
    ) from missing

UNIT = "calibration unit"
_EVERY = 4  # probes between two timings of the unit
_PROBE = 0.04  # seconds of runs a probe
_LEAST = 60  # probes without which there is no profile
_LARGEST = 0.002  # seconds that the largest probe should take, about

Progress = Callable[[float, str], None]


def calibrate(budget: float = 60.0, progress: Progress | None = None, seed: int = 1) -> Device:
    """The profile of this machine, measured in about `budget` seconds; `progress(share done, text)` is called along the way."""
    start = time.monotonic()
    block = block_size()
    unit = unit_session()
    seconds = [time_session(unit).busy]
    limit = unit_work() / seconds[0] * _LARGEST
    timed: list[tuple[tuple[Kernel, ...], float, int]] = []
    for model in probes(seed, limit):
        elapsed = time.monotonic() - start
        if elapsed > budget and len(timed) >= _LEAST:
            break
        if progress is not None:
            progress(min(1.0, max(elapsed / budget, 0.0)), f"{len(timed)} networks")
        busy = time_session(Session.load(model.SerializeToString()), _PROBE).busy
        timed.append((lower(graph_of(model), block), busy, len(seconds) - 1))
        if len(timed) % _EVERY == 0:
            seconds.append(time_session(unit, 0.01).busy)
    seconds.append(time_session(unit).busy)
    usual = float(np.median(seconds))
    corrected = [(found, busy * usual / ((seconds[i] + seconds[i + 1]) / 2)) for found, busy, i in timed]
    return _profile(corrected, seconds, block, seed, time.monotonic() - start)


def unit_session() -> Session:
    """The fixed network that others are held against: four 3 × 3 convolutions of 64 channels at 28 × 28."""
    s = Sketch(UNIT)
    x = s.input("x", 64, 28, 28)
    for _ in range(4):
        x = s.conv(x, 64)
    return Session.load(s.model(s.flat_mean(x)).SerializeToString())


def unit_work() -> float:
    """Multiply-adds of the unit."""
    return 4.0 * 64 * 64 * 9 * 28 * 28


def block_size() -> int:
    """Channels in a block of this CPU's convolution layout: 16, 8, or 1 where onnxruntime keeps the plain one."""
    with TemporaryDirectory() as folder:
        for channels in (8, 16):
            s = Sketch("layout")
            model = s.model(s.conv(s.input("x", channels, 8, 8), channels))
            path = Path(folder) / f"{channels}.onnx"
            Session.load(model.SerializeToString(), optimised_path=path)
            kinds = {node.op_type for node in onnx.load(path).graph.node}
            if "ReorderInput" in kinds:  # as many channels as a block holds are reordered; fewer are read as they are
                return channels
    return 1


def _profile(
    timed: list[tuple[tuple[Kernel, ...], float]], seconds: list[float], block: int, seed: int, elapsed: float
) -> Device:
    software = f"onnxruntime {version('onnxruntime')} CPU, 1 thread"
    source = f"{len(timed)} probe networks of seed {seed} in {elapsed:.0f} s, {software}, Python {platform.python_version()}"
    low, usual, high = (float(x) for x in np.percentile(seconds, (5, 50, 95)))
    unit = Measurement(usual, "s", "measured", source, low, high, len(seconds))
    return Device(
        name="this",
        title=f"{_processor()}, {os.cpu_count()} cores",
        kind="host",
        memory=_memory(),
        runs=(Run(UNIT, software, "float32", unit),),
        operators=fit(timed, block),
        block=block,
        notes=f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())}: {source}. Power is not measured.",
    )


def _processor() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> Measurement | None:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return Measurement(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), "bytes", "measured", "operating system")
