"""Provenance is never improved by adding, and a scaled figure keeps its interval."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.measurement import Measurement, Provenance, joint

provenances = st.lists(st.sampled_from(["measured", "modelled", "quoted", "mixed"]))


@given(provenances, provenances)
def test_a_sum_of_sums_says_the_same(a: list[Provenance], b: list[Provenance]) -> None:
    if a and b:
        assert joint([joint(a), joint(b)]) == joint(a + b)


@given(provenances)
def test_only_a_sum_of_measured_parts_is_measured(parts: list[Provenance]) -> None:
    assert (joint(parts) == "measured") == (set(parts) == {"measured"})


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e3))
def test_a_scaled_interval_still_holds_its_value(value: float, spread: float, factor: float) -> None:
    figure = Measurement(value, "s", "quoted", "a laboratory", value - spread, value + spread).scaled(
        factor, "modelled", "scaled"
    )
    assert figure.low is not None and figure.high is not None
    assert figure.low <= figure.value <= figure.high
    assert (figure.provenance, figure.source, figure.unit) == ("modelled", "scaled", "s")


def test_an_unknown_interval_stays_unknown() -> None:
    figure = Measurement(2.0, "J", "quoted").scaled(3.0, "modelled", "scaled")
    assert (figure.value, figure.low, figure.high) == (6.0, None, None)
