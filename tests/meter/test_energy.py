"""The energy model of a frame: monotone, never below idle, modelled by name; and the choice of an instrument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import MeterError
from edgewise.core.measurement import Measurement
from edgewise.core.power import RADIOS
from edgewise.meter.energy import EnergyModel, ModelledMeter, best_meter, meters

models = st.builds(EnergyModel, st.floats(0, 100), st.floats(0, 500), st.sampled_from(list(RADIOS.values())))
seconds = st.floats(0, 10)
sizes = st.floats(0, 1e6)
rates = st.floats(1e3, 1e9)


@given(models, seconds, seconds, sizes, sizes, rates, seconds, sizes)
def test_more_of_anything_takes_no_fewer_joules(
    model: EnergyModel, busy: float, rest: float, up: float, down: float, rate: float, more: float, bytes_more: float
) -> None:
    latency = busy + rest
    joules = model.of(busy, up, down, rate, rate, latency).value
    tolerance = 1e-9 * (1 + joules)
    assert joules >= model.idle * latency - tolerance
    assert model.of(busy + more, up, down, rate, rate, latency + more).value >= joules - tolerance
    assert model.of(busy, up, down, rate, rate, latency + more).value >= joules - tolerance
    assert model.of(busy, up + bytes_more, down, rate, rate, latency).value >= joules - tolerance
    assert model.of(busy, up, down, rate / 2, rate, latency).value >= joules - tolerance


@given(models, seconds, sizes)
def test_an_unknown_rate_keeps_the_radio_on_for_the_whole_latency(model: EnergyModel, latency: float, size: float) -> None:
    unknown = model.of(0.0, size, 0.0, 0.0, 0.0, latency).value
    assert unknown >= model.of(0.0, size, 0.0, 1e6, 1e6, latency).value - 1e-9


def test_a_frame_in_figures() -> None:
    frame = EnergyModel(2.65, 5.6, RADIOS["lte"]).of(busy=0.02, bytes_up=10_000, rate_up=8e6, latency=0.1)
    computing = 2.65 * 0.1 + (5.6 - 2.65) * 0.02
    radio = (438.39e-3 * 8 + 1.288) * 0.01  # 8 Mbit/s for 10 ms
    assert frame.value == pytest.approx(computing + radio)
    assert (frame.provenance, frame.unit) == ("modelled", "J") and "lte" in frame.source


def test_the_modelled_meter_counts_the_seconds_that_were_worked() -> None:
    time, worked = iter([10.0, 14.0]), iter([1.0, 2.5])
    meter = ModelledMeter(EnergyModel(2.0, 6.0), lambda: next(time), lambda: next(worked))
    meter.start()
    assert meter.stop().value == pytest.approx(2.0 * 4 + 4.0 * 1.5)
    with pytest.raises(MeterError, match="before it was started"):
        meter.stop()


def test_every_instrument_is_there_or_says_why_not() -> None:
    for name, sentence in meters().items():
        assert sentence == "" or (len(sentence) > 20 and sentence.endswith(".")), name


class Instrument:
    covers = "a test"

    def start(self) -> None: ...

    def stop(self) -> Measurement:
        return Measurement(1.0, "J", "measured")


def absent() -> Instrument:
    raise MeterError("there is none", got="nothing")


def test_the_best_instrument_is_taken_and_the_model_stands_in() -> None:
    model = EnergyModel(1.0, 2.0)
    there = {"jetson": absent, "rapl": Instrument, "nvml": absent}
    assert isinstance(best_meter(model, "cpu", there), Instrument)
    assert isinstance(best_meter(model, "gpu", there), ModelledMeter)  # the processor's counter does not see the card
    with pytest.raises(MeterError, match="jetson: there is none"):
        best_meter(None, "gpu", there)
