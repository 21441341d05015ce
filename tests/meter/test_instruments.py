"""Each instrument against files and a library made for the test: what passed is what is told, wraps and refusals included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgewise.core.errors import MeterError
from edgewise.meter.jetson import JetsonMeter
from edgewise.meter.memory import peak, resident
from edgewise.meter.nvml import NvmlMeter
from edgewise.meter.rapl import RaplMeter


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def test_rapl_adds_its_packages_and_makes_a_wrap_good(tmp_path: Path) -> None:
    a = write(tmp_path / "intel-rapl:0", name="package-0", energy_uj=900, max_energy_range_uj=999)
    b = write(tmp_path / "intel-rapl:1", name="package-1", energy_uj=100, max_energy_range_uj=999)
    write(tmp_path / "intel-rapl:0:0", name="core", energy_uj=5, max_energy_range_uj=999)
    write(tmp_path / "intel-rapl:2", name="psys", energy_uj=5, max_energy_range_uj=999)
    meter = RaplMeter(tmp_path)
    meter.start()
    write(a, energy_uj=50)  # over the top: 150 on
    write(b, energy_uj=300)
    measured = meter.stop()
    assert (measured.value, measured.provenance) == (pytest.approx(350e-6), "measured")
    with pytest.raises(MeterError, match="before it was started"):
        meter.stop()


def test_rapl_says_that_it_is_not_there_or_not_allowed(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="no RAPL counter"):
        RaplMeter(tmp_path / "nowhere")
    write(tmp_path / "intel-rapl:0", name="package-0", energy_uj="?", max_energy_range_uj=999)
    with pytest.raises(MeterError, match="cannot be read"):
        RaplMeter(tmp_path)


def board(root: Path, *rails: tuple[str, int, int]) -> Path:
    monitor = root / "1-0040" / "hwmon" / "hwmon3"
    for i, (name, millivolts, milliamperes) in enumerate(rails, 1):
        write(monitor, **{f"in{i}_label": name, f"in{i}_input": millivolts, f"curr{i}_input": milliamperes})
    return monitor


def test_jetson_integrates_the_input_of_the_board(tmp_path: Path) -> None:
    monitor = board(tmp_path, ("VDD_IN", 5000, 1000), ("VDD_CPU", 5000, 400), ("NC", 0, 0))
    now = [0.0]
    meter = JetsonMeter(tmp_path, period=60.0, clock=lambda: now[0])
    assert meter.power() == pytest.approx(5.0)
    meter.start()
    now[0] = 2.0
    write(monitor, curr1_input=3000)
    measured = meter.stop()
    assert measured.value == pytest.approx((5.0 + 15.0) / 2 * 2.0)
    assert "VDD_IN" in measured.source and "VDD_CPU" not in measured.source


def test_jetson_adds_its_rails_where_none_is_the_whole(tmp_path: Path) -> None:
    board(tmp_path, ("GPU", 1000, 2000), ("CPU", 1000, 3000), ("sum of shunt voltages", 1, 1))
    assert JetsonMeter(tmp_path).power() == pytest.approx(5.0)
    with pytest.raises(MeterError, match="no INA3221"):
        JetsonMeter(tmp_path / "nowhere")


class Driver:
    """What the meter calls of NVIDIA's library."""

    def __init__(self, status: int = 0) -> None:
        self.millijoules, self.status = 0, status

    def nvmlInit_v2(self) -> int:
        return self.status

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        return 0 if index.value == 0 else 6

    def nvmlDeviceGetName(self, handle: Any, name: Any, length: Any) -> int:
        name.value = b"Test 1"
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, total: Any) -> int:
        total._obj.value = self.millijoules
        return 0


def test_nvml_tells_what_the_card_took() -> None:
    driver = Driver()
    meter = NvmlMeter(library=driver)
    meter.start()
    driver.millijoules += 2500
    measured = meter.stop()
    assert (measured.value, measured.source) == (2.5, "NVML, the card Test 1")


def test_nvml_says_what_the_driver_refused() -> None:
    with pytest.raises(MeterError, match="nvmlInit_v2 answered 9"):
        NvmlMeter(library=Driver(status=9))
    with pytest.raises(MeterError, match="answered 6"):
        NvmlMeter(index=3, library=Driver())
    with pytest.raises(MeterError, match="too old"):
        NvmlMeter(library=object())


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident()
    held = bytearray(32 << 20)
    held[::4096] = b"x" * len(held[::4096])
    assert resident() - before > 24 << 20
    assert peak().value >= resident() - (1 << 20)


def test_a_kernel_that_does_not_tell_is_named(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name: x\n")
    with pytest.raises(MeterError, match="VmRSS"):
        resident(tmp_path / "status")
