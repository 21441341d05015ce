"""What air, light and sensor do to a picture: clear, haze, fog, rain, low light, night.

Air: Koschmieder's law, seen = picture · t + airlight · (1 − t) with t = exp(−extinction · distance), distance known for every
pixel. Light: a gain, and at night street lamps, headlamps on the road and glow around lamps. Sensor: gain brings noise.
All of it is arithmetic on bytes with tables and noise made once, a few ms a frame on one thread. Extinctions: meteorological
visibility is about 3/extinction (contrast 5 %), so haze reaches 300 m and fog 100 m.
"""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.data.junction.camera import HEIGHT, WIDTH
from edgewise.data.junction.surroundings import Surroundings
from edgewise.data.junction.vehicles import Drawn

Condition = Literal["clear", "haze", "fog", "rain", "low_light", "night"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)

Picture = NDArray[np.uint8]
BANK, MARGIN = 3, 48  # noise pictures kept, px by which they are moved about


class Weather(Struct, frozen=True):
    """`extinction` (1/m), `airlight` (RGB), `gain` and `gamma` of the light, `noise` (spread in grey levels), rain and lamps."""

    condition: Condition
    extinction: float
    airlight: tuple[float, float, float]
    gain: float
    gamma: float
    noise: float
    rain: bool
    lit: bool
    direct: float  # share of direct sunlight in what vehicles reflect


def weather(condition: Condition, generator: np.random.Generator) -> Weather:
    """The weather of a condition; how strong it is varies by a third from one generator to the next."""
    strength = generator.uniform(0.75, 1.35)
    grey = generator.uniform(168, 225)
    air = (grey * 0.98, grey, grey * 1.02)
    direct = float(generator.choice([0.1, 0.5, 0.9]))
    if condition == "haze":
        return Weather(condition, 0.010 * strength, air, 1.0, 1.0, 1.6, False, False, 0.1)
    if condition == "fog":
        return Weather(condition, 0.030 * strength, air, 0.95, 1.0, 2.0, False, True, 0.0)
    if condition == "rain":
        return Weather(condition, 0.007 * strength, (150, 154, 160), 0.72, 1.05, 2.5, True, True, 0.0)
    if condition == "low_light":
        return Weather(condition, 0.0, (0, 0, 0), 0.36 / strength, 1.1, 5.0 * strength, False, True, 0.0)
    if condition == "night":
        return Weather(condition, 0.0, (0, 0, 0), 0.2 / strength, 1.0, 7.0 * strength, False, True, 0.0)
    return Weather(condition, 0.0, (0, 0, 0), 1.0, 1.0, 1.5, False, False, direct)


