"""Features: the error bound of the codes, round trips, and a border that takes nothing but what was promised."""

from __future__ import annotations

import contextlib
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.codec.quantise import Affine, pack, packed_size, unpack
from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import TensorError

BITS = st.integers(1, 8)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


@st.composite
def bottlenecks(draw: st.DrawFn) -> Bottleneck:
    shape = draw(SHAPES)
    ends = [sorted(draw(st.tuples(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32)))) for _ in range(shape[0])]
    return Bottleneck(shape, tuple(e[0] for e in ends), tuple(e[1] for e in ends))


@given(bottlenecks(), BITS, st.integers(0, 1 << 31))
def test_the_error_is_at_most_half_a_step_inside_the_range_and_clips_outside(b: Bottleneck, bits: int, seed: int) -> None:
    codec = TensorCodec(b, bits)
    values = np.random.default_rng(seed).normal(0, 80, (1, *b.shape)).astype(np.float32)
    back = codec.decode(codec.encode(values))
    assert back.shape == values.shape
    assert back.dtype == np.float32
    low, high = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (b.low, b.high))
    step = (high - low) / (2**bits - 1)
    assert (np.abs(back - np.clip(values, low, high)) <= step / 2 + 1e-3).all()


@given(bottlenecks(), BITS, st.integers(0, 1 << 31))
def test_what_was_decoded_encodes_to_the_same_bytes(b: Bottleneck, bits: int, seed: int) -> None:
    codec = TensorCodec(b, bits)
    once = codec.encode(np.random.default_rng(seed).normal(0, 80, (1, *b.shape)).astype(np.float32))
    if all(high - low > 1e-3 for low, high in zip(b.low, b.high, strict=True)):
        assert codec.encode(codec.decode(once)) == once


@given(BITS, st.integers(0, 300), st.integers(0, 1 << 31))
def test_packing_is_exact_and_as_small_as_it_says(bits: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, count).astype(np.uint8)
    data = pack(codes, bits)
    assert len(data) == packed_size(count, bits)
    assert (unpack(data, count, bits) == codes).all()


def test_more_bits_are_never_worse_and_fewer_are_never_larger() -> None:
    shape = (4, 16, 16)
    values = np.random.default_rng(3).laplace(0, 1, (1, *shape)).astype(np.float32)
    b = Bottleneck(shape, (-8.0,) * 4, (8.0,) * 4)
    sizes, errors = [], []
    for bits in range(1, 9):
        data = TensorCodec(b, bits).encode(values)
        sizes.append(len(data))
        errors.append(float(np.abs(TensorCodec(b, bits).decode(data) - values).mean()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_noise_is_stored_and_never_grows_beyond_the_container() -> None:
    shape = (1, 32, 32)
    values = np.random.default_rng(4).uniform(0, 1, (1, *shape)).astype(np.float32)
    assert len(TensorCodec(Bottleneck(shape, (0.0,), (1.0,)), 8).encode(values)) <= 12 + 1024


CODEC = TensorCodec(Bottleneck((2, 3, 5), (-1.0, 0.0), (1.0, 4.0)), 3)
GOOD = CODEC.encode(np.random.default_rng(0).normal(0, 1, (1, 2, 3, 5)).astype(np.float32))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_refused_with_their_count(bad: float) -> None:
    values = np.zeros((1, 2, 3, 5), np.float32)
    values[0, 1, 2, 3] = bad
    with pytest.raises(TensorError, match=r"1 (NaN|infinite)|0 NaN, 1 infinite"):
        CODEC.encode(values)


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3, 5), np.float32), np.zeros((1, 2, 3, 5)), np.zeros((2, 2, 3, 5), np.float32), np.float32(1)]
)
def test_another_shape_or_dtype_is_refused(values: np.ndarray) -> None:
    with pytest.raises(TensorError, match="bottleneck"):
        CODEC.encode(np.asarray(values))


def test_a_lying_shape_and_other_bits_are_refused() -> None:
    with pytest.raises(TensorError, match="promised"):
        TensorCodec(Bottleneck((2, 5, 3), (-1.0, 0.0), (1.0, 4.0)), 3).decode(GOOD)
    with pytest.raises(TensorError, match="promised"):
        TensorCodec(CODEC.bottleneck, 4).decode(GOOD)


def test_a_bomb_is_not_inflated() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(1 << 24)) + deflate.flush()
    with pytest.raises(TensorError):
        CODEC.decode(struct.pack(">BBHHHI", 2, 3, 2, 3, 5, 0) + bomb)


def test_a_code_beyond_its_width_is_refused_even_with_a_right_checksum() -> None:
    packed = bytes([0xFF]) * packed_size(30, 3)
    with pytest.raises(TensorError, match="larger than its width"):
        CODEC.decode(struct.pack(">BBHHHI", 1, 3, 2, 3, 5, zlib.crc32(packed)) + packed)


@given(st.data())
def test_every_flipped_bit_and_every_truncation_is_found(data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(GOOD) - 1))
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    # A flip in deflate's padding changes nothing; then the values must be the same.
    with contextlib.suppress(TensorError):
        assert (CODEC.decode(bytes(flipped)) == CODEC.decode(GOOD)).all()
    for wrong in (GOOD[: data.draw(st.integers(0, len(GOOD) - 1))], GOOD + data.draw(st.binary(min_size=1, max_size=4))):
        with pytest.raises(TensorError):
            CODEC.decode(wrong)


@settings(max_examples=200)
@given(st.binary(max_size=80), st.sampled_from([b"", GOOD[:2], GOOD[:8], GOOD[:12]]))
def test_arbitrary_bytes_are_finite_features_or_a_tensor_error(tail: bytes, head: bytes) -> None:
    with contextlib.suppress(TensorError):
        assert np.isfinite(CODEC.decode(memoryview(head + tail))).all()


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (1.0,)), ((0.0, math.nan), (1.0, 1.0)), ((0.0, 2.0), (1.0, 1.0)), ((-3e38, 0.0), (3e38, 1.0))]
)
def test_ranges_that_cannot_be_used_are_refused(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    with pytest.raises(TensorError, match="ranges"):
        Affine(Bottleneck((2, 1, 1), low, high), 8)


def test_a_dead_channel_gives_its_one_value() -> None:
    codec = TensorCodec(Bottleneck((1, 2, 2), (0.25,), (0.25,)), 8)
    assert (codec.decode(codec.encode(np.full((1, 1, 2, 2), 7, np.float32))) == 0.25).all()
