"""BottleFit's bottleneck (paper 8; `custom/model.py`, "ver 2"): it takes the place of a network's whole front.

    encoder   conv7 /2 3→64, BN, ReLU, max-pool 3 /2, BN, ReLU, conv2 /2 p1 64→B                              7 modules
    decoder   BN, ReLU, conv2 p1 B→I, BN, ReLU, conv2 p1 I→I, BN, ReLU, conv2 I→O, BN, ReLU, conv2 O→O, mean 2  13 modules

No convolution has a bias; /2 is a stride, p1 a padding of 1. O are the channels that the replaced stretch gives, I = wide · O.
For ResNet-152 cut behind layer2 that is O = I = 512, for DenseNet-169 and -201 cut behind the second transition O = 256, I = 512
(`wide` 2, and the mean's stride is 2): the published ones to the number. At 224 × 224 the head has 10.4 thousand parameters and
gives B × 29 × 29, the decoder 3.15 million.

| symbol | here | |
|---|---|---|
| B | `channels` | 3 or 12 |
| 64 | FRONT, `front` | filters of the first convolution, whatever the network |

Ours, for networks that the paper does not speak of: stretches of another stride than 8 or 16 leave strides out, the last first
(4: the convolution before the link; 2: the pool; 1: all); `Fitted` mends a map that misses by a row; `slim` has a quarter of the
filters, for teachers so small that 64 of them are a large head. The decoder ends without ReLU, as published, though what it
imitates is never negative behind a ResNet's layer.

It does not know how codes are made: 8 bits after training, as published, or a coder's (`edgewise.codec.fitted`).
"""

from __future__ import annotations

from torch import nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Fitted, Geometry, Split

FRONT, SLIM = 64, 16
STRIDES = (1, 2, 4, 8, 16)


def encoder(channels: int, stride: int = 8, front: int = FRONT, inside: int = 3) -> nn.Sequential:
    """(batch, inside, rows, columns) → (batch, channels, rows / 8 + 1, columns / 8 + 1) at the published stride."""
    first, pool, last = (2 if stride >= s else 1 for s in (2, 4, 8))
    return nn.Sequential(
        nn.Conv2d(inside, front, 7, first, 3, bias=False),
        nn.BatchNorm2d(front),
        nn.ReLU(),
        nn.MaxPool2d(3, pool, 1),
        nn.BatchNorm2d(front),
        nn.ReLU(),
        nn.Conv2d(front, channels, 2, last, 1, bias=False),
    )


def decoder(channels: int, outside: int, stride: int = 8, wide: float = 1.0) -> nn.Sequential:
    """(batch, channels, rows + 1, columns + 1) → (batch, outside, rows, columns); half of both where the stride is 16."""
    inner = max(1, round(wide * outside))
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, inner, 2, 1, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, 2, 1, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, outside, 2, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        nn.Conv2d(outside, outside, 2, 1, bias=False),
        nn.AvgPool2d(2, 2 if stride == 16 else 1),
    )


def bottlefit(geometry: Geometry, channels: int, wide: float = 1.0, front: int = FRONT) -> Split:
    """The bottleneck for a stretch from the picture on; ModelError where it cannot take its place.

    >>> sum(p.numel() for p in bottlefit(Geometry((3, 224, 224), (512, 28, 28)), channels=3).encoder.parameters())
    10432
    """
    if channels < 1:
        raise ModelError("a bottleneck has no channel", got=channels, allowed="1 or more")
    stride = strode(geometry)
    fits = all(_after(before, stride) == after for before, after in zip(geometry.inside[1:], geometry.outside[1:], strict=True))
    return Split(
        encoder(channels, stride, front, geometry.inside[0]),
        decoder(channels, geometry.outside[0], stride, wide),
        None if fits else Fitted(*geometry.outside[1:]),  # which knows one size of picture, and no crop of it
    )


def slim(geometry: Geometry, channels: int, wide: float = 1.0) -> Split:
    """BottleFit with SLIM filters (ours)."""
    return bottlefit(geometry, channels, wide, SLIM)


def _after(side: int, stride: int) -> int:
    """Rows or columns that the decoder gives for a picture of so many."""
    first, pool, last = (2 if stride >= s else 1 for s in (2, 4, 8))
    crossing = ((side - 1) // first // pool + 1) // last + 1
    return crossing // 2 if stride == 16 else crossing - 1


def strode(geometry: Geometry) -> int:
    """By how much the stretch makes the map smaller; ModelError where that is none of STRIDES, or differs down and across."""
    ways = {
        min(STRIDES, key=lambda s: abs(before - s * after)) for before, after in zip(geometry.inside[1:], geometry.outside[1:])
    }
    stride = ways.pop()
    short = [after * stride - before for before, after in zip(geometry.inside[1:], geometry.outside[1:])]
    if ways or any(abs(s) > 2 * stride for s in short):
        raise ModelError(
            "BottleFit cannot take this stretch's place",
            got=" → ".join(f"{c} channels of {h} × {w}" for c, h, w in (geometry.inside, geometry.outside)),
            allowed=f"a map that becomes {', '.join(map(str, STRIDES))} times smaller, alike in rows and columns",
            hint="Cut behind another module.",
        )
    return stride
