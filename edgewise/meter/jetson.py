"""Joules of an NVIDIA Jetson from its INA3221 power monitors, as Linux shows them under `hwmon`.

The monitor tells volts and amperes of each rail, no energy: a thread samples them and the meter integrates (trapezoids). Where a
rail measures the input of the whole board (`VDD_IN`, `POM_5V_IN`), it alone is counted, else the sum of all named rails.
What lies between two samples (20 a second) is not seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement
from edgewise.meter.instrument import not_started, number

MONITORS = Path("/sys/bus/i2c/drivers/ina3221")
INPUTS = ("VDD_IN", "POM_5V_IN")


class JetsonMeter:
    """Energy of the board; opening raises MeterError where there is no monitor."""

    def __init__(self, root: Path = MONITORS, period: float = 0.05, clock: Callable[[], float] = time.monotonic) -> None:
        rails = dict(_rails(root))
        if not rails:
            raise MeterError("this machine has no INA3221 power monitor", got=f"no named rail under {root}")
        whole = {name: files for name, files in rails.items() if name in INPUTS}
        self._rails = whole or rails
        self.covers = f"the board ({', '.join(self._rails)})" if whole else f"the rails {', '.join(self._rails)}"
        self._period, self._clock = period, clock
        self._samples: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.power()

    def power(self) -> float:
        """Watts now, summed over the counted rails."""
        return sum(number(volts) * number(amperes) * 1e-6 for volts, amperes in self._rails.values())  # mV · mA

    def sample(self) -> None:
        self._samples.append((self._clock(), self.power()))

    def start(self) -> None:
        self._samples.clear()
        self._ended.clear()
        self.sample()
        self._thread = threading.Thread(target=self._watch, name="jetson-meter", daemon=True)
        self._thread.start()

    def stop(self) -> Measurement:
        if self._thread is None:
            raise not_started("the Jetson meter")
        self._ended.set()
        self._thread.join()
        self._thread = None
        self.sample()
        pairs = zip(self._samples, self._samples[1:])
        joules = sum((b - a) * (p + q) / 2 for (a, p), (b, q) in pairs)
        return Measurement(joules, "J", "measured", f"INA3221, {self.covers}", n=len(self._samples))

    def _watch(self) -> None:
        while not self._ended.wait(self._period):
            self.sample()


def _rails(root: Path) -> list[tuple[str, tuple[Path, Path]]]:
    """Each rail that has a name, with its files of millivolts and milliamperes."""
    found = []
    for label in sorted(root.glob("*/hwmon/hwmon*/in*_label")) if root.is_dir() else []:
        channel = label.name.removeprefix("in").removesuffix("_label")
        volts, amperes = label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input")
        name = label.read_text().strip()
        if name and name != "NC" and "sum" not in name.lower() and volts.is_file() and amperes.is_file():
            found.append((name, (volts, amperes)))
    return found
