"""Vehicles as cuboids with cabin, windows, lamps and shadow, drawn far to near into a picture that carries their identity.

A kind is a list of quads in its own coordinates (x forward, y left, z up, m; the origin on the road under its middle). A
quad is seen when its corners turn clockwise in the picture. The canvas has four channels: red, green, blue, and which
vehicle was drawn last (0: none), so that masks and what hides what come free with the drawing. One vehicle has one depth.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.data.junction.camera import HEIGHT, NEAR, WIDTH, Camera
from edgewise.data.junction.recorded import Traffic
from edgewise.data.junction.surroundings import Surroundings

Quad = NDArray[np.float64]  # (4, 3)
KINDS = ("car", "van", "bus", "lorry")
SIZES = ((4.4, 1.8, 1.5), (5.4, 2.0, 2.3), (12.0, 2.55, 3.1), (8.6, 2.5, 3.4))  # length, width, height in m
PAINT, GLASS, DARK, CARGO, HEAD, TAIL = range(6)
FAINT = 0.05  # Contrast below which nothing is seen: the visibility limit of Koschmieder's law
CORNERS_MIRRORED = (3, 2, 1, 0, 7, 6, 5, 4)  # which corner of `cuboids` is where, once left and right are swapped
_CORNERS = np.array([(x, y, z) for z in (0, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], float)
SHIFT = 2  # Sub-pixel bits of OpenCV's polygons
_PAINTS = np.array(
    [
        *[(235, 236, 238), (214, 216, 218), (160, 164, 168), (96, 99, 104), (44, 46, 50), (24, 25, 28), (30, 44, 84)],
        *[(52, 88, 150), (140, 24, 28), (176, 44, 36), (206, 116, 32), (196, 176, 120), (40, 74, 52), (88, 66, 50)],
        *[(222, 190, 40), (120, 132, 150)],
    ],
    float,
)


class Drawn(Struct, frozen=True):
    """Vehicles in the picture: index into the traffic, box of the visible pixels (n, 4; fractions), identity in the mask,
    distance (m), lamps as (x, y, radius in px, 1 for a headlamp, distance) of those that shine at the camera, corners of the
    cuboids (n, 8, 2; fractions) in the order of `cuboids`."""

    index: NDArray[np.int64]
    boxes: NDArray[np.float64]
    identity: NDArray[np.int64]
    distance: NDArray[np.float64]
    lamps: NDArray[np.float64]
    corners: NDArray[np.float64]


def _block(back: float, front: float, width: float, low: float, high: float, slope: tuple[float, float, float]) -> list[Quad]:
    """A frustum: its top is shorter by `slope` (behind, in front, at each side). Order: top, front, back, left, right."""
    half, top = width / 2, width / 2 - slope[2]
    base = np.array([(back, -half, low), (front, -half, low), (front, half, low), (back, half, low)])
    roof = np.array(
        [
            (back + slope[0], -top, high),
            (front - slope[1], -top, high),
            (front - slope[1], top, high),
            (back + slope[0], top, high),
        ]
    )
    sides = [[1, 2], [3, 0], [2, 3], [0, 1]]
    return [roof, *(np.array([base[i], base[j], roof[j], roof[i]]) for i, j in sides)]


def _inset(quad: Quad, left: float, right: float, low: float, high: float) -> Quad:
    """A window in a quad, its edges given as fractions of the quad's own."""

    def at(u: float, v: float) -> NDArray[np.float64]:
        lower, upper = quad[0] * (1 - u) + quad[1] * u, quad[3] * (1 - u) + quad[2] * u
        point: NDArray[np.float64] = lower * (1 - v) + upper * v
        return point

    return np.array([at(left, low), at(right, low), at(right, high), at(left, high)])


