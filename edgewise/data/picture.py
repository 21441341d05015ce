"""Bytes of a file of any common kind → one picture, RGB, uint8, upright; the border at which a bad picture is refused.

A person's folder holds greyscale, palette, RGBA, CMYK and 16-bit files, some lying on their side with the turn noted in
EXIF. Behind this border there is one form. Alpha is dropped, 16 bits keep their upper 8, and colour profiles are not
applied. The size is read from the header and judged before a pixel is decoded. It does not know where the bytes are from.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgewise.core.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"})
MAX_BYTES = 64_000_000
MAX_PIXELS = 40_000_000

# What Pillow's readers are known to raise on hostile bytes; anything else is a fault of ours and should be seen.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, struct.error, zlib.error)
_HINT = "It is skipped and counted; remove it, or write it again as JPEG or PNG."


def read_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """The picture in `data` as (height, width, 3); ImageError names the file `name` and what is wrong with it.

    >>> red = io.BytesIO(); Image.new("RGB", (4, 2), "red").save(red, "PNG")
    >>> read_picture(red.getvalue(), "red.png").shape
    (2, 4, 3)
    """
    with _opened(data, name) as image:
        try:
            return _rgb(ImageOps.exif_transpose(image), name)
        except _BROKEN as error:
            raise ImageError("the picture is damaged", got=f"{name} ({error})", hint=_HINT) from None


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height as they are once the picture is upright, from the header alone."""
    with _opened(data, name) as image:
        try:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except _BROKEN:
            turned = False
        return (image.height, image.width) if turned else (image.width, image.height)


def _opened(data: bytes, name: str) -> Image.Image:
    if not data:
        raise ImageError("the picture is empty", got=f"{name} with 0 bytes", hint=_HINT)
    if len(data) > MAX_BYTES:
        raise ImageError("the picture is too large", got=f"{name} with {len(data)} bytes", allowed=f"{MAX_BYTES} bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("the picture is too large", got=name, allowed=f"{MAX_PIXELS} pixels") from None
    except _BROKEN:
        begins = data[:8].hex(" ")
        raise ImageError(
            "the file is not a picture", got=f"{name}, which begins {begins}", allowed=", ".join(FORMATS), hint=_HINT
        ) from None
    if image.width * image.height > MAX_PIXELS:
        got = f"{name} with {image.width} × {image.height} pixels"
        image.close()
        raise ImageError("the picture is too large", got=got, allowed=f"{MAX_PIXELS} pixels")
    return image


def _rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise ImageError("the picture holds floating-point values", got=name, allowed="8 or 16 bits a channel", hint=_HINT)
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion to RGB would clip at 255
        grey = (np.clip(np.asarray(image), 0, 65_535) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA", "LA"):  # a palette's transparency only survives the way through RGBA
        image = image.convert("RGBA")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
