"""Cuboids of vehicles: their corners hold what is drawn, keep their order, and are mirrored as a mirror would."""

import numpy as np

from edgewise.data.junction import Junction
from edgewise.data.junction.recorded import NOBODY, Traffic
from edgewise.data.junction.vehicles import CORNERS_MIRRORED, SIZES, cuboids

TRAFFIC = Traffic(np.arange(3), np.array([0, 2, 3]), np.array([(1.0, 2.0), (-5.0, 0.0), (0.0, 9.0)]), np.array([0.0, 1.0, -2.5]))


def test_a_cuboid_has_the_sides_of_its_kind_and_stands_on_the_road_where_the_vehicle_is():
    corners = cuboids(TRAFFIC)
    rear_right, front_right, front_left, rear_left = (corners[:, i] for i in range(4))
    for kind, i in zip(TRAFFIC.kind, range(3)):
        length, width, height = SIZES[kind]
        assert np.isclose(np.linalg.norm(front_right - rear_right, axis=1)[i], length)
        assert np.isclose(np.linalg.norm(front_left - front_right, axis=1)[i], width)
        assert np.allclose(corners[i, 4:] - corners[i, :4], (0, 0, height))
    assert np.allclose(corners.mean(1)[:, :2], TRAFFIC.centre) and not corners[:, :4, 2].any()
    ahead = (front_right + front_left - rear_right - rear_left)[:, :2]
    assert np.allclose(np.arctan2(ahead[:, 1], ahead[:, 0]), TRAFFIC.heading)
    assert cuboids(NOBODY).shape == (0, 8, 3)


def test_a_mirror_swaps_left_and_right():
    mirrored = Traffic(TRAFFIC.identity, TRAFFIC.kind, TRAFFIC.centre * (-1, 1), np.pi - TRAFFIC.heading)
    assert np.allclose(cuboids(mirrored), cuboids(TRAFFIC)[:, list(CORNERS_MIRRORED)] * (-1, 1, 1))


def test_visible_pixels_lie_among_the_corners_of_their_cuboid():
    found = 0
    for seed in (100, 102, 105):
        seen = Junction(seed).render(3.0)
        for corners, number in zip(seen.corners * (640, 360), seen.identity):
            rows, columns = np.nonzero(seen.mask == number)
            low, high = corners.min(0) - 1.5, corners.max(0) + 1.5
            assert (columns >= low[0]).all() and (columns <= high[0]).all() and (rows >= low[1]).all() and (rows <= high[1]).all()
            found += 1
    assert found > 10
