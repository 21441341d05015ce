"""Codes by what is around them: the decoder knows what the encoder knew, nothing later matters, and no byte is believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.coding_tables import checked_tables
from edgewise.codec.context import Grid, grid, outlook
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for, refitted, with_tables
from edgewise.codec.runs import LEAST, LIMIT, Expected, Reader, survival, write
from edgewise.core.artifact import Bottleneck, parse
from edgewise.core.coding import Coding, consistent
from edgewise.core.errors import ModelError, TensorError

SHAPE = (6, 7, 5)
LEVELS, ORDER, LAYERS = (9, 9, 0, 9, 2, 256), (3, 0, 5, 1, 4), (2, 3)
BOTTLENECK = Bottleneck(SHAPE, (-4.0,) * 6, (4.0,) * 6)


def features(seed: int, count: int = 1, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """Latents that go on to the right and downwards and have their channels in common, most of them near 0."""
    x = np.random.default_rng(seed).normal(0, 0.8, (count, *shape)) ** 3
    x += 0.5 * np.roll(x, 1, 1)
    for axis in (-1, -2):
        x += 0.6 * np.roll(x, 1, axis)
    return x.astype(np.float32)


CODING = coding_for(BOTTLENECK, [features(0, 60)], LEVELS, ORDER, LAYERS, context=True)
STATIC = coding_for(BOTTLENECK, [features(0, 60)], LEVELS, ORDER, LAYERS)
CODEC, PLAIN = FeatureCodec(BOTTLENECK, CODING), FeatureCodec(BOTTLENECK, STATIC)
GOOD = CODEC.encode(features(1))


def test_frames_decode_to_what_static_tables_give_and_take_fewer_bytes() -> None:
    held = features(2, 30)
    ours, theirs = np.empty_like(held), np.empty_like(held)
    coded, plain = [CODEC.encode(x[None]) for x in held], [PLAIN.encode(x[None]) for x in held]
    assert CODEC.decode_many(coded, ours) == PLAIN.decode_many(plain, theirs) == [None] * 30
    sent = list(ORDER)
    assert (ours[:, sent] == theirs[:, sent]).all() and len(b"".join(coded)) < 0.92 * len(b"".join(plain))
    assert (CODEC.decode(coded[3]) == ours[3:4]).all(), "a batch decodes as its frames"


def test_tables_fitted_again_keep_every_value() -> None:
    again = with_tables(BOTTLENECK, CODING, [features(9, 40)], context=True)
    assert again.tables != CODING.tables and (again.step, again.order) == (CODING.step, CODING.order)
    codec = FeatureCodec(BOTTLENECK, again)
    assert (codec.decode(codec.encode(features(1)))[0, ORDER] == CODEC.decode(GOOD)[0, ORDER]).all()


def test_a_manifest_fitted_again_has_the_contexts_that_its_tables_were_counted_with() -> None:
    low = tuple(np.where(np.array(LEVELS) > 0, CODING.low, 7.0).tolist())  # what is not sent decodes as training had it
    assert CODING.context
    kept = replace(CODING, low=low, context=replace(CODING.context, mean=low))
    told = parse((Path(__file__).parents[2] / "edgewise" / "bundles" / "things" / "manifest.json").read_bytes())
    manifest = replace(told, bottleneck=BOTTLENECK, codings={"a": kept, "b": STATIC})
    other = [1.5 * features(9, 40)[:, ::-1]]
    found = refitted(manifest, other).codings
    ours, fresh = found["a"], with_tables(BOTTLENECK, CODING, other, True, CODING.context.centre)
    assert ours.context and fresh.context
    fresh = replace(fresh, low=low, context=replace(fresh.context, mean=ours.context.mean))
    assert ours == fresh and ours.context.weights != CODING.context.weights, "or nothing is shown"
    assert ours.low == low and ours.context.mean[2] == 7.0 and found["b"].context is STATIC.context
    one, two, x = FeatureCodec(BOTTLENECK, ours), FeatureCodec(BOTTLENECK, fresh), other[0][:20]
    assert [one.encode(v[None]) for v in x] == [two.encode(v[None]) for v in x]
    assert (one.decode(one.encode(x[:1]))[0, ORDER] == CODEC.decode(CODEC.encode(x[:1]))[0, ORDER]).all()
    assert (one.decode(one.encode(x[:1]))[0, 2] == 7.0).all()
    again = msgspec.json.decode(msgspec.json.encode(found["a"]), type=Coding)
    assert again == ours, "a manifest carries them"


@given(st.integers(0, 2**32 - 1), st.floats(0, 100))
@settings(max_examples=30, deadline=None)
def test_whatever_the_features_are_they_come_back_coded_or_packed(seed: int, spread: float) -> None:
    x = np.random.default_rng(seed).normal(0, 1, (1, *SHAPE)).astype(np.float32) * np.float32(spread)
    back = CODEC.decode(CODEC.encode(x))
    for c in ORDER:
        inside = np.clip(x[0, c], CODING.low[c], CODING.low[c] + CODING.step[c] * (LEVELS[c] - 1))
        assert abs(back[0, c] - inside).max() <= CODING.step[c] * (0.5 + 1e-4)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), 0), ((9, 4), 1), ((4, 9), 0), ((5, 3, 6), 2), ((2, 3, 4, 5), 1), ((3, 9, 1), 0)]
)
def test_the_channel_may_be_any_dimension(shape: tuple[int, ...], axis: int) -> None:
    x = np.random.default_rng(3).uniform(-2.9, 2.9, (4, *shape)).astype(np.float32)
    n = shape[axis]
    bottleneck = Bottleneck(shape, (-3.0,) * n, (3.0,) * n, axis)
    codec = FeatureCodec(bottleneck, coding_for(bottleneck, [x], [7] * n, range(n), 2, context=True))
    out = np.empty_like(x)
    assert codec.decode_many([codec.encode(one[None]) for one in x], out) == [None] * 4
    assert abs(out - x).max() <= 0.5001


def test_a_prefix_decodes_alone_and_a_context_needs_no_later_layer() -> None:
    whole, ends = CODEC.decode(GOOD), CODEC.prefixes(GOOD)
    some = CODEC.decode(GOOD[: ends[0]])
    assert (CODEC.layers(GOOD[: ends[0]]), CODEC.offered(GOOD[: ends[0]]), CODEC.offered(GOOD)) == (1, 2, 2)
    assert (some[0, ORDER[:2]] == whole[0, ORDER[:2]]).all() and np.ptp(some[0, ORDER[2]]) == 0
    other = features(1)
    other[0, ORDER[2:]] = features(77)[0, ORDER[2:]]
    assert CODEC.encode(other)[1 : ends[0]] == GOOD[1 : ends[0]]
    for end in set(range(len(GOOD))) - {1, *ends}:
        with pytest.raises(TensorError):
            CODEC.decode(GOOD[:end])


def test_no_context_looks_at_what_is_not_known_yet() -> None:
    """In the order of coding, a code that changes moves no context before its own, nor its own."""
    assert CODING.context
    look, of = outlook(CODING, CODING.context, 1), Grid(7, 5)
    order = np.concatenate(of.order(look.edges))
    codes = np.random.default_rng(0).integers(0, 2, (3, 35)).astype(np.uint8)
    before = look.sums(codes, of).transpose(1, 2, 0).reshape(-1, 2)[order]
    for at in range(0, order.size, 7):
        changed = codes.copy()
        changed.reshape(-1)[order[at]] += 3
        after = look.sums(changed, of).transpose(1, 2, 0).reshape(-1, 2)[order]
        assert (after[: at + 1] == before[: at + 1]).all()


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_guard_holds_and_sends_whole_layers(most: int, seed: int) -> None:
    data = CODEC.encode(features(seed), most)
    assert len(data) <= most and np.isfinite(CODEC.decode(data)).all()


@given(st.binary(max_size=120))
@settings(max_examples=150, deadline=None)
def test_hostile_bytes_are_a_sentence(data: bytes) -> None:
    for one in (data, b"\x02" + data, b"\x01" + data):
        try:
            back = CODEC.decode(one)
        except TensorError as error:
            assert str(error).endswith((".", "?"))
        else:
            assert len(one) == 1 or one == GOOD
            assert np.isfinite(back).all()


def test_every_flipped_bit_but_those_of_the_layers_announced_is_found() -> None:
    for place in range(8, 8 * len(GOOD)):
        spoilt = bytearray(GOOD)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(TensorError):
            CODEC.decode(bytes(spoilt))


def test_a_forged_layer_with_a_right_checksum_is_refused_alone_or_harmless() -> None:
    random = np.random.default_rng(7)
    for size in (1, 3, 17, 60, 400):
        forged = CODEC._form.joined([(random.bytes(size), False)])
        out = np.empty((2, *SHAPE), np.float32)
        wrong = CODEC.decode_many([forged, GOOD], out)
        assert wrong[1] is None and (out[1:] == CODEC.decode(GOOD)).all()


def test_a_sparse_frame_takes_little_more_than_its_tables_say() -> None:
    bits = survival()
    n, tables_ = 4000, tables.Tables((0,), ((3900, 100, 95, 1),))
    expected = Expected(tables_)
    codes = np.random.default_rng(0).choice(3, n, p=[3900 / 4096, 101 / 4096, 95 / 4096])
    where = codes.nonzero()[0]
    letters: list[list[tuple[int, int, int]]] = [[] for _ in where]
    for code, events in zip(codes[where].tolist(), letters, strict=True):
        expected.surprise(0, code, events)
    costs = np.full(n, expected.cost[0])
    data = write(costs, [1000, 4000], where.tolist(), letters)
    ideal = -np.log2(np.array([3900, 100, 95])[codes] / 4096).sum() / 8
    assert ideal < len(data) < 1.01 * ideal + 2
    reader, found = Reader(data, expected), np.zeros(n, int)
    for a, b in ((0, 1000), (1000, 4000)):
        places, values = reader.line([0, *np.cumsum(costs[a:b]).tolist()], np.zeros(b - a, np.intp))
        found[a:b][places] = values
    assert reader.ended and (found == codes).all()
    falls = np.array(bits.survival)
    assert (falls[:LIMIT] > falls[LEAST : LIMIT + LEAST]).all() and falls[0] == 1 << 16 and falls[-1] > 0


def test_weights_and_bounds_that_do_not_fit_are_a_sentence() -> None:
    assert CODING.context
    for context in (
        replace(CODING.context, weights=CODING.context.weights[:-1]),
        replace(CODING.context, bounds=CODING.context.bounds + b"0000"),
        replace(CODING.context, means=CODING.context.means + 1),
    ):
        with pytest.raises(ModelError):
            FeatureCodec(BOTTLENECK, replace(CODING, context=context))
    with pytest.raises(ModelError, match="tables for each channel"):
        checked_tables(replace(STATIC, context=CODING.context))
    with pytest.raises(ModelError, match="other channels"):
        consistent(replace(CODING, context=replace(CODING.context, centre=(0,))), 6, "x")
    with pytest.raises(ModelError, match="no code of its channel"):
        consistent(replace(CODING, context=replace(CODING.context, centre=(9,) * 6)), 6, "x")
    with pytest.raises(ModelError, match="too many channels"):
        wide = Bottleneck((200, 1, 1), (-1.0,) * 200, (1.0,) * 200)
        coding_for(wide, [np.zeros((1, 200, 1, 1), np.float32)], [2] * 200, range(200), context=True)


@pytest.mark.parametrize("shape", [(1, 4096, 4000), (1, 40_000, 1), (1, 2, 40_000), (64, 300, 300)])
def test_a_map_whose_diagonals_would_take_a_server_down_is_a_sentence(shape: tuple[int, ...]) -> None:
    n = shape[0]
    small = Bottleneck((n, 3, 3), (-4.0,) * n, (4.0,) * n)
    coding = coding_for(small, [features(0, 4, small.shape)], [9] * n, range(n), context=True)
    with pytest.raises(ModelError, match="too long for contexts"):
        FeatureCodec(replace(small, shape=shape), coding)


def test_a_column_is_coded_as_a_row() -> None:
    assert grid(Bottleneck((2, 9000, 1), (0.0,) * 2, (1.0,) * 2)) == Grid(1, 9000)
    tall = Bottleneck((6, 35, 1), (-4.0,) * 6, (4.0,) * 6)
    codec, x = FeatureCodec(tall, CODING), features(3).reshape(1, 6, 35, 1)
    flat = FeatureCodec(Bottleneck((6, 1, 35), (-4.0,) * 6, (4.0,) * 6), CODING)
    assert (codec.decode(codec.encode(x)).reshape(-1) == flat.decode(flat.encode(x.reshape(1, 6, 1, 35))).reshape(-1)).all()
    assert codec.held == flat.held < CODEC.held + 17 * 35 * 35


@pytest.mark.parametrize("name", ["vehicles", "things"])
def test_bundles_from_before_there_were_contexts_keep_their_address(name: str) -> None:
    data = (Path(__file__).parents[2] / "edgewise" / "bundles" / name / "manifest.json").read_bytes()
    manifest = parse(data)
    assert manifest.address == hashlib.sha256(data).hexdigest()
    assert not any(isinstance(c, Coding) and c.context for c in manifest.codings.values())