@lru_cache(maxsize=1)
def _shapes() -> tuple[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], ...]:
    """For each kind: quads (q, 4, 3), what each is made of (q), and outward normals (q, 3)."""
    built = []
    for kind, (length, width, height) in zip(KINDS, SIZES):
        end = length / 2
        quads: list[tuple[Quad, int]] = []
        under = _block(-end + 0.1, end - 0.1, width - 0.15, 0.08, 0.4, (0, 0, 0))
        quads += [(q, DARK) for q in under[1:]]
        if kind == "car":
            body = _block(-end, end, width, 0.32, 0.92, (0.06, 0.14, 0.05))
            cabin = _block(-end + 0.35, end - 1.05, width - 0.12, 0.92, height, (0.5, 0.75, 0.2))
            quads += [(q, PAINT) for q in body] + [(q, PAINT) for q in cabin]
            windows = [_inset(cabin[i], 0.07, 0.93, 0.1, 0.9) for i in (1, 2, 3, 4)]
        elif kind == "van":
            body = _block(-end, end, width, 0.32, 1.15, (0.0, 0.15, 0.03))
            cabin = _block(-end, end - 0.75, width - 0.06, 1.15, height, (0.08, 0.7, 0.12))
            quads += [(q, PAINT) for q in body] + [(q, PAINT) for q in cabin]
            windows = [_inset(cabin[1], 0.06, 0.94, 0.05, 0.75), _inset(cabin[2], 0.1, 0.9, 0.3, 0.8)]
            windows += [_inset(cabin[3], 0.06, 0.3, 0.1, 0.75), _inset(cabin[4], 0.7, 0.94, 0.1, 0.75)]
        elif kind == "bus":
            body = _block(-end, end, width, 0.32, height, (0.05, 0.2, 0.06))
            quads += [(q, PAINT) for q in body]
            windows = [_inset(body[1], 0.06, 0.94, 0.35, 0.85), _inset(body[2], 0.12, 0.88, 0.5, 0.85)]
            windows += [_inset(body[i], 0.03 + 0.16 * j, 0.03 + 0.16 * j + 0.14, 0.45, 0.85) for i in (3, 4) for j in range(6)]
        else:
            body = _block(end - 2.0, end, width - 0.1, 0.32, 2.7, (0.1, 0.3, 0.05))
            hold = _block(-end, end - 2.2, width, 0.85, height, (0.0, 0.0, 0.0))
            quads += [(q, CARGO) for q in hold] + [(q, PAINT) for q in body]
            windows = [_inset(body[1], 0.06, 0.94, 0.5, 0.88), _inset(body[3], 0.2, 0.8, 0.5, 0.85)]
            windows += [_inset(body[4], 0.2, 0.8, 0.5, 0.85)]
        quads += [(w, GLASS) for w in windows]
        for x in (-0.31 * length, 0.31 * length):  # wheels, as dark squares on the sides
            for y, way in ((half := width / 2 + 0.02, -0.34), (-half, 0.34)):
                quads.append((np.array([(x - way, y, 0), (x + way, y, 0), (x + way, y, 0.66), (x - way, y, 0.66)]), DARK))
        front, back = (body[1], body[2] if kind != "lorry" else hold[2])
        lamp = (0.2, 0.6) if kind in ("car", "van") else (0.06, 0.16)
        for left in (0.03, 0.79):
            quads += [(_inset(front, left, left + 0.18, *lamp), HEAD), (_inset(back, left, left + 0.18, *lamp), TAIL)]
        corners = np.array([q for q, _ in quads])
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        built.append((corners, np.array([m for _, m in quads]), normal))
    return tuple(built)


class Fleet(Struct, frozen=True):
    """What a seed decides of all vehicles: paint by identity, and the sun (unit vector towards it, its share of the light)."""

    seed: int
    sun: NDArray[np.float64]
    direct: float

    def paint(self, traffic: Traffic) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Paint and cargo colours (n, 3) of the vehicles, the same for an identity at every moment."""
        mixed = (traffic.identity * 2654435761 + self.seed * 40503 + 12345) % 2**32
        shade = 0.85 + 0.3 * ((mixed >> 9) % 97 / 96)[:, None]
        paint = _PAINTS[(mixed >> 4) % len(_PAINTS)] * shade
        cargo = np.where(((mixed >> 18) % 3 > 0)[:, None], 205.0, _PAINTS[(mixed >> 13) % len(_PAINTS)])
        return np.minimum(paint, 245), cargo


def shadows(mask: NDArray[np.uint8], traffic: Traffic, fleet: Fleet, camera: Camera) -> None:
    """Mark in `mask` what lies in the vehicles' shadows: under each one, drawn out away from the sun."""
    reach = -fleet.sun[:2] / fleet.sun[2] if fleet.direct > 0.3 else np.zeros(2)
    for kind, centre, heading in zip(traffic.kind, traffic.centre, traffic.heading):
        length, width, height = SIZES[kind]
        axes = np.array([[np.cos(heading), np.sin(heading)], [-np.sin(heading), np.cos(heading)]])
        corners = centre + np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * (length / 2 + 0.15, width / 2 + 0.15) @ axes
        points = np.concatenate([corners, corners + reach * height * 0.85])
        pixels, depth = camera.project(np.column_stack([points, np.zeros(8)]))
        if depth.min() > NEAR:
            hull = cv2.convexHull(np.clip(pixels, -2000, 4000).astype(np.float32))
            cv2.fillConvexPoly(mask, np.round(hull[:, 0]).astype(np.int32), 255)


def draw(
    canvas: NDArray[np.uint8],
    traffic: Traffic,
    fleet: Fleet,
    camera: Camera,
    around: Surroundings,
    lit: bool,
    extinction: float,
) -> Drawn:
    """Draw `traffic` into `canvas` (height, width, 4) and say what can be seen of it.

    `extinction` (1/m) of the air decides with FAINT which distant vehicles can be seen at all.
    """
    paint, cargo = fleet.paint(traffic)
    offset = np.column_stack([traffic.centre, np.zeros(len(traffic.kind))]) - camera.position
    distance = np.linalg.norm(offset, axis=1)
    depth = offset @ camera.axes[2]
    chosen = [i for i in np.argsort(-distance) if depth[i] > NEAR and distance[i] < 130][-254:]
    boxes, kept, lamps = [], [], []
    outlines = []
    for number, i in enumerate(chosen, start=1):
        outline, shining = _draw_one(canvas, traffic, i, number, paint[i], cargo[i], fleet, camera, lit)
        outlines.append(outline)
        lamps += [(*lamp, number) for lamp in shining]
    cv2.copyTo(around.front, around.hides, canvas)
    identities = canvas[..., 3]
    for number, (i, outline) in enumerate(zip(chosen, outlines), start=1):
        box = _visible(identities, number, outline)
        if box is not None and np.exp(-extinction * distance[i]) >= FAINT:
            boxes.append(box)
            kept.append((i, number))
    shown = [(*lamp[:4], distance[chosen[lamp[4] - 1]]) for lamp in lamps if identities[int(lamp[1]), int(lamp[0])] == lamp[4]]
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    corners, _ = camera.project(cuboids(traffic)[pairs[:, 0]])
    lamps_seen = np.array(shown, float).reshape(-1, 5)
    return Drawn(
        pairs[:, 0], np.array(boxes).reshape(-1, 4), pairs[:, 1], distance[chosen], lamps_seen, corners / (WIDTH, HEIGHT)
    )


