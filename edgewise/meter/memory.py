"""Resident memory of this process, now and at its peak, in bytes.

On Linux from `/proc/self`; elsewhere from the system's `getrusage`, which knows the peak alone: `resident` then gives the peak.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement

STATUS = Path("/proc/self/status")


def resident(status: Path = STATUS) -> float:
    """Bytes of physical memory that this process holds."""
    return _field(status, "VmRSS") if status.is_file() else _peak_of_the_system()


def peak(status: Path = STATUS) -> Measurement:
    """The most bytes that this process ever held."""
    if status.is_file():
        return Measurement(_field(status, "VmHWM"), "bytes", "measured", f"VmHWM in {status}")
    return Measurement(_peak_of_the_system(), "bytes", "measured", "getrusage, ru_maxrss")


def _field(status: Path, name: str) -> float:
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise MeterError("the kernel does not tell the memory of this process", got=f"no {name} in {status}")


def _peak_of_the_system() -> float:
    try:
        resource = importlib.import_module("resource")
    except ImportError as error:
        raise MeterError("memory cannot be read on this system", got=sys.platform, allowed="Linux, macOS") from error
    most = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return most if sys.platform == "darwin" else most * 1024
