"""Everything that stands still at a junction: road, houses, trees, sky, and poles in front of the camera.

Houses are flat fronts along the arms; trees are flat pictures turned to the camera. Drawn once a camera; a frame only
copies it. `distance` holds metres from the camera for every pixel, which fog needs.
"""

from __future__ import annotations

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.data.junction.camera import HEIGHT, NEAR, WIDTH, Camera
from edgewise.data.junction.road import ARMS, LEFT, RIGHT, STOP, Picture, grain, lay_road

FAR = 250.0  # m: where sky and skyline are said to be


class Surroundings(Struct, frozen=True):
    """`picture` (height, width, 3), `distance` (height, width; m), and what hides
    vehicles: `front` (height, width, 4; the last channel 0) where `hides` is 255."""

    picture: Picture
    distance: NDArray[np.float32]
    front: Picture
    hides: Picture


def surroundings(camera: Camera, generator: np.random.Generator) -> Surroundings:
    picture = _sky(generator)
    distance = np.minimum(camera.ground(), FAR).astype(np.float32)
    lay_road(picture, camera, generator)
    _skyline(picture, camera, generator)
    for flat in sorted(_houses(camera, generator) + _trees(camera, generator), key=lambda f: -f.distance):
        _paste(picture, distance, flat)
    front, hides = _front(generator)
    return Surroundings(picture, distance, front, hides)


def _sky(generator: np.random.Generator) -> Picture:
    top = np.array([(150, 178, 214), (190, 196, 204), (206, 208, 212), (120, 156, 206)][generator.integers(4)], np.float32)
    low = np.minimum(top * 1.12 + 10, 250)
    ramp = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    clouds = grain(generator, HEIGHT, WIDTH, (90, 40))[..., None] * generator.uniform(2, 9)
    sky: Picture = np.clip(top * (1 - ramp) + low * ramp + clouds, 0, 255).astype(np.uint8)
    return sky


def _skyline(picture: Picture, camera: Camera, generator: np.random.Generator) -> None:
    above = ~np.isfinite(camera.ground())
    horizon = int(np.argmin(above.any(1))) if above.any() else 0
    x = 0
    while x < WIDTH:
        width, height = int(generator.uniform(15, 80)), int(generator.uniform(4, 34))
        colour = generator.uniform(85, 165) * generator.uniform(0.93, 1.07, 3)
        cv2.rectangle(picture, (x, horizon - height), (x + width, horizon + 2), colour.tolist(), -1)
        x += width


class Flat(Struct, frozen=True):
    """A texture `distance` m away on a quad of pixels (4, 2; clockwise from its upper left), opaque where `cover` is 255."""

    distance: float
    texture: Picture
    quad: NDArray[np.float64]
    cover: Picture | None = None


def _front_of_house(generator: np.random.Generator, length: float, height: float) -> Picture:
    """A house front, 12 px a metre: wall, floors of windows, shops at street level."""
    rows, columns = max(int(height * 12), 24), max(int(length * 12), 24)
    wall = generator.uniform(95, 205) * generator.uniform(0.9, 1.08, 3)
    front = np.clip(wall + grain(generator, rows, columns, (2, 30))[..., None] * 3, 0, 255).astype(np.uint8)
    storey, bay = int(generator.uniform(32, 46)), int(generator.uniform(20, 44))
    glass = generator.uniform(40, 110) * generator.uniform(0.95, 1.12, 3)
    band = generator.random() < 0.3
    for top in range(8, rows - 50, storey):
        for left in range(6, columns - 8, bay):
            right = left + bay if band else left + int(bay * 0.6)
            shade = glass * generator.uniform(0.7, 1.3)
            cv2.rectangle(front, (left, top), (right, top + int(storey * 0.6)), np.clip(shade, 0, 255).tolist(), -1)
    shop = int(generator.uniform(60, 120))
    for left in range(4, columns - 20, shop):
        colour = generator.uniform(20, 200, 3) if generator.random() < 0.4 else glass * 0.6
        cv2.rectangle(front, (left, rows - 38), (left + shop - 12, rows - 4), np.clip(colour, 0, 255).tolist(), -1)
    return front


def _houses(camera: Camera, generator: np.random.Generator) -> list[Flat]:
    found: list[Flat] = []
    setback = generator.uniform(4.0, 14.0)
    for c, s in ARMS:
        for x in (LEFT - setback, RIGHT + setback):
            y = STOP + generator.uniform(0, 8)
            while y < 105:
                length, height = generator.uniform(9, 26), generator.uniform(6, 20)
                if generator.random() < 0.85:
                    feet = np.array([(x * c - v * s, x * s + v * c) for v in (y, y + length)])
                    quad = np.array([(*feet[0], height), (*feet[1], height), (*feet[1], 0.0), (*feet[0], 0.0)])
                    pixels, depth = camera.project(quad)
                    if depth.min() > NEAR and pixels[:, 0].min() < WIDTH and pixels[:, 0].max() > 0:
                        away = float(np.linalg.norm(quad.mean(0) - camera.position))
                        found.append(Flat(away, _front_of_house(generator, length, height), pixels))
                y += length + generator.uniform(0, 4)
    return found


