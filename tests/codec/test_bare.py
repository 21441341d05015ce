"""What is left of a file where both sides know the rest: no more than the file, and enough to see the picture again."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.codec.bare import bare_bytes
from edgewise.codec.image import ImageCodec, Kind
from edgewise.core.errors import ImageError

KINDS: tuple[Kind, ...] = ("jpeg", "webp", "avif")
Y, X = np.mgrid[0:48, 0:64]
PICTURE = np.stack([4 * X, 5 * Y, 2 * (X + Y)], axis=2).clip(0, 255).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, PICTURE.shape).astype(np.uint8)
FILES = {kind: ImageCodec(kind, 90).encode(PICTURE) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_file_is_left_and_a_richer_picture_leaves_more(kind: Kind) -> None:
    for quality in (40, 90):
        plain, rich = (ImageCodec(kind, quality).encode(p) for p in (PICTURE, NOISE))
        assert 0 < bare_bytes(kind, plain) < len(plain)
        assert bare_bytes(kind, plain) < bare_bytes(kind, rich) < len(rich)


@pytest.mark.parametrize("quality", [1, 20, 75, 95])
def test_a_jpeg_is_what_both_know_and_its_scan(quality: int) -> None:
    """Two pictures of one size and quality differ in nothing but their scans: what stands before is the same, to the byte."""
    codec = ImageCodec("jpeg", quality)
    first, second = (codec.encode(p) for p in (PICTURE, NOISE))
    known = len(first) - bare_bytes("jpeg", first)
    assert len(second) - bare_bytes("jpeg", second) == known
    assert first[: known - 2] == second[: known - 2] and first[-2:] == b"\xff\xd9"
    rebuilt = second[: known - 2] + first[known - 2 : -2] + b"\xff\xd9"  # the known part of one, the scan of the other
    assert np.array_equal(codec.decode(rebuilt), codec.decode(first))


def test_a_webp_is_what_both_know_and_its_frame() -> None:
    codec = ImageCodec("webp", 50)
    file = codec.encode(NOISE)
    left = bare_bytes("webp", file)
    body = file[20 : 20 + left]
    chunk = b"VP8 " + left.to_bytes(4, "little") + body + b"\0" * (left % 2)
    rebuilt = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    assert rebuilt == file


def test_an_avif_is_what_both_know_and_its_data() -> None:
    """The boxes of two pictures of one size and quality differ in the length of the data alone: 4 bytes at most of `iloc`."""
    files = [ImageCodec("avif", 50).encode(p) for p in (NOISE, NOISE[::-1])]
    known = [len(f) - bare_bytes("avif", f) for f in files]
    assert known[0] == known[1]
    boxes = [np.frombuffer(f[: known[0] - 8], np.uint8) for f in files]
    assert (boxes[0] != boxes[1]).sum() <= 4


def test_all_scans_of_a_progressive_file_are_counted() -> None:
    sink = io.BytesIO()
    Image.fromarray(PICTURE).save(sink, "JPEG", quality=60, progressive=True)
    assert 0 < bare_bytes("jpeg", sink.getvalue()) < len(sink.getvalue()) - 10 * 12  # ten scans, each with header and tables


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_none_is_refused(kind: Kind) -> None:
    for bad in (b"", b"RIFF", FILES["jpeg" if kind != "jpeg" else "webp"], FILES[kind][:-9], b"\xff\xd8\xff\xe0\x00\x00"):
        with pytest.raises(ImageError):
            bare_bytes(kind, bad)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_counted_or_refused(kind: Kind, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert 0 <= bare_bytes(kind, bytes(file)) <= len(file)
