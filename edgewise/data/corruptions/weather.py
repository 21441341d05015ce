"""Air and light: fog, rain, night, and too much light.

Air follows Koschmieder's law, seen = picture · t + airlight · (1 − t), t = exp(−thickness), with a thickness that is made up
(there is no depth in a photograph): clouds, and a ramp that thickens upwards, where the world is farther away. At night the
exposure falls, colours turn blue, and what is left is photon noise (its normal approximation) and the noise of reading the
sensor. Rain darkens, hazes and draws bright streaks along one lean. Constants are ours: chosen by looking, and by what they cost
a ResNet-20.
"""

from __future__ import annotations

import math

import numpy as np

from edgewise.data.corruptions.fields import Levels, Picture, along, as_picture, clouds, grain, moved

THICKNESS = (0.8, 1.2, 1.7, 2.3, 3.0)  # of the thickest air in a picture, by severity
EXPOSURE = (0.55, 0.42, 0.32, 0.24, 0.18)
COLD = np.array([0.88, 0.97, 1.12], np.float32)  # blue cast of the night
PHOTONS = 900.0  # that white means at full exposure, in a picture of 32 px
READ = (1.2, 1.6, 2.0, 2.4, 2.8)  # grey levels of reading noise in a picture of 32 px
STREAKS = (50, 80, 115, 155, 200)  # in a square picture
DROP_LENGTH, DROP_WIDTH = (0.10, 0.12, 0.14, 0.16, 0.18), 0.008  # shares of the side
GREY_OUT = (0.92, 0.86, 0.80, 0.74, 0.68)  # light that rain clouds leave
OVER = ((1.10, 14), (1.18, 26), (1.27, 40), (1.36, 55), (1.45, 72))  # gain and lift of an over-exposed picture


def fog(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Grey air in clouds, thicker towards the top."""
    height, width = picture.shape[:2]
    ramp = np.linspace(1.0, 0.35, height, dtype=np.float32)[:, None]
    thickness = THICKNESS[severity - 1] * (0.45 * ramp + 0.55 * clouds((height, width), generator))
    seen = np.exp(-thickness)[..., None]
    grey = generator.uniform(195, 230)
    air = np.array([grey * 0.98, grey, grey * 1.02], np.float32)
    return as_picture(picture * seen + air * (1 - seen))


def night(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Less light, colder, and noisy where little light is left."""
    exposure = EXPOSURE[severity - 1] * float(generator.uniform(0.9, 1.1))
    light = picture * (COLD * np.float32(exposure))
    strength = grain(picture)
    # var = photons' share of the level + reading, both in grey levels squared
    spread = np.sqrt(light * np.float32(255 / PHOTONS * strength**2) + np.float32((READ[severity - 1] * strength) ** 2))
    spread *= generator.standard_normal(picture.shape, np.float32)
    light += spread
    return as_picture(light)


def rain(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """A grey sky's light, haze, and streaks with one lean."""
    number = severity - 1
    streaks = _streaks((picture.shape[0], picture.shape[1]), number, generator)[..., None]
    haze = np.float32(0.05 + 0.04 * number)
    dim = picture * np.float32(GREY_OUT[number] * (1 - haze)) + haze * np.float32(165)
    dim += streaks * (np.float32(235) - dim)
    return as_picture(dim)


def _streaks(shape: tuple[int, int], number: int, generator: np.random.Generator) -> Levels:
    """How much of each pixel (0 to 1) rain covers: drops at random places, drawn out along one lean."""
    height, width = shape
    shorter = min(shape)
    thick = DROP_WIDTH * shorter
    drops = round(STREAKS[number] * height * width / shorter**2)
    field = np.zeros(shape, np.float32)
    strength = generator.uniform(0.2, 0.75, drops).astype(np.float32) * np.float32(min(1.0, thick + 0.05))
    rows, columns = generator.integers(0, height, drops), generator.integers(0, width, drops)
    for step in range(max(1, round(thick))):
        field[rows, np.minimum(columns + step, width - 1)] = strength
    lean = math.pi / 2 + float(generator.uniform(-0.3, 0.3))
    streaks = along(field, DROP_LENGTH[number] * shorter * float(generator.uniform(0.8, 1.2)), lean, brightest=True)
    return (streaks + moved(streaks, 0, 1)) * np.float32(0.5) if thick >= 1 else streaks


def brightness(picture: Picture, severity: int, generator: np.random.Generator) -> Picture:
    """Too long an exposure: a gain and a lift, and what is above white is lost."""
    gain, lift = OVER[severity - 1]
    drawn = float(generator.uniform(0.9, 1.1))
    table = np.arange(256, dtype=np.float32) * np.float32(gain) + np.float32(lift * drawn)
    return as_picture(table)[picture]
