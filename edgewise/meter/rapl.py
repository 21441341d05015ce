"""Joules of the processor packages from Intel's and AMD's RAPL counters, as Linux shows them under `powercap`.

The counters run on and wrap at `max_energy_range_uj`; one wrap between start and stop is made good, more cannot be seen (at
100 W, 262 kJ pass in about 45 minutes). They cover the packages, not memory sticks, disks, screen or supply.
"""

from __future__ import annotations

from pathlib import Path

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement
from edgewise.meter.instrument import not_started, number

POWERCAP = Path("/sys/class/powercap")


class RaplMeter:
    """Energy of all packages of this machine; opening raises MeterError where there are none or they may not be read."""

    covers = "the processor packages"

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
        self._zones = [z for z in zones if z.name.count(":") == 1 and _name(z).startswith("package")]
        if not self._zones:
            raise MeterError(
                "this machine shows no RAPL counter",
                got=f"no package under {root}",
                hint="Virtual machines and most boards have none: joules are then modelled.",
            )
        self._range = [number(z / "max_energy_range_uj") for z in self._zones]
        self._read()
        self._began: list[int] | None = None

    def start(self) -> None:
        self._began = self._read()

    def stop(self) -> Measurement:
        if self._began is None:
            raise not_started("the RAPL meter")
        passed = [(now - began) % (most + 1) for now, began, most in zip(self._read(), self._began, self._range)]
        self._began = None
        return Measurement(sum(passed) * 1e-6, "J", "measured", f"RAPL, {len(passed)} packages", n=1)

    def _read(self) -> list[int]:
        return [number(z / "energy_uj") for z in self._zones]


def _name(zone: Path) -> str:
    file = zone / "name"
    return file.read_text().strip() if file.is_file() else ""