class Atmosphere:
    """Tables and noise for one camera in one weather, and `apply` for a frame."""

    def __init__(self, weather: Weather, around: Surroundings, generator: np.random.Generator) -> None:
        self.weather = weather
        through = np.exp(-weather.extinction * around.distance)
        self._through = np.round(through * 255).astype(np.uint8)
        level = np.arange(256, dtype=np.float32) / 255
        self._air = np.stack([np.clip((1 - level) * a, 0, 255) for a in weather.airlight], -1).astype(np.uint8)[:, None]
        tone = 255 * weather.gain * level**weather.gamma
        tint = (0.94, 0.98, 1.08) if weather.condition in ("low_light", "night") else generator.uniform(0.95, 1.05, 3)
        self._tone = np.stack([np.clip(tone * t, 0, 255) for t in tint], -1).astype(np.uint8)[None]
        self._noise = [_noise(weather.noise, generator) for _ in range(BANK)]
        self._streaks = [_streaks(generator) for _ in range(BANK)] if weather.rain else []
        self._lamps = _street_lamps(around, generator) if weather.condition == "night" else None

    def apply(self, picture: Picture, drawn: Drawn, identity: Picture, generator: np.random.Generator) -> Picture:
        """The picture (height, width, 3) as the sensor sees it; `identity` is the vehicles' mask."""
        if self.weather.extinction:
            picture = self._through_air(picture, drawn, identity)
        if self._lamps is not None:
            picture = cv2.multiply(picture, self._light_at_night(drawn), scale=1 / 255)
        elif self.weather.gain != 1.0:
            picture = cv2.LUT(picture, self._tone)
        if self.weather.lit and len(drawn.lamps):
            picture = _glow(picture, drawn, 1.0 if self.weather.gain < 0.5 else 0.45, self.weather.extinction)
        if self._streaks:
            streaks = _moved(self._streaks[generator.integers(BANK)], generator)
            picture = cv2.add(picture, cv2.merge([streaks] * 3))
        brighter, darker = self._noise[generator.integers(BANK)]
        shift = generator.integers(0, MARGIN, 2)
        window = (slice(shift[0], shift[0] + HEIGHT), slice(shift[1], shift[1] + WIDTH))
        seen: Picture = cv2.subtract(cv2.add(picture, brighter[window]), darker[window])
        return seen

    def _through_air(self, picture: Picture, drawn: Drawn, identity: Picture) -> Picture:
        table = np.full(256, 255, np.uint8)
        table[1 : len(drawn.distance) + 1] = np.round(255 * np.exp(-self.weather.extinction * drawn.distance))
        through = self._through.copy()
        cv2.copyTo(cv2.LUT(identity, table), identity, through)
        through = cv2.merge([through] * 3)
        hazy: Picture = cv2.add(cv2.multiply(picture, through, scale=1 / 255), cv2.LUT(through, self._air.transpose(1, 0, 2)))
        return hazy

    def _light_at_night(self, drawn: Drawn) -> Picture:
        """Light on each pixel (height, width, 3): dark sky, street lamps, and what headlamps throw in front of vehicles."""
        assert self._lamps is not None
        ahead = np.zeros((HEIGHT // 4, WIDTH // 4), np.uint8)
        for x, y, radius, head, _ in drawn.lamps:
            if head and radius > 1:
                centre = (int(x / 4), int((y + radius * 5) / 4))
                cv2.ellipse(ahead, centre, (int(radius * 1.6) + 1, int(radius * 0.9) + 1), 0, 0, 360, 70, -1)
        ahead = cv2.resize(cv2.blur(ahead, (7, 5)), (WIDTH, HEIGHT))
        light: Picture = cv2.add(self._lamps, cv2.merge([ahead, ahead, ahead]))
        return light


def _noise(spread: float, generator: np.random.Generator) -> tuple[Picture, Picture]:
    """Noise as what is added and what is taken away, larger than a frame by MARGIN."""
    shape = (HEIGHT + MARGIN, WIDTH + MARGIN, 3)
    colour = generator.standard_normal(shape, dtype=np.float32) * 0.6 * spread
    noise = colour + generator.standard_normal((*shape[:2], 1), dtype=np.float32) * 0.8 * spread
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)


def _moved(picture: Picture, generator: np.random.Generator) -> Picture:
    y, x = generator.integers(0, MARGIN, 2)
    return picture[y : y + HEIGHT, x : x + WIDTH]


def _streaks(generator: np.random.Generator) -> Picture:
    layer = np.zeros((HEIGHT + MARGIN, WIDTH + MARGIN), np.uint8)
    lean = generator.uniform(-0.25, 0.25)
    for _ in range(450):
        x, y, length = generator.uniform(0, WIDTH + MARGIN), generator.uniform(-20, HEIGHT + MARGIN), generator.uniform(5, 24)
        end = (int(x + lean * length), int(y + length))
        cv2.line(layer, (int(x), int(y)), end, int(generator.uniform(14, 62)), 1)
    softened: Picture = cv2.blur(layer, (2, 3))
    return softened


def _street_lamps(around: Surroundings, generator: np.random.Generator) -> Picture:
    """Light from street lamps and a faint sky as a byte a pixel and colour: pools that fade with distance."""
    rows = np.linspace(0, 1, HEIGHT)[:, None]
    columns = np.arange(WIDTH)[None]
    light = np.full((HEIGHT, WIDTH), generator.uniform(22, 44))
    for _ in range(int(generator.integers(2, 6))):
        x, y, wide = generator.uniform(0, WIDTH), generator.uniform(0.25, 0.9), generator.uniform(90, 220)
        light += generator.uniform(25, 70) * np.exp(-(((columns - x) / wide) ** 2) - ((rows - y) / 0.25) ** 2)
    light *= np.where(around.distance > 200, 0.5, 1.0)
    lamps: Picture = np.clip(light[..., None] * (1.0, 0.92, 0.78), 0, 255).astype(np.uint8)
    return lamps


def _glow(picture: Picture, drawn: Drawn, strength: float, extinction: float) -> Picture:
    """Add the glow of lamps that shine at the camera, made at a quarter of the size, and their bright middles."""
    glow = np.zeros((HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    for x, y, radius, head, distance in drawn.lamps:
        left = float(np.exp(-extinction * distance))
        colour = (255 * left, 246 * left, 214 * left) if head else (190 * left, 14 * left, 8 * left)
        cv2.circle(glow, (int(x / 4), int(y / 4)), max(1, int(radius * 0.45)), colour, -1)
    wide = cv2.add(cv2.GaussianBlur(glow, (0, 0), 1.5), cv2.GaussianBlur(glow, (0, 0), 5.0))
    if strength < 1:
        wide = cv2.convertScaleAbs(wide, alpha=strength)
    shining: Picture = cv2.add(picture, cv2.resize(wide, (WIDTH, HEIGHT)))
    return shining
