"""The joules of a device: monotone in what it does, additive over transfers, and never below idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.power import RADIOS, computing_energy

watts = st.floats(0, 500)
seconds = st.floats(0, 100)
bits = st.floats(0, 1e9)
radios = st.sampled_from(list(RADIOS.values()))


@given(watts, watts, seconds, seconds, seconds)
def test_more_time_never_takes_fewer_joules(idle: float, active: float, latency: float, busy: float, more: float) -> None:
    joules = computing_energy(idle, active, latency, busy)
    assert joules <= computing_energy(idle, active, latency + more, busy)
    assert joules <= computing_energy(idle, active, latency, busy + more)
    assert joules >= idle * latency


@given(radios, bits, bits, seconds, bits, bits, seconds)
def test_two_transfers_take_what_each_takes(radio, a: float, b: float, s: float, c: float, d: float, t: float) -> None:  # type: ignore[no-untyped-def]
    together = radio.energy(a + c, b + d, s + t)
    assert together == pytest.approx(radio.energy(a, b, s) + radio.energy(c, d, t), rel=1e-9, abs=1e-12)


@given(st.floats(1e5, 1e8), st.floats(1, 1e7))
def test_a_steady_upload_is_the_published_power_times_its_time(rate: float, size: float) -> None:
    time = size * 8 / rate
    power = (438.39 * rate / 1e6 + 1288) * 1e-3  # mW per Mbit/s and mW, as published
    assert RADIOS["lte"].energy(size * 8, 0.0, time) == pytest.approx(power * time)


def test_a_cable_takes_nothing() -> None:
    assert RADIOS[""].energy(1e9, 1e9, 10.0) == 0.0
