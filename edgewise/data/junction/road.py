"""The road of a junction, painted as a plan from above (8 px a metre) and seen through the camera.

Lanes, stop lines and middle are where the recorded network has them, so that vehicles drive in lanes. Marks wear off,
repairs and tar lie where the generator says. Far from the camera the plan is blurred first, against aliasing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.data.junction.camera import HEIGHT, WIDTH, Camera

SCALE, REACH = 8, 90  # px/m, m of the plan in each direction
LANE, LEFT, RIGHT, STOP = 3.3, -9.9, 6.6, 18.9  # m, of an arm seen from the middle
ARMS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # cosine and sine that turn the northern arm into each of the four

Picture = NDArray[np.uint8]


def grain(generator: np.random.Generator, height: int, width: int, sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of several grain sizes in px, each of unit spread."""
    total = np.zeros((height, width), np.float32)
    for size in sizes:
        small = generator.standard_normal((height // size + 2, width // size + 2), dtype=np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC if size > 1 else cv2.INTER_NEAREST)
    return total


def _at(x: float, y: float) -> tuple[int, int]:
    return round((x + REACH) * SCALE), round((REACH - y) * SCALE)


def _arm_marks(generator: np.random.Generator) -> Picture:
    """Marks of the northern arm as a mask over the plan."""
    marks = np.zeros((2 * REACH * SCALE,) * 2, np.uint8)

    def bar(x0: float, x1: float, y0: float, y1: float) -> None:
        cv2.rectangle(marks, _at(x0, y1), _at(x1, y0), 255, -1)

    bar(LEFT, 0, STOP, STOP + 0.5)
    solid = generator.uniform(15, 40)
    for x in (-2 * LANE, -LANE, LANE):
        bar(x - 0.08, x + 0.08, STOP, STOP + (solid if x < 0 else 0))
        for y in np.arange(STOP + solid, REACH, 9.0):
            bar(x - 0.08, x + 0.08, y, y + 3.0)
    for x in (-0.15, 0.15):
        bar(x - 0.07, x + 0.07, STOP, REACH)
    if generator.random() < 0.7:
        for x in np.arange(LEFT + 0.3, RIGHT, 1.0):
            bar(x, x + 0.5, STOP - 4.0, STOP - 1.0)
    for x in (-2.5 * LANE, -1.5 * LANE, -0.5 * LANE):
        for y in (STOP + 6, STOP + 26):
            bar(x - 0.1, x + 0.1, y, y + 2.6)
            cv2.fillConvexPoly(marks, np.array([_at(x, y - 1.4), _at(x - 0.55, y), _at(x + 0.55, y)]), 255)
    return marks


def _plan(generator: np.random.Generator) -> Picture:
    """The ground seen from above: asphalt, marks, wear, kerbs, pavements, and what lies behind them."""
    side = 2 * REACH * SCALE
    road = np.zeros((side, side), np.uint8)
    corner = [(RIGHT, STOP), (LEFT, STOP)]
    octagon = []
    for c, s in ARMS:
        octagon += [_at(x * c - y * s, x * s + y * c) for x, y in corner]
    cv2.fillPoly(road, [np.array(octagon)], 255)
    arm = np.zeros_like(road)
    cv2.rectangle(arm, _at(LEFT, REACH), _at(RIGHT, 0), 255, -1)
    marks = np.zeros_like(road)
    arm_marks = _arm_marks(generator)
    for turn in range(4):
        road |= np.rot90(arm, turn)
        marks |= np.rot90(arm_marks, turn)
    paved = cv2.dilate(road, np.ones((2 * int(generator.uniform(18, 36)) + 1,) * 2, np.uint8))
    kerb = cv2.dilate(road, np.ones((5, 5), np.uint8))
    asphalt, stone = generator.uniform(62, 118), generator.uniform(110, 165)
    behind = np.array([(96, 108, 74), (120, 118, 112), (104, 92, 76), (150, 146, 140)][generator.integers(4)], np.float32)
    rough = grain(generator, side, side, (1, 2, 16, 120))
    plan = np.empty((side, side, 3), np.float32)
    plan[:] = behind
    plan[paved > 0] = stone * generator.uniform(0.94, 1.06, 3)
    plan[kerb > 0] = min(stone * 1.2, 205)
    tint = generator.uniform(0.96, 1.04, 3)
    plan[road > 0] = asphalt * tint
    for _ in range(int(generator.integers(10, 40))):  # repairs: darker or lighter patches along the lanes
        x, y = generator.uniform(-80, 80, 2)
        w, h = generator.uniform(0.4, 6.0, 2)
        patch = plan[_at(0, y + h)[1] : _at(0, y)[1], _at(x, 0)[0] : _at(x + w, 0)[0]]
        patch *= generator.uniform(0.78, 1.12)
    for _ in range(int(generator.integers(5, 30))):  # cracks sealed with tar
        points = np.cumsum(generator.normal(0, 12, (12, 2)), axis=0) + generator.uniform(300, side - 300, 2)
        cv2.polylines(plan, [points.astype(np.int32)], False, (asphalt * 0.6,) * 3, 2)
    worn = np.clip(0.75 - 0.22 * rough, 0, generator.uniform(0.55, 1.0))[..., None] * (marks > 0)[..., None]
    plan = plan * (1 - worn) + np.float32(225) * worn
    plan += (rough * generator.uniform(2.5, 6.0))[..., None]
    painted: Picture = np.clip(plan, 0, 255).astype(np.uint8)
    return painted


def lay_road(picture: Picture, camera: Camera, generator: np.random.Generator) -> None:
    plan = _plan(generator)
    to_metres = np.array([[1 / SCALE, 0, -REACH], [0, -1 / SCALE, REACH], [0, 0, 1.0]])
    twice = np.diag([2.0, 2.0, 1.0]) @ camera.homography() @ to_metres
    below = np.isfinite(camera.ground())
    far = (camera.ground() > 45) & below
    for blurred, where in ((plan, below), (cv2.blur(plan, (7, 7)), far)):
        seen = cv2.warpPerspective(blurred, twice, (2 * WIDTH, 2 * HEIGHT), flags=cv2.INTER_LINEAR, borderValue=(118, 116, 112))
        picture[where] = cv2.resize(seen, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[where]
