"""Which codec an operating point means."""

from __future__ import annotations

from typing import Any, Protocol, cast

from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import MAX_PIXELS, ImageCodec, Kind
from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck, Coding, Manifest
from edgewise.core.errors import ConfigError
from edgewise.core.placement import OperatingPoint


class Codec(Protocol):
    """An array to bytes and back; each side raises an InputError for what is not its own."""

    def encode(self, values: NDArray[Any], /) -> bytes: ...

    def decode(self, data: bytes | memoryview, /) -> NDArray[Any]: ...


def codec_for(point: OperatingPoint, manifest: Manifest, most: int = MAX_PIXELS) -> Codec:
    """The codec of a bundle's operating point; a picture may have `most` pixels."""
    return codec(point, manifest.bottleneck, manifest.codings.get(point.name), most)


def codec(point: OperatingPoint, bottleneck: Bottleneck | None, coding: Coding | None = None, most: int = MAX_PIXELS) -> Codec:
    """`jpeg`, `webp` and `avif` at quality `point.level`, `most` pixels; `affine` at `point.level` bits; `rans` by its coding."""
    if point.codec in ("jpeg", "webp", "avif"):
        return ImageCodec(cast(Kind, point.codec), point.level, most)
    if point.codec not in ("affine", "rans"):
        raise ConfigError(
            f"operating point {point.name!r} names an unknown codec",
            got=repr(point.codec),
            allowed="jpeg, webp, avif, affine, rans",
        )
    if bottleneck is None:
        raise ConfigError(f"operating point {point.name!r} sends features of a model that is not cut", got=point.codec)
    if point.codec == "affine":
        return TensorCodec(bottleneck, point.level)
    if coding is None:
        raise ConfigError(f"operating point {point.name!r} has no coding", got="rans", allowed="a coding of its name")
    return FeatureCodec(bottleneck, coding)
