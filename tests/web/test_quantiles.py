"""The sketch of a whole run against the exact quantile of the same values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.web.quantiles import LOW, RATIO, Sketch, quantile


@given(st.lists(st.floats(1e-3, 50.0), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_sketch_is_within_its_ratio(values: list[float], q: float) -> None:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    exact, said = quantile(sorted(values), q), sketch.quantile(q)
    assert exact is not None
    assert said is not None
    assert exact / RATIO <= said <= exact * RATIO


def test_nothing_seen_is_nothing_known() -> None:
    assert quantile([], 0.5) is None
    assert Sketch().quantile(0.95) is None


def test_memory_is_bounded_by_buckets_and_nan_is_no_value() -> None:
    sketch = Sketch()
    for i in range(20_000):
        sketch.add(1e-6 * 1.01 ** (i % 2500))
    sketch.add(float("nan"))
    sketch.add(float("inf"))
    assert sketch.n == 20_000
    assert len(sketch._counts) < 900
    first = sketch.quantile(0.001)
    assert first is not None
    assert first >= LOW
