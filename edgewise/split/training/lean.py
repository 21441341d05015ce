"""Our bottleneck: strided convolutions and one residual block, no GDN, in the place of a network's front (stem … layer2).

For C channels in the place of a stretch that divides the map by eight, to O channels; no biases but the link's own:

    encoder   conv 5 s2 3→32, conv 3 s2 32→48, conv 3 s2 48→64 (BN and ReLU each), block 64, conv 3 s2 64→C
    decoder   conv 3 C→⁴⁄₃O, BN, ReLU, conv 3 ⁴⁄₃O→4·O, shuffled to O at twice the size, BN, ReLU, two blocks of O

A block is x + conv 3, BN, ReLU, conv 3, BN; then ReLU. BN folds into its convolution when the head is exported, so that the head
is convolutions alone: at equal multiply-adds several times as fast on a device's processor as with GDN, whose divisions do not
fold (the type is that of FrankenSplit, Furutanpey et al. 2024; widths 32/48/64 are ours, measured in docs/rates.md). At C = 48
the encoder has 145,840 parameters and takes 52 million multiply-adds of a 128 × 128 picture.

The link stands `deeper` than the replaced stretch by one halving, at stride 16 here, and the decoder undoes it: a quarter as many
codes, each with more to say. Where frames are small that is worth more than any table: at stride 8 a picture of 260 bytes has one
code in sixteen that is not the commonest, rounding such a map loses far more than the noise of training promised, and a table
cannot spend less than a twentieth of a bit on a code. In trials of 700 steps at one price of bits (β 1.5) stride 16 answered
80.3 % in 272 bytes, stride 8 73.8 % in 265 (1,000 pictures, before stage 2). Those trials, of stride and of widths, were
judged on the first 1,000 held-out pictures of the benchmark, in the order that it draws: its targets are given without them too.

A stretch of a smaller stride leaves out strides of the last convolutions, one of a larger stride gets another convolution of 64.
`wide` widens the decoder's blocks within, for which the server pays. What stands `between`, noise and prior, is the training's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.split.training.entropic import fitted, halvings

WIDTHS = (32, 48, 64)
FIRST = 5  # size of the first convolution


class Residual(nn.Module):
    """(batch, channels, rows, columns) → the same: x + two convolutions of 3 of width `within`, then ReLU unless `signed`."""

    def __init__(self, channels: int, within: int, signed: bool = False) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, within, 3), convolution(within, channels, 3, rectified=False)
        self.last: nn.Module = nn.Identity() if signed else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x + self.second(self.first(x)))
        return out


class Doubled(nn.Module):
    """(batch, inside, rows, columns) → (batch, outside, 2 · rows, 2 · columns): a convolution of 3, shuffled; BN, ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, 4 * outside, 3, padding=1, bias=False)
        self.shuffle, self.norm = nn.PixelShuffle(2), nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.shuffle(self.convolution(x))))


def lean(geometry: Geometry, channels: int = 48, wide: float = 1.0) -> Split:
    """The bottleneck one halving deeper than the stretch; ModelError where the stretch's stride is no power of two."""
    outside = geometry.outside[0]
    between = max(1, round(outside * 4 / 3))
    front = encoder(geometry, channels, deeper=True)
    return _split(geometry, wide, front, convolution(channels, between, 3), Doubled(between, outside))


def shallow(geometry: Geometry, channels: int = 32, wide: float = 1.0) -> Split:
    """The bottleneck at the stretch's own stride: the head of our trial runs, kept for comparison."""
    front = encoder(geometry, channels, deeper=False)
    return _split(geometry, wide, front, convolution(channels, geometry.outside[0], 3))


def encoder(geometry: Geometry, channels: int, deeper: bool) -> nn.Sequential:
    """(batch, inside, rows, columns) → (batch, channels, rows / stride, columns / stride), half of both where it is deeper."""
    if channels < 1:
        raise ModelError("a bottleneck has no channel", got=channels, allowed="1 or more")
    count = halvings(geometry)
    widths = WIDTHS + WIDTHS[-1:] * (count - len(WIDTHS))
    layers: list[nn.Module] = []
    inside = geometry.inside[0]
    for i, width in enumerate(widths):
        layers.append(convolution(inside, width, FIRST if i == 0 else 3, 2 if i < count else 1))
        inside = width
    last = nn.Conv2d(inside, channels, 3, 2, 1) if deeper else nn.Conv2d(inside, channels, 1)
    return nn.Sequential(*layers, Residual(inside, inside), last)


def _split(geometry: Geometry, wide: float, encoder: nn.Module, *ahead: nn.Module) -> Split:
    outside = geometry.outside[0]
    within = max(1, round(wide * outside))
    blocks = (Residual(outside, within), Residual(outside, within, geometry.signed))
    return fitted(geometry, encoder, nn.Sequential(*ahead, *blocks))


def convolution(inside: int, outside: int, size: int, stride: int = 1, rectified: bool = True) -> nn.Sequential:
    """A convolution that keeps the map's size but for its stride, BN, and ReLU where it is rectified."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outside),
        *([nn.ReLU()] if rectified else []),
    )
