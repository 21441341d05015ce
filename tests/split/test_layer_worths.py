"""Worth by layers: a condition for each, of the same samples, the last of them the whole frame's; the policy reads them."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Bottleneck
from edgewise.core.placement import Quality
from edgewise.plan.online.layers import Layers
from edgewise.split.layer_worths import by_layers

STRENGTH = np.array([4.0, 2.0, 1.0], np.float32)[:, None, None]
FEATURES = (np.random.default_rng(0).standard_normal((20, 3, 8, 8)) * STRENGTH).astype(np.float32)
BOTTLENECK = Bottleneck((3, 8, 8), tuple((-4 * STRENGTH).ravel().tolist()), tuple((4 * STRENGTH).ravel().tolist()))


def codec(layers: int) -> FeatureCodec:
    return FeatureCodec(BOTTLENECK, coding_for(BOTTLENECK, [FEATURES], [16] * 3, [0, 1, 2], layers))


def kept(parts: list[np.ndarray]) -> Quality:
    """The share of the features' variance that came through."""
    value = 1 - float((np.concatenate(parts) - FEATURES).var() / FEATURES.var())
    return Quality(value, value, value, len(FEATURES))


def test_each_layer_is_worth_what_it_adds_and_the_policy_knows_it() -> None:
    three = codec(3)
    found = by_layers(three, [three.encode(f[None]) for f in FEATURES], np.copy, kept)
    worths = Layers(found).worths
    assert len(found) == len(worths) == 3
    share = (STRENGTH.ravel() ** 2).cumsum() / (STRENGTH**2).sum()
    np.testing.assert_allclose(worths, share, atol=0.05)
    whole = [three.decode(three.encode(f[None])) for f in FEATURES]
    assert worths[-1] == kept(whole).value


def test_a_frame_that_the_guard_cut_is_taken_as_it_is() -> None:
    three = codec(3)
    guarded = FeatureCodec(BOTTLENECK, replace(three.coding, most=40))
    payloads = [guarded.encode(f[None]) for f in FEATURES]
    assert min(map(guarded.layers, payloads)) < 3
    assert len(by_layers(guarded, payloads, np.copy, kept)) == 3


def test_what_has_no_layers_has_no_conditions() -> None:
    one = codec(1)
    assert by_layers(one, [one.encode(f[None]) for f in FEATURES], np.copy, kept) == {}
    assert by_layers(ImageCodec("jpeg", 50), [b""], np.copy, kept) == {}
