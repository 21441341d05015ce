"""The moving average composes, mixing keeps its ends, distance is zero at home, bytes come back or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from edgewise.core.errors import TensorError
from edgewise.core.moments import Moments, distance, far, mixed, momentum, moved, packed, packed_size, unpacked, widths


def _moments(seed: int, channels: int = 7, scale: float = 1.0) -> Moments:
    draw = np.random.default_rng(seed)
    return Moments(
        (scale * draw.normal(size=channels)).astype(np.float32), (scale**2 * draw.uniform(0.1, 4, channels)).astype(np.float32)
    )


def _of(samples: np.ndarray) -> Moments:
    return Moments(samples.mean(axis=0).astype(np.float32), samples.var(axis=0).astype(np.float32))


@given(some.integers(1, 200), some.integers(1, 200), some.floats(0.001, 0.5))
def test_momentum_composes(one: int, other: int, rate: float) -> None:
    left = (1 - momentum(one, rate)) * (1 - momentum(other, rate))
    assert left == pytest.approx(1 - momentum(one + other, rate))


def test_batches_of_one_find_the_variance_between_them() -> None:
    """Sixty samples that do not vary within themselves: the average of variances would be 0."""
    samples = np.random.default_rng(0).normal(3, 2, (60, 5)).astype(np.float32)
    running = _of(samples[:1])
    for count, sample in enumerate(samples[1:], start=2):
        running = moved(running, _of(sample[None]), 1 / count)
    np.testing.assert_allclose(running.variance, samples.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(running.mean, samples.mean(axis=0), rtol=1e-4)


def test_mixing_keeps_its_ends() -> None:
    source, running = _moments(0), _moments(1)
    assert mixed(source, running, 0.0) is source
    assert mixed(source, running, 1.0) is running
    half = mixed(source, running, 0.5)
    np.testing.assert_allclose(half.mean, (source.mean + running.mean) / 2, rtol=1e-6)


def test_distance_is_a_divergence() -> None:
    source, other = _moments(0), _moments(1)
    assert distance(source, source) == 0
    assert distance(source, other) > 0
    nearer = mixed(source, other, 0.3)
    assert 0 < distance(source, nearer) < distance(source, other)
    still = Moments(np.zeros(3, np.float32), np.zeros(3, np.float32))
    assert np.isfinite(distance(still, still))
    with pytest.raises(TensorError, match="one model"):
        far({"a": source}, {"b": source})


@settings(max_examples=30)
@given(some.integers(0, 1000), some.floats(1e-6, 1e6))
def test_bytes_come_back(seed: int, scale: float) -> None:
    told = {"head.a": _moments(seed, 16, scale), "head.b": _moments(seed + 1, 3, scale)}
    data = packed(told)
    assert len(data) == packed_size(widths(told))
    found = unpacked(data, widths(told))
    for path, one in told.items():
        np.testing.assert_allclose(found[path].mean, one.mean, rtol=2**-10, atol=float(np.abs(one.mean).max()) * 2**-24)
        np.testing.assert_allclose(found[path].variance, one.variance, rtol=2**-10)
    assert packed(found) == data


def test_a_residual_net_of_twenty_layers_fits_the_notes() -> None:
    layout = {f"layer.{i}": c for i, c in enumerate([16] * 7 + [32] * 6 + [64] * 6)}
    assert sum(layout.values()) == 688
    assert packed_size(layout) == 4 * 688 + 4 * 19 + 7


def test_wrong_bytes_are_refused() -> None:
    told = {"a": _moments(0, 4)}
    data = packed(told)
    with pytest.raises(TensorError, match="bytes of their model"):
        unpacked(data[:-1], widths(told))
    with pytest.raises(TensorError, match="another model"):
        unpacked(data, {"b": 4})
    with pytest.raises(TensorError, match="another model"):
        unpacked(bytes([9]) + data[1:], widths(told))
    with pytest.raises(TensorError, match="no numbers"):
        unpacked(data[:-2] + np.float16(np.nan).tobytes(), widths(told))
    with pytest.raises(TensorError, match="no numbers"):
        packed({"a": Moments(np.array([np.nan], np.float32), np.ones(1, np.float32))})
    with pytest.raises(TensorError, match="too many"):
        unpacked(data, {"a": 1 << 21})


@settings(max_examples=60)
@given(some.binary(max_size=64))
def test_noise_is_refused_or_finite(data: bytes) -> None:
    try:
        found = unpacked(data, {"a": 2})
    except TensorError:
        return
    assert np.isfinite(found["a"].mean).all() and (found["a"].variance >= 0).all()
