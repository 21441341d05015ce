"""The shifts of a picture: their form, what physics says of each, how they grow with severity, and that seeds decide them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.core.errors import ConfigError, ImageError
from edgewise.data.corruptions import FAMILIES, KINDS, SEVERITIES, corrupt
from edgewise.data.corruptions.fields import along, clouds, grain, moved
from edgewise.data.corruptions.renditions import _variance


def scene(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """Soft blobs with edges, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(20, 236, (height // 8, width // 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def shift(picture: np.ndarray, kind: str, severity: int, seed: int = 3) -> np.ndarray:
    return corrupt(picture, kind, severity, np.random.default_rng(seed))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_the_picture_and_the_original_stays(kind):
    picture = scene()
    before = picture.copy()
    one = shift(picture, kind, 4)
    assert np.array_equal(one, shift(picture, kind, 4)) and np.array_equal(picture, before)
    assert one.dtype == np.uint8 and one.shape == picture.shape and not np.shares_memory(one, picture)
    others = [shift(picture, kind, 4, seed) for seed in range(4, 9)]
    assert any(not np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_more_severe_is_farther_from_the_original(kind):
    pictures = [scene(seed=seed) for seed in range(4)]
    far = [np.mean([distance(shift(p, kind, s, seed), p) for seed, p in enumerate(pictures)]) for s in SEVERITIES]
    assert far == sorted(far) and far[4] > 1.4 * far[0] > 0, far


@settings(max_examples=40)
@given(st.sampled_from(KINDS), st.sampled_from(SEVERITIES), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_any_size_and_any_constant_picture_is_taken(kind, severity, height, width, level):
    out = shift(np.full((height, width, 3), level, np.uint8), kind, severity)
    assert out.shape == (height, width, 3) and out.dtype == np.uint8


def test_a_view_into_a_larger_picture_is_seen_as_its_copy_is():
    whole = scene(128, 192)
    view = whole[::2, 1::2]
    for kind in KINDS:
        assert np.array_equal(shift(view, kind, 3), shift(view.copy(), kind, 3)), kind


def test_fog_follows_koschmieder_two_pixels_of_one_place_keep_their_order_and_lose_contrast():
    black, white = np.zeros((48, 48, 3), np.uint8), np.full((48, 48, 3), 255, np.uint8)
    seen = [(shift(white, "fog", s).astype(float) - shift(black, "fog", s)) / 255 for s in SEVERITIES]  # = t of each pixel
    for through in seen:
        assert through.min() >= 0 and through.max() <= 1
        assert through[:12].mean() < through[-12:].mean()  # thicker towards the top
    means = [t.mean() for t in seen]
    assert means == sorted(means, reverse=True) and means[-1] < 0.35


def test_night_is_dark_cold_and_noisier_against_its_light():
    grey = np.full((64, 64, 3), 180, np.uint8)
    dark = [shift(grey, "night", s).astype(float) for s in SEVERITIES]
    levels = [d.mean() for d in dark]
    assert levels == sorted(levels, reverse=True) and levels[-1] < 0.25 * 180
    for d in dark:
        assert d[..., 2].mean() > d[..., 1].mean() > d[..., 0].mean()
    signal_to_noise = [d[..., 1].mean() / d[..., 1].std() for d in dark]
    assert signal_to_noise == sorted(signal_to_noise, reverse=True)


def test_noise_has_the_spread_that_is_said_and_grows_with_the_root_of_the_side():
    small, large = np.full((32, 32, 3), 128, np.uint8), np.full((128, 128, 3), 128, np.uint8)
    spread = [shift(p, "gaussian_noise", 3).astype(float).std() for p in (small, large)]
    assert spread[0] == pytest.approx(17, rel=0.05) and spread[1] == pytest.approx(34, rel=0.05)
    assert grain(large) / grain(small) == 2.0


def test_contrast_keeps_the_mean_and_brightness_never_darkens():
    picture = scene()
    weak = shift(picture, "contrast", 4)
    assert weak.mean() == pytest.approx(picture.mean(), abs=1) and weak.std() < 0.3 * picture.std()
    assert (shift(picture, "brightness", 5) >= picture).all()


def test_a_blur_keeps_the_light_and_a_motion_blur_spreads_along_one_direction_alone():
    for kind in ("blur", "motion_blur"):
        assert shift(scene(), kind, 5).mean() == pytest.approx(scene().mean(), abs=1.5)
    dot = np.zeros((65, 65), np.float32)
    dot[32, 32] = 64
    line = along(dot, 16, 0.0)
    assert line.sum() == pytest.approx(64) and np.flatnonzero(line.sum(1)).tolist() == [32]
    assert 12 <= np.ptp(np.flatnonzero(line.sum(0))) <= 17
    assert along(dot, 16, 0.0, brightest=True).max() == 64


def test_rain_brightens_streaks_on_a_darkened_picture():
    grey = np.full((128, 128, 3), 120, np.uint8)
    wet = shift(grey, "rain", 3).astype(float)
    assert np.median(wet) < 120 < wet.max()
    columns, rows = np.abs(np.diff(wet[..., 0], axis=1)).mean(), np.abs(np.diff(wet[..., 0], axis=0)).mean()
    assert columns > 1.5 * rows  # streaks run down


def test_a_poster_has_few_levels_a_sketch_no_colour_and_a_painting_calm_areas():
    picture = scene(128, 128)
    poster = shift(picture, "posterised", 5)
    assert all(len(np.unique(poster[..., c])) <= 4 for c in range(3))
    sketch = shift(picture, "sketch", 5).astype(float)
    assert (sketch.max(-1) - sketch.min(-1)).max() <= 13  # that of the paper's tint
    noisy = shift(np.full((96, 96, 3), 120, np.uint8), "gaussian_noise", 2)
    assert shift(noisy, "painted", 5).astype(float).std() < 0.5 * noisy.astype(float).std()


def test_the_variance_by_sums_is_the_variance():
    grey = np.random.default_rng(1).integers(0, 256, (9, 11), np.uint8)
    padded = np.pad(grey, 2, mode="edge").astype(float)
    brute = [[padded[y : y + 5, x : x + 5].var() for x in range(11)] for y in range(9)]
    assert np.allclose(_variance(grey, 2) / 25**2, brute, rtol=1e-4)
    wide = np.full((700, 700), 250, np.uint8)  # whose squares add up to more than 2³²
    wide[:, 350:] = 240
    assert np.allclose(_variance(wide, 2)[:, [100, 600]], 0) and _variance(wide, 2)[:, 350].min() > 0


def test_moving_repeats_the_border_and_clouds_fill_their_range():
    row = np.arange(5, dtype=np.float32)[None].repeat(2, 0)
    assert moved(row, 0, 2)[0].tolist() == [0, 0, 0, 1, 2] and moved(row, 0, -9)[0].tolist() == [4] * 5
    field = clouds((40, 60), np.random.default_rng(0))
    assert field.min() == 0 and field.max() == pytest.approx(1)


def test_a_size_changes_detail_and_not_the_look():
    large = scene(128, 128)
    small = np.asarray(Image.fromarray(large).reduce(2))
    for kind in ("blur", "motion_blur", "fog", "contrast", "brightness", "sketch"):
        shrunk = np.asarray(Image.fromarray(shift(large, kind, 4)).reduce(2))
        assert distance(shrunk, shift(small, kind, 4)) < 0.4 * distance(shrunk, small), kind


def test_what_cannot_be_shifted_says_so():
    with pytest.raises(ConfigError, match=r"no such shift.*snow.*fog"):
        shift(scene(), "snow", 3)
    for severity in (0, 6):
        with pytest.raises(ConfigError, match="no such severity"):
            shift(scene(), "fog", severity)
    for bad in (scene().astype(np.float32), scene()[..., 0], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match="wrong form"):
            shift(bad, "fog", 3)
    assert set(FAMILIES) < set(KINDS)
