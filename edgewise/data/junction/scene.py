"""A junction seen by a pole camera at any moment: recorded traffic, drawn, with exact boxes, masks, cuboids and occupied cells.

What counts as a vehicle: at least 48 visible pixels, 6 px wide and high, a quarter of its outline inside the frame and not
hidden by what is nearer, and not beyond the visibility of the air (contrast of 5 %). **Its box is the smallest that holds
its visible pixels**: clipped by the frame and by what hides it. Cells follow from boxes by the rule in `edgewise.data.boxes`.
Its keypoints are the eight corners of its cuboid, seen or not; they may lie outside the picture.

Seeds below 100 are for showing, 100–199 for testing, 200–299 for choosing, from 1000 on for training; their recorded traffic
is apart, and a seed decides camera, road, houses, paint and strength of the weather. Rendered frames are poorer in texture
than real ones and flatter every method: put a real clip beside each claim.
"""

from __future__ import annotations

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import ConfigError
from edgewise.data.boxes import occupied
from edgewise.data.junction.camera import HEIGHT, WIDTH, pole_camera
from edgewise.data.junction.recorded import NOBODY, Role, episode, episodes
from edgewise.data.junction.surroundings import surroundings
from edgewise.data.junction.vehicles import Fleet, draw, shadows
from edgewise.data.junction.weather import CONDITIONS, Atmosphere, Condition, weather


class Rendered(Struct, frozen=True):
    """One frame: picture (height, width, 3; RGB), boxes (n, 4; fractions), occupied cells (rows, columns), which vehicle each
    pixel shows (0: none), the number of each box in that mask, its distance (m), and the corners of its cuboid (n, 8, 2;
    fractions) in the order of `edgewise.data.junction.vehicles.cuboids`."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    cells: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    identity: NDArray[np.int64]
    distance: NDArray[np.float64]
    corners: NDArray[np.float64]


def role(seed: int) -> Role:
    """What a seed is for."""
    if seed < 0:
        raise ConfigError("a junction has no such seed", got=seed, allowed="0 or more")
    names: tuple[Role, ...] = ("show", "test", "validate")
    return names[seed // 100] if seed < 300 else "train"


class Junction:
    """A camera at a junction; `frame(t)` is a pure function of seed, condition and t (s).

    `empty` is the same camera, road and weather without a vehicle, as at four in the morning; `share` of the recorded vehicles,
    as at five.
    """

    def __init__(self, seed: int, condition: Condition = "clear", empty: bool = False, share: float = 1.0) -> None:
        generator = np.random.default_rng([seed, 1])
        numbers = episodes(role(seed))
        self.seed, self.empty, self.share = seed, empty, share
        self._episode = episode(numbers[seed // 4 % len(numbers)])
        self._start = float(generator.uniform(0, self._episode.seconds))
        self.camera = pole_camera(seed, generator)
        self._sun_height, self._sun_turn = generator.uniform(0.35, 1.2), generator.uniform(0, 2 * np.pi)
        self._around = surroundings(self.camera, generator)
        self.set_condition(condition)

    def set_condition(self, condition: Condition) -> None:
        """Change the weather and keep everything else."""
        if condition not in CONDITIONS:
            raise ConfigError("the junction knows no such condition", got=condition, allowed=", ".join(CONDITIONS))
        generator = np.random.default_rng([self.seed, 2, CONDITIONS.index(condition)])
        self.condition = condition
        self.weather = weather(condition, generator)
        flat = np.cos(self._sun_height)
        sun = np.array([flat * np.cos(self._sun_turn), flat * np.sin(self._sun_turn), np.sin(self._sun_height)])
        self._fleet = Fleet(self.seed, sun, self.weather.direct)
        self._air = Atmosphere(self.weather, self._around, generator)
        self._empty = np.dstack([self._around.picture, np.zeros((HEIGHT, WIDTH), np.uint8)])
        shade = 0.5 if self.weather.direct > 0.3 else 0.68
        self._shaded = cv2.convertScaleAbs(self._empty, alpha=shade)

    def frame(self, t: float) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]]:
        """Picture (360, 640, 3; RGB), boxes (n, 4; x0 y0 x1 y1 as fractions) and occupied cells (23, 40) at `t` seconds."""
        seen = self.render(t)
        return seen.image, seen.boxes, seen.cells

    def render(self, t: float) -> Rendered:
        """The frame at `t` with masks and distances."""
        traffic = NOBODY if self.empty else self._episode.at(self._start + t)
        if self.share < 1:
            traffic = traffic.thinned(self.share)
        canvas = self._empty.copy()
        shade = np.zeros((HEIGHT, WIDTH), np.uint8)
        shadows(shade, traffic, self._fleet, self.camera)
        cv2.copyTo(self._shaded, shade, canvas)
        drawn = draw(canvas, traffic, self._fleet, self.camera, self._around, self.weather.lit, self.weather.extinction)
        mask = cv2.extractChannel(canvas, 3)
        picture = cv2.blur(cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB), (2, 2))  # a lens is softer than a polygon
        noise = np.random.default_rng([self.seed, 3, int(t * 1000) % 2**32])
        image = self._air.apply(picture, drawn, mask, noise)
        distance = drawn.distance[drawn.identity - 1]
        return Rendered(image, drawn.boxes, occupied(drawn.boxes), mask, drawn.identity, distance, drawn.corners)
