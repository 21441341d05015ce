"""The energy of a frame as a model, and the best instrument that this machine has.

`EnergyModel` is the formula of `edgewise.core.power` with the figures of one device: it is used wherever no counter exists,
which is in most virtual machines and on a Raspberry Pi 4, and what it gives is always marked `modelled`. `best_meter` prefers
an instrument that covers the whole board, then one of the processor; a card's counter is taken only for work on the card.
Power is never guessed from a table of processors' design power.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement
from edgewise.core.power import RADIOS, Radio, computing_energy
from edgewise.meter.instrument import Meter, not_started
from edgewise.meter.jetson import JetsonMeter
from edgewise.meter.nvml import NvmlMeter
from edgewise.meter.rapl import RaplMeter

Place = Literal["cpu", "gpu"]
INSTRUMENTS: dict[str, Callable[[], Meter]] = {"jetson": JetsonMeter, "rapl": RaplMeter, "nvml": NvmlMeter}


class EnergyModel(Struct, frozen=True, forbid_unknown_fields=True):
    """`idle` and `active` power (W) of a device, and the radio that it sends with."""

    idle: float
    active: float
    radio: Radio = RADIOS[""]

    def of(
        self,
        busy: float,
        bytes_up: float = 0.0,
        bytes_down: float = 0.0,
        rate_up: float = 0.0,
        rate_down: float = 0.0,
        latency: float = 0.0,
    ) -> Measurement:
        """Joules of one frame: busy for `busy` of `latency` seconds, these bytes moved at these rates (bit/s).

        A rate that is not known (0) keeps the radio on air for the whole latency, and no rate keeps it there for longer.

        >>> EnergyModel(2.0, 5.0).of(busy=0.1, latency=0.3).value
        0.9
        """
        on_air = min(_seconds(bytes_up, rate_up, latency) + _seconds(bytes_down, rate_down, latency), latency)
        joules = computing_energy(self.idle, self.active, latency, busy)
        joules += self.radio.energy(bytes_up * 8, bytes_down * 8, on_air)
        air = f", radio {self.radio.name} after Huang et al. 2012" if self.radio.name else ""
        return Measurement(joules, "J", "modelled", f"idle {self.idle:g} W, active {self.active:g} W{air}")


class ModelledMeter:
    """The model over the processor seconds that this process really took; what other processes do is not seen."""

    covers = "this process, as a share of the modelled device"

    def __init__(
        self,
        model: EnergyModel,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.process_time,
    ) -> None:
        self._model, self._clock, self._busy = model, clock, busy
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        self._began = (self._clock(), self._busy())

    def stop(self) -> Measurement:
        if self._began is None:
            raise not_started("the modelled meter")
        (at, worked), self._began = self._began, None
        return self._model.of(self._busy() - worked, latency=self._clock() - at)


def meters() -> dict[str, str]:
    """Every instrument by name, with the sentence why it is not there; "" where it is."""
    found = {}
    for name, open_meter in INSTRUMENTS.items():
        try:
            open_meter()
        except MeterError as error:
            found[name] = str(error)
        else:
            found[name] = ""
    return found


def best_meter(
    model: EnergyModel | None = None, place: Place = "cpu", instruments: dict[str, Callable[[], Meter]] = INSTRUMENTS
) -> Meter:
    """The best instrument for work on the processor (or on the card), else the model; MeterError where there is neither."""
    order = ("jetson", "nvml") if place == "gpu" else ("jetson", "rapl")
    reasons = []
    for name in order:
        try:
            return instruments[name]()
        except MeterError as error:
            reasons.append(f"{name}: {error}")
    if model is None:
        raise MeterError(
            "no instrument can measure energy here",
            got=" ".join(reasons),
            hint="Name a device whose profile has idle and active power.",
        )
    return ModelledMeter(model)


def _seconds(size: float, rate: float, latency: float) -> float:
    if size <= 0:
        return 0.0
    return size * 8 / rate if rate > 0 else latency
