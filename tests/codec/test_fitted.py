"""Codings fitted to features: deterministic, better where they belong, harmless where they do not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for, counts, evenly
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import ModelError, TensorError

BOTTLENECK = Bottleneck((4, 8, 8), (-3.0,) * 4, (3.0,) * 4)


def features(seed: int, spread: float = 1.0, count: int = 12) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, spread, (count, 4, 8, 8)).astype(np.float32)


def size(codec: FeatureCodec, x: NDArray[np.float32]) -> float:
    return float(np.mean([len(codec.encode(one[None])) for one in x]))


def test_the_same_features_give_the_same_coding_and_it_survives_its_file() -> None:
    x = features(0)
    one = coding_for(BOTTLENECK, [x], [16, 8, 0, 4], [3, 2, 1, 0], 2)
    assert one == coding_for(BOTTLENECK, list(x[:, None]), [16, 8, 0, 4], [3, 1, 0], (1, 2))
    assert msgspec.json.decode(msgspec.json.encode(one), type=type(one)) == one
    assert (one.order, one.layers, one.sent) == ((3, 1, 0), (1, 2), 3)


def test_counts_are_of_every_code_of_every_position() -> None:
    x = features(1)
    coding = coding_for(BOTTLENECK, [x], [16, 8, 0, 4], range(4))
    counted, means = counts(BOTTLENECK, coding, [x])
    assert [c.sum() for c in counted] == [12 * 64, 12 * 64, 0, 12 * 64]
    assert means == pytest.approx(x.mean(axis=(0, 2, 3)), abs=1e-6)


def test_tables_fitted_to_a_change_cost_less_and_decode_to_the_same_values() -> None:
    drifted = features(2, spread=0.3)
    old = coding_for(BOTTLENECK, [features(0)], [32] * 4, range(4))
    new = coding_for(BOTTLENECK, [drifted], [32] * 4, range(4))
    assert msgspec.structs.replace(new, tables=old.tables) == old, "quantiser, order and layers stay"
    before, after = FeatureCodec(BOTTLENECK, old), FeatureCodec(BOTTLENECK, new)
    fresh = features(3, spread=0.3)
    assert size(after, fresh) < 0.8 * size(before, fresh)
    for one in fresh[:3]:
        assert (before.decode(before.encode(one[None])) == after.decode(after.encode(one[None]))).all()


def test_a_channel_that_never_moved_is_a_point() -> None:
    x = np.zeros((3, 4, 8, 8), np.float32)
    flat = Bottleneck((4, 8, 8), (0.0,) * 4, (0.0, 0.0, 1.0, 1.0))
    codec = FeatureCodec(flat, coding_for(flat, [x], [2, 256, 2, 256], range(4)))
    assert len(codec.encode(x[:1])) < 64 and (codec.decode(codec.encode(x[:1])) == 0).all()
    wild = features(0, 9.0)[:1]
    assert (codec.decode(codec.encode(wild))[0, :2] == 0).all()


def test_layers_share_out_the_channels_and_the_first_is_no_larger_than_the_last() -> None:
    for channels in range(1, 40):
        for layers in range(1, 12):
            shares = evenly(channels, layers)
            assert sum(shares) == channels and len(shares) == min(layers, channels) and shares[0] <= shares[-1]
            assert max(shares) - min(shares) <= 1
    assert evenly(0, 3) == ()


def test_a_coding_that_sends_nothing_is_two_bytes() -> None:
    codec = FeatureCodec(BOTTLENECK, coding_for(BOTTLENECK, [features(0)], [0] * 4, range(4)))
    data = codec.encode(features(1)[:1])
    assert len(data) == 2 and codec.layers(data) == codec.total == 0
    assert codec.decode(data)[0, :, 0, 0] == pytest.approx(features(0).mean(axis=(0, 2, 3)), abs=1e-6)


def test_what_cannot_be_fitted_is_a_sentence() -> None:
    with pytest.raises(TensorError, match="nothing"):
        coding_for(BOTTLENECK, [], [4] * 4, range(4))
    with pytest.raises(TensorError, match="not those of the bottleneck"):
        coding_for(BOTTLENECK, [features(0)[:, :3]], [4] * 4, range(4))
    with pytest.raises(TensorError, match="not those of the bottleneck"):
        coding_for(BOTTLENECK, [np.full((1, 4, 8, 8), np.nan, np.float32)], [4] * 4, range(4))
    for levels, order, layers in (
        ([4] * 3, range(3), 1),
        ([1] * 4, range(4), 1),
        ([300] * 4, range(4), 1),
        ([4] * 4, [0, 1, 2, 2], 1),
    ):
        with pytest.raises(ModelError):
            coding_for(BOTTLENECK, [features(0)], levels, order, layers)
    with pytest.raises(ModelError, match="layers"):
        coding_for(BOTTLENECK, [features(0)], [4] * 4, range(4), (1, 2))


def test_tables_are_integers_of_their_own_channel() -> None:
    coding = coding_for(BOTTLENECK, [features(0)], [16, 2, 0, 4], [3, 1, 0])
    found = tables.unpack(coding.tables)
    assert [len(t) - 1 for t in found.frequencies] == [4, 2, 16]