def cuboids(traffic: Traffic) -> NDArray[np.float64]:
    """The corners of each vehicle's bounding cuboid in m (n, 8, 3): rear right, front right, front left, rear left on the
    road, then the same four at its full height. CORNERS_MIRRORED is their order in a mirrored picture."""
    length, width, height = np.array(SIZES)[traffic.kind].T[..., None]  # each (n, 1)
    along = length / 2 * _CORNERS[:, 0]  # (n, 8)
    across = width / 2 * _CORNERS[:, 1]
    cosine, sine = np.cos(traffic.heading)[:, None], np.sin(traffic.heading)[:, None]
    x = traffic.centre[:, :1] + along * cosine - across * sine
    y = traffic.centre[:, 1:] + along * sine + across * cosine
    return np.stack([x, y, height * _CORNERS[:, 2]], axis=-1)


def _draw_one(
    canvas: NDArray[np.uint8],
    traffic: Traffic,
    i: int,
    number: int,
    paint: NDArray[np.float64],
    cargo: NDArray[np.float64],
    fleet: Fleet,
    camera: Camera,
    lit: bool,
) -> tuple[NDArray[np.float64] | None, list[tuple[float, float, float, float]]]:
    """Draw one vehicle; give its outline (x0, y0, x1, y1 in px) or None where it is out of the picture, and its lamps."""
    corners, made, normal = _shapes()[traffic.kind[i]]
    cosine, sine = np.cos(traffic.heading[i]), np.sin(traffic.heading[i])
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1.0]])
    pixels, depth = camera.project(corners @ turn + (*traffic.centre[i], 0.0))
    if depth.min() <= NEAR:
        return None, []
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    if high[0] <= 0 or high[1] <= 0 or low[0] >= WIDTH or low[1] >= HEIGHT:
        return None, []
    across = pixels - pixels[:, :1]
    area = across[:, 1, 0] * across[:, 2, 1] - across[:, 1, 1] * across[:, 2, 0]
    area += across[:, 2, 0] * across[:, 3, 1] - across[:, 2, 1] * across[:, 3, 0]
    seen = np.flatnonzero(area < -1.0)  # outward quads turn the other way, for the picture's y points down
    light = 0.62 + 0.12 * normal[seen, 2] + fleet.direct * np.clip((normal[seen] @ turn) @ fleet.sun, 0, 1) * 0.55
    colours = np.array([paint, (38, 44, 52), (22, 22, 24), cargo, (215, 215, 205), (150, 24, 20)])[made[seen]] * light[:, None]
    if lit:
        colours[made[seen] == HEAD] = 255
        colours[made[seen] == TAIL] = (255, 40, 30)
    fixed = np.round(pixels[seen] * (1 << SHIFT)).astype(np.int32)
    for quad, (red, green, blue) in zip(fixed, np.clip(colours, 0, 255)):
        cv2.fillConvexPoly(canvas, quad, (red, green, blue, number), cv2.LINE_8, SHIFT)
    lamps = []
    for q in seen[made[seen] >= HEAD]:
        x, y = pixels[q].mean(0)
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            lamps.append((x, y, float(np.sqrt(-area[q]) / 2), float(made[q] == HEAD)))
    return np.array([*low, *high]), lamps


def _visible(
    identities: NDArray[np.uint8], number: int, outline: NDArray[np.float64] | None
) -> tuple[float, float, float, float] | None:
    """The box of a vehicle's visible pixels, or None for one that is hidden or too small to count.

    Counted: at least 48 visible pixels, 6 px high and wide, and a quarter of its outline within the frame not hidden.
    """
    if outline is None:
        return None
    x0, y0 = max(int(outline[0]), 0), max(int(outline[1]), 0)
    x1, y1 = min(int(outline[2]) + 2, WIDTH), min(int(outline[3]) + 2, HEIGHT)
    own = identities[y0:y1, x0:x1] == number
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    if not len(rows):
        return None
    visible = int(own.sum())
    whole = (x1 - x0) * (y1 - y0) * 0.6  # a vehicle fills about six tenths of its box
    if visible < max(48, whole / 4) or len(rows) < 6 or len(columns) < 6:
        return None
    box = (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)
    return box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT
