"""The byte guard: what a budget promises of clean frames, and that no frame is larger, whatever it shows."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import ConfigError
from edgewise.split.guard import budget, guarded
from edgewise.split.points import coded

BOTTLENECK = Bottleneck((4, 12, 16), (0.0,) * 4, (1.0,) * 4)


def clean(n: int, seed: int) -> np.ndarray:
    """Features that rest at zero and rise in places."""
    generator = np.random.default_rng(seed)
    return np.maximum(generator.normal(-0.3, 0.35, (n, *BOTTLENECK.shape)), 0).clip(0, 1).astype(np.float32)


def test_a_further_clean_frame_is_larger_as_rarely_as_told() -> None:
    generator = np.random.default_rng(0)
    beyond = [generator.lognormal() * 1000 > budget((generator.lognormal(size=99) * 1000).astype(int), 0.05) for _ in range(3000)]
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.015)


def test_few_frames_give_their_largest() -> None:
    assert budget([3, 9, 4], 0.01) == 9
    with pytest.raises(ConfigError, match="clean frames"):
        budget([], 0.01)


@pytest.mark.parametrize("what", ["noise", "extremes", "saturated", "clean"])
def test_no_frame_is_larger_than_its_budget(what: str) -> None:
    coding = guarded(BOTTLENECK, coding_for(BOTTLENECK, [clean(60, 0)], [16] * 4, range(4), 4), [clean(100, 1)], 0.02)
    generator = np.random.default_rng(2)
    features = {
        "noise": generator.random((8, *BOTTLENECK.shape)),
        "extremes": generator.choice([-1e30, 1e30], (8, *BOTTLENECK.shape)),
        "saturated": np.ones((8, *BOTTLENECK.shape)),
        "clean": clean(8, 3),
    }[what].astype(np.float32)
    codec = FeatureCodec(BOTTLENECK, coding)
    free = FeatureCodec(BOTTLENECK, coding_for(BOTTLENECK, [clean(60, 0)], [16] * 4, range(4), 4))
    frames = [codec.encode(one[None]) for one in features]
    assert max(map(len, frames)) <= coding.most
    if what != "clean":
        assert min(len(free.encode(one[None])) for one in features) > coding.most  # they would have been
    for frame, one in zip(frames, features, strict=True):
        kept = list(coding.order[: codec.layers(frame)])
        back = codec.decode(frame)[0]
        np.testing.assert_allclose(back[kept], one[kept].clip(0, 1), atol=0.5 / 15 + 1e-6)


def test_points_of_a_student_cut_a_noisy_frame_and_hardly_a_clean_one() -> None:
    coding = coded(BOTTLENECK, clean(480, 0), [4], range(4))["split-4"]
    codec = FeatureCodec(BOTTLENECK, coding)
    layers = [codec.layers(codec.encode(one[None])) for one in clean(200, 5)]
    assert np.mean([n < len(coding.layers) for n in layers]) < 0.04
    noise = np.random.default_rng(2).random((8, *BOTTLENECK.shape)).astype(np.float32)
    frames = [codec.encode(one[None]) for one in noise]
    assert max(map(len, frames)) <= coding.most and all(codec.layers(f) < len(coding.layers) for f in frames)
