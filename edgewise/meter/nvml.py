"""Joules of one NVIDIA card from its total-energy counter, by ctypes from the driver's own library.

`nvmlDeviceGetTotalEnergyConsumption` counts millijoules since the driver was loaded (Volta and newer). It covers the card, not
the machine around it.
"""

from __future__ import annotations

import ctypes
from typing import Any

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement
from edgewise.meter.instrument import not_started

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")


class NvmlMeter:
    """Energy of card `index`; opening raises MeterError where there is no driver, no such card or no counter.

    `library` is the driver's library, found by its name unless it is given.
    """

    def __init__(self, index: int = 0, library: Any = None) -> None:
        self._library = _load(LIBRARIES) if library is None else library
        self._handle = ctypes.c_void_p()
        self._call("nvmlInit_v2")
        self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(self._handle))
        name = ctypes.create_string_buffer(96)
        self._call("nvmlDeviceGetName", self._handle, name, ctypes.c_uint(len(name)))
        self.covers = f"the card {name.value.decode(errors='replace')}"
        self._read()
        self._began: int | None = None

    def start(self) -> None:
        self._began = self._read()

    def stop(self) -> Measurement:
        if self._began is None:
            raise not_started("the NVML meter")
        passed, self._began = self._read() - self._began, None
        return Measurement(passed * 1e-3, "J", "measured", f"NVML, {self.covers}")

    def _read(self) -> int:
        total = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(total))
        return total.value

    def _call(self, function: str, *arguments: object) -> None:
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise MeterError("the NVIDIA driver is too old for an energy counter", got=f"no {function}") from error
        if status != 0:
            raise MeterError("the NVIDIA driver gives no energy counter", got=f"{function} answered {status}")


def _load(libraries: tuple[str, ...]) -> ctypes.CDLL:
    for library in libraries:
        try:
            return ctypes.CDLL(library)
        except OSError:
            continue
    raise MeterError("this machine has no NVIDIA driver", got=f"none of {', '.join(libraries)}")
