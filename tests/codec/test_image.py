"""Pictures: small errors, smaller files at lower quality, and ImageError for everything that is none."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.codec import image
from edgewise.codec.image import ImageCodec, Kind
from edgewise.codec.select import codec
from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck
from edgewise.core.errors import ConfigError, ImageError
from edgewise.core.placement import OperatingPoint

KINDS: tuple[Kind, ...] = ("jpeg", "webp", "avif")
Y, X = np.mgrid[0:48, 0:64]
PICTURE = np.stack([4 * X, 5 * Y, 2 * (X + Y)], axis=2).clip(0, 255).astype(np.uint8)
FILES = {kind: ImageCodec(kind, 90).encode(PICTURE) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_comes_back_nearly_as_it_was_and_lower_quality_is_smaller(kind: Kind) -> None:
    sizes = []
    for quality in (30, 60, 90):
        codec = ImageCodec(kind, quality)
        data = codec.encode(PICTURE)
        sizes.append(len(data))
        back = codec.decode(memoryview(data))
        assert back.shape == PICTURE.shape
        assert back.dtype == np.uint8
        assert np.abs(back.astype(int) - PICTURE).mean() < 8
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_and_arbitrary_bytes_are_a_picture_or_an_image_error(kind: Kind, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)))
    for bad in (
        bytes(file),
        bytes(file[:cut]),
        data.draw(st.binary(max_size=50)),
        FILES[kind][:20] + data.draw(st.binary(max_size=50)),
    ):
        with contextlib.suppress(ImageError):
            assert ImageCodec(kind, 75).decode(bad).ndim == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_picture_is_refused_with_a_sentence(kind: Kind) -> None:
    with pytest.raises(ImageError, match="whole picture"):
        ImageCodec(kind, 75).decode(FILES[kind][: len(FILES[kind]) // 2])


def test_only_the_agreed_kind_is_decoded() -> None:
    sink = io.BytesIO()
    Image.fromarray(PICTURE).save(sink, "PNG")
    for bad in (sink.getvalue(), FILES["webp"], b"", b"not a picture"):
        with pytest.raises(ImageError):
            ImageCodec("jpeg", 75).decode(bad)


def test_a_hostile_size_is_refused_before_a_pixel_is_decoded() -> None:
    file = bytearray(FILES["jpeg"])
    at = file.index(b"\xff\xc0") + 5
    file[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageError, match="too large"):
        ImageCodec("jpeg", 75).decode(bytes(file))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_rgb_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="RGB"):
        ImageCodec("jpeg", 75).encode(image)


def test_a_side_too_long_for_the_format_is_a_sentence() -> None:
    with pytest.raises(ImageError, match="cannot be written"):
        ImageCodec("webp", 75).encode(np.zeros((1, 17_000, 3), np.uint8))


def test_an_operating_point_chooses_its_codec() -> None:
    bottleneck = Bottleneck((1, 2, 2), (0.0,), (1.0,))
    tensor = codec(OperatingPoint("s4", "split", "affine", 4), bottleneck)
    assert isinstance(tensor, TensorCodec)
    assert tensor.bits == 4
    picture = codec(OperatingPoint("j75", "image", "jpeg", 75), bottleneck)
    assert isinstance(picture, ImageCodec)
    assert picture.quality == 75
    for wrong in (OperatingPoint("x", "image", "png", 75), OperatingPoint("x", "image", "jpeg", 0)):
        with pytest.raises(ConfigError):
            codec(wrong, bottleneck)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_are_the_same_picture_again(kind: Kind) -> None:
    assert ImageCodec(kind, 90).encode(PICTURE) == FILES[kind]
    assert np.array_equal(ImageCodec(kind, 90).decode(FILES[kind]), ImageCodec(kind, 20).decode(FILES[kind]))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_small_files_are_no_larger(kind: Kind) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for picture in (PICTURE, noisy):
        assert len(ImageCodec(kind, 30, small=True).encode(picture)) <= len(ImageCodec(kind, 30).encode(picture))


def test_a_pillow_without_a_codec_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="no avif"):
        ImageCodec("avif", 50)
    ImageCodec("jpeg", 50)
