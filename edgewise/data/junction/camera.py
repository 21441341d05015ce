"""A pole camera at a junction: where it stands, what it looks at, and the pinhole that maps metres to pixels.

| symbol | name | unit |
|---|---|---|
| f | focal | px |
| p | position (x east, y north, z up) | m |
| R | axes: rows right, down, forward | – |

No lens distortion, no rolling shutter: pole cameras have both, slightly.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.data.boxes import FRAME

WIDTH, HEIGHT = FRAME
APPROACHES = ("north", "east", "south", "west")
NEAR = 1.5  # m in front of the camera; nothing closer is drawn


class Camera(Struct, frozen=True):
    """`approach` names the arm that the camera watches."""

    approach: str
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    focal: float

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (…, 2) and depth along the axis in m (…) of points (…, 3); behind the camera the depth is negative."""
        seen = (points - self.position) @ self.axes.T
        depth = seen[..., 2]
        safe = np.where(depth > NEAR, depth, NEAR)
        pixels = seen[..., :2] * (self.focal / safe)[..., None] + (WIDTH / 2, HEIGHT / 2)
        return pixels, depth

    def rays(self) -> NDArray[np.float64]:
        """Direction of each pixel's ray (height, width, 3), of length 1 along the camera's axis."""
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
        return np.stack([x / self.focal, y / self.focal, np.ones_like(x)], axis=-1) @ self.axes

    def ground(self) -> NDArray[np.float64]:
        """Distance in m at which each pixel's ray meets the road (height, width); infinite above the horizon."""
        rays = self.rays()
        down = -rays[..., 2]
        along = np.where(down > 1e-4, self.position[2] / np.maximum(down, 1e-4), np.inf)
        distance: NDArray[np.float64] = along * np.linalg.norm(rays, axis=-1)
        return distance

    def homography(self) -> NDArray[np.float64]:
        """(3, 3): road plane (x, y, 1) in m to homogeneous pixels."""
        intrinsic = np.array([[self.focal, 0, WIDTH / 2], [0, self.focal, HEIGHT / 2], [0, 0, 1.0]])
        columns = np.column_stack([self.axes[:, 0], self.axes[:, 1], -self.axes @ self.position])
        found: NDArray[np.float64] = intrinsic @ columns
        return found


def pole_camera(seed: int, generator: np.random.Generator) -> Camera:
    """A camera on a pole of the far side, looking over the junction into an approach; neighbouring seeds watch others."""
    approach = seed % len(APPROACHES)
    turn = -np.pi / 2 * approach
    height = generator.uniform(5.5, 10.0)
    stand = np.array([generator.uniform(-13.0, 10.0), generator.uniform(-17.0, 8.0), height])
    target = np.array([generator.uniform(-7.0, 1.0), stand[1] + generator.uniform(20.0, 36.0), generator.uniform(0.0, 1.0)])
    focal = WIDTH / 2 / np.tan(np.radians(generator.uniform(46.0, 70.0)) / 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    return look(APPROACHES[approach], rotation @ stand, rotation @ target, float(focal), generator.normal(0, 0.012))


def look(approach: str, position: NDArray[np.float64], target: NDArray[np.float64], focal: float, roll: float = 0.0) -> Camera:
    """A camera at `position` whose axis goes through `target`, rolled by `roll` (rad)."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    right, down = right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll)
    return Camera(approach, position, np.stack([right, down, forward]), focal)
