"""What weather, lens, sensor and coding do to a picture, and what an artist does: families of shifts at five severities.

    weather and light   fog  night  rain  brightness            lens and sensor   gaussian_noise  blur  motion_blur  contrast
    coding              jpeg                                    renditions        sketch  posterised  painted

Every family is a function of picture, severity and generator alone, with numpy and Pillow, so that a device can show what it
would meet. What has a length (blur, streaks, brush, clouds) is a share of the picture's shorter side, so that severity 3 of a
picture of 32 px and of one of 360 px look alike; noise grows with the root of the side, between "the same in each pixel" and "the
same after averaging". The families bear the names that benchmarks of corruption gave them; formulas and constants are ours, so
figures are **not comparable with those published on CIFAR-10-C or ImageNet-C**. Depth is not known to them: fog thickens upwards
and in clouds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError, ImageError
from edgewise.data.corruptions import camera, renditions, weather

Picture = NDArray[np.uint8]
Family = Literal["fog", "night", "gaussian_noise", "blur", "motion_blur", "contrast", "jpeg", "brightness", "rain"]
Rendition = Literal["sketch", "posterised", "painted"]

FAMILIES: tuple[Family, ...] = get_args(Family)
RENDITIONS: tuple[Rendition, ...] = get_args(Rendition)
KINDS: tuple[str, ...] = (*FAMILIES, *RENDITIONS)
SEVERITIES = (1, 2, 3, 4, 5)

_FUNCTIONS: Mapping[str, Callable[[Picture, int, np.random.Generator], Picture]] = {
    "fog": weather.fog,
    "night": weather.night,
    "rain": weather.rain,
    "brightness": weather.brightness,
    "gaussian_noise": camera.gaussian_noise,
    "blur": camera.blur,
    "motion_blur": camera.motion_blur,
    "contrast": camera.contrast,
    "jpeg": camera.jpeg,
    "sketch": renditions.sketch,
    "posterised": renditions.posterised,
    "painted": renditions.painted,
}


def corrupt(picture: Picture, kind: str, severity: int, generator: np.random.Generator) -> Picture:
    """`picture` (height, width, 3; RGB, uint8) as `kind` at `severity` 1 to 5 shows it: a new array of the same form.

    The same state of the generator gives the same picture. ConfigError for an unknown kind or severity, ImageError for what is no
    picture.

    >>> int(corrupt(np.full((32, 32, 3), 200, np.uint8), "contrast", 5, np.random.default_rng(0)).max())
    200
    """
    check(kind, severity)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ImageError(
            "a picture has the wrong form", got=f"{picture.dtype} {picture.shape}", allowed="uint8 (height, width, 3)"
        )
    return _FUNCTIONS[kind](np.ascontiguousarray(picture), severity, generator)


def check(kind: str, severity: int) -> None:
    """ConfigError where there is no such kind, or no such severity."""
    if kind not in _FUNCTIONS:
        raise ConfigError("there is no such shift of a picture", got=kind, allowed=", ".join(KINDS))
    if severity not in SEVERITIES:
        raise ConfigError("there is no such severity of a shift", got=f"{kind}:{severity}", allowed="1, 2, 3, 4 or 5")
