"""Every common kind of picture comes out as RGB uint8 upright; what is no picture is refused with a sentence."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.core.errors import ImageError
from edgewise.data import picture
from edgewise.data.picture import picture_size, read_picture

RAMP = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85  # 0..65,195
NOISE = np.random.default_rng(7).integers(0, 255, (64, 64, 3), np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_grey_of_8_and_16_bits_has_three_equal_channels_and_the_same_brightness() -> None:
    eight = read_picture(encoded(Image.fromarray((RAMP >> 8).astype(np.uint8)), "PNG"), "8.png")
    for kind in ("PNG", "TIFF"):
        sixteen = read_picture(encoded(Image.fromarray(RAMP), kind), "16." + kind)
        assert (sixteen == eight).all()
    assert (eight[..., 0] == eight[..., 2]).all()
    assert eight.max() == 254


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("1", "PNG"), ("CMYK", "TIFF")]
)
def test_other_modes_keep_the_colour(mode: str, kind: str) -> None:
    out = read_picture(encoded(Image.new("RGB", (32, 24), (255, 255, 255)).convert(mode), kind), mode)
    assert out.shape == (24, 32, 3)
    assert out.dtype == np.uint8
    assert out.min() >= 250


def test_a_palette_with_transparency_needs_no_warning() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert (read_picture(encoded(image, "PNG", transparency=bytes([0, 255])), "p.png")[0, 0] == (255, 0, 0)).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_brings_the_mark_to_the_top_left(turn: int) -> None:
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:8, :8] = 255
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose member that the EXIF turn undoes
    stored = Image.fromarray(upright)
    if turn > 1:
        stored = stored.transpose(Image.Transpose(undo[turn]))
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(stored, "JPEG", exif=exif, quality=95)
    out = read_picture(data, "turned.jpg")
    assert out.shape == (24, 32, 3)
    assert out[:6, :6].min() > 200
    assert out[12:, 12:].max() < 50
    assert picture_size(data, "turned.jpg") == (32, 24)


def test_what_is_no_picture_says_so() -> None:
    good = encoded(Image.fromarray(NOISE), "JPEG")
    for data, what in ((b"", "empty"), (b"just some text", "not a picture"), (good[: len(good) // 2], "damaged")):
        with pytest.raises(ImageError, match=what) as caught:
            read_picture(data, "it.jpg")
        assert "it.jpg" in str(caught.value)


def test_too_large_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"too large.*41000 × 1000"):
        read_picture(encoded(Image.new("1", (41_000, 1_000)), "PNG"), "wide.png")
    with pytest.raises(ImageError, match="too large"):  # where Pillow itself would warn or raise
        read_picture(encoded(Image.new("1", (20_000, 10_000)), "PNG"), "bomb.png")
    monkeypatch.setattr(picture, "MAX_BYTES", 10)
    with pytest.raises(ImageError, match="too large"):
        read_picture(b"x" * 11, "heavy.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on what it then refuses
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"]), st.data())
def test_flipped_and_cut_bytes_give_a_picture_or_a_sentence(kind: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Image.fromarray(NOISE[:12, :16]), kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        out = read_picture(bytes(whole[:cut]), "fuzzed")
    except ImageError:
        return
    assert out.ndim == 3
    assert out.dtype == np.uint8
