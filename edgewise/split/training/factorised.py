"""A small picture codec with a factorised prior (Ballé et al. 2017): an Entropic Student behind which no network stands.

It stands in the place of a stretch that keeps the picture as it is, and learns to give back the picture: with the prior and the
ladder of the students, D + β·R is the mean squared error, relative to the pictures' variance, and bits for each pixel. For a map
of at least COARSE pixels:

    encoder   conv 5 s2 3→W, GDN1, conv 5 s2 W→W, GDN1, conv 5 s2 W→W, GDN1, conv 5 s2 W→C                    stride 16
    decoder   up C→W, IGDN1, up W→W, IGDN1, up W→W, IGDN1, up W→3            up: conv 3 to four times as many, depth to space

Smaller maps get two halvings, one above the other. Published widths are 128 and 192 with transposed convolutions; ours are for
pictures of 128 × 128 and an hour of one core. Borders: a picture whose sides no stride divides is padded by who encodes it.

It is a baseline: what a codec that knows nothing of the task needs, trained with as much effort as a codec that knows it.
"""

from __future__ import annotations

import math

from torch import nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.split.training.entropic import GDN1

WIDTH = 48
COARSE, DEEP, SHALLOW = 64, 4, 2  # rows from which on the map is halved so many times


def factorised(geometry: Geometry, channels: int = 96, wide: float = 1.0) -> Split:
    """Encoder and decoder of pictures; `wide` multiplies W. ModelError where the stretch does not keep the map's shape."""
    if geometry.inside != geometry.outside:
        raise ModelError(
            "a picture codec gives back what it takes",
            got=f"{geometry.inside} in, {geometry.outside} out",
            allowed="a stretch that keeps its map as it is",
        )
    inside, width = geometry.inside[0], max(1, round(WIDTH * wide))
    count = halvings(geometry.inside[1:])
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for i in range(count):
        last = i + 1 == count
        down += [nn.Conv2d(width if i else inside, channels if last else width, 5, 2, 2)]
        down += [] if last else [GDN1(width)]
        up += [_larger(width if i else channels, inside if last else width)]
        up += [] if last else [GDN1(width, inverse=True)]
    return Split(nn.Sequential(*down), nn.Sequential(*up))


def halvings(sides: tuple[int, int]) -> int:
    """How many times a map of those rows and columns is halved; ModelError where it cannot be."""
    count = DEEP if min(sides) >= COARSE else SHALLOW
    if math.gcd(*sides) % (1 << count):
        raise ModelError("a picture cannot be halved so often", got=sides, allowed=f"multiples of {1 << count}")
    return count


def _larger(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, 4 * outside, 3, padding=1), nn.PixelShuffle(2))
