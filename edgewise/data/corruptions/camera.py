"""Lens, sensor and coding: noise, blur, motion blur, weak contrast, JPEG.

Lengths are shares of the shorter side; noise follows `fields.grain`. JPEG's blocks are 8 px whatever the size, so the same
quality costs a small picture more: that is how it is in the field. Constants are ours.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from edgewise.data.corruptions.fields import Picture, along, as_picture, grain, side, smoothed, through

NOISE = (9.0, 13.0, 17.0, 21.0, 25.5)  # grey levels in a picture of 32 px
BLUR = (0.009, 0.014, 0.019, 0.025, 0.032)  # standard deviation / side
MOTION = (0.05, 0.075, 0.10, 0.13, 0.16)  # length / side
CONTRAST = (0.60, 0.45, 0.32, 0.22, 0.15)
QUALITY = (40, 28, 20, 13, 8)


def gaussian_noise(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """The same noise in light and dark, apart for each colour."""
    noise = generator.standard_normal(picture.shape, np.float32)
    noise *= np.float32(NOISE[severity - 1] * grain(picture))
    noise += picture
    return as_picture(noise)


def blur(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """A lens out of focus, as a Gaussian whose width varies by a tenth."""
    return smoothed(picture, BLUR[severity - 1] * side(picture) * float(generator.uniform(0.9, 1.1)))


def motion_blur(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """A camera that moved in any direction while it was exposed."""
    length = MOTION[severity - 1] * side(picture) * float(generator.uniform(0.9, 1.1))
    return as_picture(along(picture.astype(np.float32), length, float(generator.uniform(0, math.pi))))


def contrast(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """All levels drawn towards the picture's mean, and rounded there."""
    mean = np.float32(picture.mean())
    share = np.float32(CONTRAST[severity - 1] * generator.uniform(0.9, 1.1))
    return through(picture, (np.arange(256, dtype=np.float32) - mean) * share + mean)


def jpeg(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Coded and decoded with a quality that varies by one step."""
    file = io.BytesIO()
    quality = QUALITY[severity - 1] + int(generator.integers(-1, 2))
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=("JPEG",)) as image:
        return np.asarray(image)
