"""Pictures to bytes: JPEG and WebP by Pillow, with a border against bytes that are no picture, or too large a one.

Only the decoder that the stream agreed on ever sees the bytes, and the size is judged before a pixel is decoded.
"""

from __future__ import annotations

import io
import struct
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, WebPImagePlugin, features

from edgewise.core.errors import ConfigError, ImageError

MAX_PIXELS = 40_000_000
Picture = NDArray[np.uint8]
# What Pillow's two decoders raise for hostile bytes (200,000 mutated files); it only warns of broken EXIF, which is an error
# where a process turns warnings into errors.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Warning,
    Image.DecompressionBombError,
)


class ImageCodec:
    """uint8 RGB (height, width, 3) both ways, `most` pixels at most, at `quality` (1 to 95 for JPEG, 1 to 100 for WebP)."""

    def __init__(self, kind: Literal["jpeg", "webp"], quality: int, most: int = MAX_PIXELS) -> None:
        limit = 95 if kind == "jpeg" else 100
        if kind not in ("jpeg", "webp") or not 1 <= quality <= limit:
            raise ConfigError("an image codec is unknown", got=f"{kind} {quality}", allowed="jpeg 1 to 95, webp 1 to 100")
        if not features.check("jpg" if kind == "jpeg" else "webp"):
            raise ConfigError(f"this Pillow has no {kind}", got=features.version("pil"), hint="Install Pillow from its wheels.")
        self.kind, self.quality, self.most = kind, quality, most

    def encode(self, image: Picture) -> bytes:
        """The picture's bytes; ImageError where it is no uint8 RGB picture."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ImageError("not an RGB picture", got=f"{image.dtype} {image.shape}", allowed="uint8 (height, width, 3)")
        self._check_size(image.shape[1], image.shape[0])
        sink = io.BytesIO()
        try:
            if self.kind == "jpeg":
                Image.fromarray(image).save(sink, "JPEG", quality=self.quality)
            else:  # method 4, the default of Pillow, takes twice as long for 5 % fewer bytes
                Image.fromarray(image).save(sink, "WEBP", quality=self.quality, method=2)
        except (OSError, ValueError) as error:  # WebP stops at 16383 pixels a side, JPEG at 65535
            raise ImageError(f"a picture cannot be written as {self.kind}", got=f"{image.shape}: {error}") from None
        return sink.getvalue()

    def decode(self, data: bytes | memoryview) -> Picture:
        """The picture again; ImageError for what is no such picture, is truncated or has more than `most` pixels."""
        plugin = JpegImagePlugin.JpegImageFile if self.kind == "jpeg" else WebPImagePlugin.WebPImageFile
        try:
            with plugin(io.BytesIO(data)) as picture:
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
