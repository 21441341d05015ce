"""Features by static tables: within half a step, any prefix, never above the guard, a batch as its frames, no byte believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.coding_tables import checked_tables
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.codec.layers import HEADER, written
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import ModelError, TensorError

SHAPE = (6, 5, 7)
LEVELS = (256, 16, 0, 5, 2, 64)
ORDER = (3, 0, 5, 1, 4)
LAYERS = (1, 2, 2)
BOTTLENECK = Bottleneck(SHAPE, (-4.0,) * 6, (4.0, 4.0, 4.0, 2.0, 4.0, 100.0))


def features(seed: int, count: int = 1, spread: float = 1.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).laplace(0, spread, (count, *SHAPE)).astype(np.float32)


CODING = coding_for(BOTTLENECK, [features(0, 40)], LEVELS, ORDER, LAYERS)
CODEC = FeatureCodec(BOTTLENECK, CODING)
X = features(1)
GOOD = CODEC.encode(X)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 50))
@settings(max_examples=30, deadline=None)
def test_what_is_in_range_comes_back_within_half_a_step_and_the_rest_at_its_edge(seed: int, spread: float) -> None:
    x = features(seed, spread=spread)
    back = CODEC.decode(CODEC.encode(x))
    for channel in ORDER:
        low, step = CODING.low[channel], CODING.step[channel]
        inside = np.clip(x[0, channel], low, low + step * (LEVELS[channel] - 1))
        assert abs(back[0, channel] - inside).max() <= step * (0.5 + 1e-4)
    assert np.ptp(back[0, 2]) == 0, "a channel without levels is one value"


def test_a_value_is_low_plus_step_times_code_in_float32_and_coded_again_it_is_itself() -> None:
    back = CODEC.decode(GOOD)
    for channel in ORDER:
        grid = np.float32(CODING.low[channel]) + np.float32(CODING.step[channel]) * np.arange(LEVELS[channel], dtype=np.float32)
        assert np.isin(back[0, channel], grid).all()
    assert CODEC.encode(back) == GOOD


def test_a_channel_that_is_not_sent_is_its_mean() -> None:
    mean = float(features(0, 40)[:, 2].mean())
    assert CODEC.decode(GOOD)[0, 2] == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(("shape", "axis"), [((12,), 0), ((9, 4), 1), ((4, 9), 0), ((5, 3, 6), 2), ((2, 3, 4, 5), 1)])
def test_the_channel_may_be_any_dimension(shape: tuple[int, ...], axis: int) -> None:
    channels = shape[axis]
    random = np.random.default_rng(3)
    x = random.uniform(-2.9, 2.9, (4, *shape)).astype(np.float32)
    bottleneck = Bottleneck(shape, tuple(np.linspace(-9, -3, channels)), (3.0,) * channels, axis)
    codec = FeatureCodec(bottleneck, coding_for(bottleneck, [x], [33] * channels, range(channels), 2))
    out = np.full((4, *shape), np.nan, np.float32)
    assert codec.decode_many([codec.encode(one[None]) for one in x], out) == [None] * 4
    step = np.moveaxis(np.broadcast_to(np.array(codec.coding.step), (*shape[:axis], *shape[axis + 1 :], channels)), -1, axis)
    assert (abs(out - x) <= step * 0.5001).all()


def test_any_prefix_that_ends_at_a_layer_decodes_to_the_same_leading_channels() -> None:
    whole, ends = CODEC.decode(GOOD), CODEC.prefixes(GOOD)
    assert ends[-1] == len(GOOD) and len(ends) == CODEC.layers(GOOD) == CODEC.offered(GOOD) == CODEC.total == 3
    came = 0
    for layers, end in enumerate((HEADER, *ends)):
        some = CODEC.decode(GOOD[:end])
        assert CODEC.layers(GOOD[:end]) == layers and CODEC.offered(GOOD[:end]) == 3
        came = sum(LAYERS[:layers])
        assert (some[0, ORDER[:came]] == whole[0, ORDER[:came]]).all()
        for channel in ORDER[came:]:
            assert np.ptp(some[0, channel]) == 0
    for end in set(range(len(GOOD))) - {HEADER, *ends}:
        with pytest.raises(TensorError):
            CODEC.decode(GOOD[:end])


def test_what_is_missing_is_filled_in_with_less_error_than_the_lowest_value() -> None:
    many = features(9, 20)
    out = np.empty((20, *SHAPE), np.float32)
    CODEC.decode_many([CODEC.encode(x[None])[:HEADER] for x in many], out)
    for channel in ORDER:
        assert ((out - many)[:, channel] ** 2).mean() < 0.5 * ((CODING.low[channel] - many[:, channel]) ** 2).mean()


HOSTILE = st.one_of(
    st.builds(features, st.integers(0, 2**32 - 1), st.just(1), st.floats(0.001, 1e30)),
    st.sampled_from([np.full((1, *SHAPE), v, np.float32) for v in (-3.4e38, 3.4e38, 0.0, -0.0, 1e-45)]),
    st.builds(
        lambda seed: np.random.default_rng(seed).choice(np.array([-3e38, -4, 0, 2, 3e38], np.float32), (1, *SHAPE)),
        st.integers(0, 2**32 - 1),
    ),
)


@given(HOSTILE, st.integers(2, 400))
@settings(max_examples=60, deadline=None)
def test_no_input_makes_a_frame_larger_than_its_guard_and_what_fits_is_sent(x: NDArray[np.float32], most: int) -> None:
    whole = CODEC.encode(x)
    data = CODEC.encode(x, most)
    assert len(data) <= most
    assert data[HEADER:] == whole[HEADER : len(data)] and CODEC.offered(data) == CODEC.layers(data), (
        "the same layers, fewer of them"
    )
    ends = CODEC.prefixes(whole)
    assert CODEC.layers(data) == sum(end <= most for end in ends)
    assert np.isfinite(CODEC.decode(data)).all()
    guarded = FeatureCodec(BOTTLENECK, replace(CODING, most=most))
    assert len(guarded.encode(x)) <= most and len(guarded.encode(x, 10**6)) <= most and len(guarded.encode(x, 2)) == 2


@given(HOSTILE)
@settings(max_examples=40, deadline=None)
def test_no_input_blows_a_layer_up_beyond_its_packed_codes(x: NDArray[np.float32]) -> None:
    widths = (4, 8, 4)  # bits of a packed code in each layer
    packed = sum(5 * 7 * count * bits // 8 + 1 for count, bits in zip(LAYERS, widths, strict=True))
    assert len(CODEC.encode(x)) <= HEADER + packed + 6 * len(LAYERS)


def test_the_guard_needs_room_for_the_header() -> None:
    with pytest.raises(TensorError, match="no frame is so small"):
        CODEC.encode(X, 1)


def test_tables_cost_less_than_codes_and_the_frame_little_beside_them() -> None:
    shape, levels = (4, 40, 40), [64] * 4
    bottleneck = Bottleneck(shape, (-8.0,) * 4, (8.0,) * 4)
    drawn = np.random.default_rng(0).laplace(0, 0.5, (9, *shape)).astype(np.float32)
    coding = coding_for(bottleneck, [drawn[1:]], levels, range(4))
    codes = np.clip(np.round((drawn[0] + 8) / np.array(coding.step)[:, None, None]), 0, 63).astype(int)
    entropy = 0.0
    for plane in codes:
        share = np.bincount(plane.reshape(-1)) / plane.size
        entropy -= plane.size * (share[share > 0] * np.log2(share[share > 0])).sum() / 8
    size = len(FeatureCodec(bottleneck, coding).encode(drawn[:1]))
    assert entropy < size < 1.03 * entropy + 12 < 0.7 * 4 * 1600 * 6 / 8


def test_a_batch_decodes_as_each_of_its_frames_and_a_bad_one_is_refused_alone() -> None:
    frames = [CODEC.encode(features(seed, spread=0.5 + seed % 4)) for seed in range(8)]
    frames[2] = frames[2][: CODEC.prefixes(frames[2])[0]]
    frames[5] = CODEC.encode(features(5), 60)
    noise = CODEC.encode(np.random.default_rng(0).uniform(-90, 90, (1, *SHAPE)).astype(np.float32))
    spoilt = bytearray(frames[6])
    spoilt[-1] ^= 1
    batch = [*frames, noise, bytes(spoilt), b"", GOOD[:-3]]
    out = np.full((len(batch), *SHAPE), np.nan, np.float32)
    wrong = CODEC.decode_many([memoryview(b) for b in batch], out)
    assert [w is None for w in wrong] == [True] * 9 + [False] * 3
    assert all(isinstance(w, TensorError) for w in wrong[9:])
    for row, data in enumerate(batch[:9]):
        assert (out[row : row + 1] == CODEC.decode(data)).all()
    assert CODEC.decode_many([], np.empty((0, *SHAPE), np.float32)) == []


def test_a_layer_that_was_forged_with_a_right_checksum_is_refused_alone_or_harmless() -> None:
    layer = CODEC._layers[0]
    random = np.random.default_rng(7)
    for size in (0, 1, 3, 17, 18, 60, 400):
        body = random.bytes(size)
        forged = bytes((1, 3)) + written(body, size % 2 == 1, layer.seed)
        out = np.empty((2, *SHAPE), np.float32)
        wrong = CODEC.decode_many([forged, GOOD], out)
        assert wrong[1] is None and (out[1:] == CODEC.decode(GOOD)).all()
        if wrong[0] is None:
            low, step = CODING.low[3], CODING.step[3]
            assert low <= out[0, 3].min() <= out[0, 3].max() <= low + step * 4.001


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_are_a_sentence(data: bytes) -> None:
    for bytes_ in (data, b"\x01\x03" + data, b"\x01\x00" + data):
        try:
            back = CODEC.decode(bytes_)
        except TensorError as error:
            assert str(error).endswith((".", "?"))
        else:
            assert np.isfinite(back).all() and bytes_[:1] == b"\x01" and len(bytes_) == 2


def test_every_flipped_bit_is_found_but_one_that_says_how_many_layers_there_might_have_been() -> None:
    for place in range(8 * len(GOOD)):
        spoilt = bytearray(GOOD)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(TensorError):
            CODEC.decode(bytes(spoilt))


def test_frames_of_another_coding_are_refused_even_where_shape_and_layers_agree() -> None:
    other = coding_for(BOTTLENECK, [features(50, 40)], LEVELS, ORDER, LAYERS)
    assert other.tables != CODING.tables
    for coding in (other, replace(CODING, low=(-4.5, *CODING.low[1:])), replace(CODING, most=1000)):
        with pytest.raises(TensorError, match="another coding"):
            FeatureCodec(BOTTLENECK, coding).decode(GOOD)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    x = X.copy()
    x[0, 1, 2, 3] = value
    with pytest.raises(TensorError, match="no numbers"):
        CODEC.encode(x)


def test_other_shapes_and_dtypes_are_refused() -> None:
    for x in (X[0], X[:, :5], X.astype(np.float64), np.concatenate((X, X))):
        with pytest.raises(TensorError, match="not those of the bottleneck"):
            CODEC.encode(x)  # type: ignore[arg-type]


def test_tables_of_another_quantiser_are_a_sentence() -> None:
    found = tables.unpack(CODING.tables)
    assert checked_tables(CODING) == found
    with pytest.raises(ModelError, match="one table for each channel"):
        FeatureCodec(
            BOTTLENECK,
            replace(CODING, tables=tables.pack(tables.Tables(found.offsets[:-1], found.frequencies[:-1], found.precision))),
        )
    with pytest.raises(ModelError, match="codes that the channel has not"):
        FeatureCodec(BOTTLENECK, replace(CODING, levels=(256, 16, 0, 5, 2, 3)))
    with pytest.raises(ModelError, match="codes that the channel has not"):
        moved = tables.Tables((-1, *found.offsets[1:]), found.frequencies, found.precision)
        FeatureCodec(BOTTLENECK, replace(CODING, tables=tables.pack(moved)))
    for spoilt in (b"", CODING.tables[:-1], CODING.tables + b"\0", b"\x07" + CODING.tables[1:]):
        with pytest.raises(ModelError):
            FeatureCodec(BOTTLENECK, replace(CODING, tables=spoilt))