def _trees(camera: Camera, generator: np.random.Generator) -> list[Flat]:
    """Trees as flat pictures turned to the camera, behind the pavement."""
    found: list[Flat] = []
    for _ in range(int(generator.integers(0, 22))):
        turn, side = generator.integers(4), generator.integers(2)
        c, s = ARMS[turn]
        x, y = (LEFT - 3.2, RIGHT + 3.2)[side], generator.uniform(22, 100)
        foot = np.array((x * c - y * s, x * s + y * c, 0.0))
        height = generator.uniform(5, 10)
        half = camera.axes[0] * height * 0.32
        up = np.array((0, 0, height))
        quad = np.array([foot - half + up, foot + half + up, foot + half, foot - half])
        pixels, depth = camera.project(quad)
        if depth.min() < 12:
            continue
        texture, cover = np.zeros((96, 64, 3), np.uint8), np.zeros((96, 64), np.uint8)
        leaf = np.array([(58, 78, 40), (84, 96, 52), (92, 80, 60), (44, 60, 40)][generator.integers(4)], float)
        texture[:] = (66, 56, 46)
        cv2.rectangle(cover, (30, 50), (33, 96), 255, -1)
        for _ in range(int(generator.integers(25, 70))):
            u, v = generator.normal(32, 12), generator.normal(32, 14)
            radius, centre = int(generator.uniform(3, 8)), (int(np.clip(u, 6, 58)), int(np.clip(v, 6, 62)))
            cv2.circle(texture, centre, radius, np.clip(leaf * generator.uniform(0.6, 1.4), 0, 255).tolist(), -1)
            cv2.circle(cover, centre, radius, 255, -1)
        found.append(Flat(float(depth.mean()), texture, pixels, cover))
    return found


def _paste(picture: Picture, distance: NDArray[np.float32], flat: Flat) -> None:
    """Draw one flat thing over what is farther away."""
    rows, columns = flat.texture.shape[:2]
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
    low = np.floor(np.clip(flat.quad.min(0) - 1, 0, (WIDTH, HEIGHT))).astype(int)
    high = np.ceil(np.clip(flat.quad.max(0) + 1, 0, (WIDTH, HEIGHT))).astype(int)
    size = high - low
    if size.min() <= 0:
        return
    shape = (int(size[0]), int(size[1]))
    warp = cv2.getPerspectiveTransform(corners, (flat.quad - low).astype(np.float32))
    smaller = min(1.0, 1.5 * np.ptp(flat.quad[:, 0]) / columns)
    texture = cv2.GaussianBlur(flat.texture, (0, 0), 0.4 / smaller) if smaller < 0.8 else flat.texture
    opaque = np.full((rows, columns), 255, np.uint8) if flat.cover is None else flat.cover
    seen = cv2.warpPerspective(texture, warp, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    where = cv2.warpPerspective(opaque, warp, shape, flags=cv2.INTER_LINEAR) > 127
    region = (slice(low[1], high[1]), slice(low[0], high[0]))
    picture[region][where] = seen[where]
    distance[region][where] = flat.distance


def _front(generator: np.random.Generator) -> tuple[Picture, Picture]:
    """What stands between camera and road: poles with a signal, twigs at an edge; half of the cameras have none."""
    front, hides = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(int(generator.integers(0, 3))):
        x, width, grey = int(generator.uniform(0, WIDTH)), int(generator.integers(3, 8)), generator.uniform(40, 120)
        top = int(generator.uniform(0, 160))
        for layer, colour in ((front, (grey,) * 3), (hides, 255)):
            cv2.rectangle(layer, (x, top), (x + width, HEIGHT), colour, -1)
            cv2.rectangle(layer, (x - 6, top), (x + width + 6, top + 34), (20, 22, 20) if layer is front else 255, -1)
        for lamp, colour in enumerate([(120, 20, 16), (90, 70, 10), (16, 110, 50)]):
            cv2.circle(front, (x + width // 2, top + 7 + 10 * lamp), 4, colour, -1)
    if generator.random() < 0.25:
        edge = int(generator.choice([0, WIDTH]))
        leaf = generator.uniform(20, 70) * np.array((0.9, 1.1, 0.8))
        for _ in range(200):
            x, y = int(edge + generator.normal(0, 34)), int(generator.uniform(60, HEIGHT))
            size = (int(generator.integers(2, 12)), int(generator.integers(1, 5)))
            turn = generator.uniform(0, 180)
            cv2.ellipse(front, (x, y), size, turn, 0, 360, (leaf * generator.uniform(0.5, 1.5)).tolist(), -1)
            cv2.ellipse(hides, (x, y), size, turn, 0, 360, 255, -1)
    return np.dstack([front, np.zeros_like(hides)]), hides
