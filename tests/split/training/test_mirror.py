"""The mirror: it rebuilds what is there, and its measures are right."""

from __future__ import annotations

import numpy as np

from edgewise.split.training.mirror import Mirror, jpeg_within, psnr, rebuilt, reflect, ssim


def patches(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 4 × 6 grey tiles of 8 px, and a bottleneck that holds the tiles."""
    tiles = generator.random((n, 1, 4, 6)).astype(np.float32)
    pictures = (np.kron(tiles[:, 0, :, :, None], np.ones((1, 8, 8, 3))) * 255).astype(np.uint8)
    return tiles, pictures


def test_it_learns_the_way_back_from_what_the_bottleneck_holds() -> None:
    net = reflect(lambda number: patches(np.random.default_rng(number), 8), 60)
    tiles, pictures = patches(np.random.default_rng(1000), 4)
    constant = np.full_like(pictures, 127)
    empty = rebuilt(net, np.zeros_like(tiles))
    assert psnr(rebuilt(net, tiles), pictures).mean() > psnr(constant, pictures).mean() + 3
    assert psnr(empty, pictures).mean() < psnr(constant, pictures).mean() + 1


def test_any_size_comes_out_whole() -> None:
    for rows, columns in ((180, 320), (23, 40), (50, 81)):
        assert rebuilt(Mirror((8, 23, 40), rows, columns).eval(), np.zeros((2, 8, 23, 40), np.float32)).shape == (
            2,
            rows,
            columns,
            3,
        )


def test_measures() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), np.uint8)
    assert np.allclose(psnr(np.full_like(picture, 10), np.full_like(picture, 15)), 20 * np.log10(255 / 5))
    assert np.allclose(ssim(picture, picture), 1)
    assert np.all(ssim(picture, picture[::-1]) < 0.1)


def test_a_jpeg_within_bytes() -> None:
    y, x = np.mgrid[:90, :160]
    picture = np.stack([x + y, 2 * y, 255 - x], 2).astype(np.uint8)
    near, size = jpeg_within(picture, 1500)
    rough, smaller = jpeg_within(picture, 700)
    assert size <= 1500 and smaller <= 700
    assert psnr(near[None], picture[None])[0] >= psnr(rough[None], picture[None])[0]
