"""Pictures to bytes: JPEG, WebP and AVIF by Pillow, with a border against bytes that are no picture, or too large a one.

Only the decoder that the stream agreed on ever sees the bytes, and the size is judged before a pixel is decoded. AVIF came to
Pillow with 11.3 and not to all of its builds: a codec that this machine's Pillow lacks is refused when it is made.
"""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, WebPImagePlugin, features

from edgewise.core.errors import ConfigError, ImageError

MAX_PIXELS = 40_000_000
Picture = NDArray[np.uint8]
Kind = Literal["jpeg", "webp", "avif"]
HIGHEST: dict[str, int] = {"jpeg": 95, "webp": 100, "avif": 100}
ALLOWED = "jpeg 1 to 95, webp 1 to 100, avif 1 to 100"
# What Pillow's decoders raise for hostile bytes (200,000 mutated files); it only warns of broken EXIF, which is an error
# where a process turns warnings into errors. RuntimeError is what libavif's refusals become.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    Warning,
    Image.DecompressionBombError,
)


class ImageCodec:
    """uint8 RGB (height, width, 3) both ways, `most` pixels at most, at `quality` (1 to 95 for JPEG, 1 to 100 for the others).

    `small` spends time for bytes, or for what a network sees in them: JPEG with Huffman tables of its own, WebP with method 4
    (6 is smaller, and recognised less often at equal bytes), AVIF by libaom, tuned to the squared error (its default, tuned to
    the eye, loses 6 points of recognition at 740 bytes of a 128 × 128 picture).
    """

    def __init__(self, kind: Kind, quality: int, most: int = MAX_PIXELS, small: bool = False) -> None:
        if kind not in HIGHEST or not 1 <= quality <= HIGHEST[kind]:
            raise ConfigError("an image codec is unknown", got=f"{kind} {quality}", allowed=ALLOWED)
        if not there(kind):
            raise ConfigError(
                f"this Pillow has no {kind}", got=features.version("pil"), hint="Install Pillow 11.3 or newer from its wheels."
            )
        self.kind, self.quality, self.most, self.small = kind, quality, most, small

    def encode(self, image: Picture) -> bytes:
        """The picture's bytes; ImageError where it is no uint8 RGB picture."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ImageError("not an RGB picture", got=f"{image.dtype} {image.shape}", allowed="uint8 (height, width, 3)")
        self._check_size(image.shape[1], image.shape[0])
        sink, picture = io.BytesIO(), Image.fromarray(image)
        try:
            if self.kind == "jpeg":
                picture.save(sink, "JPEG", quality=self.quality, optimize=self.small)
            elif self.kind == "webp":  # method 4, the default of Pillow, takes twice as long for 5 % fewer bytes
                picture.save(sink, "WEBP", quality=self.quality, method=4 if self.small else 2)
            else:  # speed 6 of 0 to 10: 4 takes five times as long for 0.3 dB
                tuned = {"codec": "aom", "advanced": {"tune": "psnr"}} if self.small else {}
                picture.save(sink, "AVIF", quality=self.quality, speed=6, max_threads=1, **tuned)
        except (OSError, ValueError, RuntimeError) as error:  # WebP stops at 16383 pixels a side, JPEG and AVIF at 65535
            raise ImageError(f"a picture cannot be written as {self.kind}", got=f"{image.shape}: {error}") from None
        return sink.getvalue()

    def decode(self, data: bytes | memoryview) -> Picture:
        """The picture again; ImageError for what is no such picture, is truncated or has more than `most` pixels."""
        try:
            with _plugin(self.kind)(io.BytesIO(data)) as picture:
                self._check_size(*picture.size)  # before a pixel is decoded
                picture.load()
                return np.asarray(cast(Image.Image, picture).convert("RGB"))
        except ImageError:
            raise
        except _BROKEN as error:
            raise ImageError(
                f"bytes are no {self.kind} picture that can be read", got=f"{len(data)} bytes: {error}", allowed="a whole picture"
            ) from None

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.most:
            raise ImageError("a picture is too large", got=f"{width} × {height}", allowed=f"{self.most} pixels")


def there(kind: Kind) -> bool:
    """Whether this machine's Pillow reads and writes it."""
    if kind == "avif" and find_spec("PIL.AvifImagePlugin") is None:  # asked for by name, an older Pillow warns
        return False
    return bool(features.check("jpg" if kind == "jpeg" else kind))


def _plugin(kind: Kind) -> type[ImageFile.ImageFile]:
    if kind == "avif":
        from PIL import AvifImagePlugin  # older ones have no such module

        return AvifImagePlugin.AvifImageFile
    return JpegImagePlugin.JpegImageFile if kind == "jpeg" else WebPImagePlugin.WebPImageFile
