"""The pinhole: projection, rays and homography agree with each other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.data.junction.camera import HEIGHT, WIDTH, pole_camera


@given(st.integers(0, 5000))
@settings(max_examples=30, deadline=None)
def test_a_pixel_of_the_road_projects_back_to_itself(seed):
    camera = pole_camera(seed, np.random.default_rng(seed))
    rays, distance = camera.rays(), camera.ground()
    row, column = HEIGHT - 30, WIDTH // 3
    ray = rays[row, column]
    point = camera.position + ray / np.linalg.norm(ray) * distance[row, column]
    assert abs(point[2]) < 1e-6
    pixels, depth = camera.project(point)
    assert depth > 0 and np.allclose(pixels, (column + 0.5, row + 0.5), atol=1e-6)
    homogeneous = camera.homography() @ (point[0], point[1], 1)
    assert np.allclose(homogeneous[:2] / homogeneous[2], pixels, atol=1e-6)


def test_axes_are_a_rotation_and_neighbouring_seeds_watch_other_arms():
    cameras = [pole_camera(seed, np.random.default_rng(seed)) for seed in range(4)]
    for camera in cameras:
        assert np.allclose(camera.axes @ camera.axes.T, np.eye(3))
        assert np.isclose(np.linalg.det(camera.axes), 1)
    assert len({camera.approach for camera in cameras}) == 4
