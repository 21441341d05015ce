"""Entropic Student's bottleneck (paper 6; supervised-compression, `BottleneckResNetLayerWithIGDN`).

As published, for C channels in the place of a ResNet's stem and layer1, which divide the map by four; no biases:

    encoder   conv 5 s2 3→4C, GDN1, conv 5 s2 4C→2C, GDN1, conv 2 2C→C                      − 1 row, − 1 column
    decoder   conv 2 p1 C→512, IGDN1, conv 2 512→256, IGDN1, conv 2 p1 256→256               + 1 row, + 1 column

    GDN1   y_i = x_i / (b_i + Σ_j g_ij |x_j|),  IGDN1 multiplies instead       b, g ≥ 0 (Ballé et al. 2016, with an exponent of 1)

`published` is that, to the number, with the decoder's widths 2·O, O, O of the replaced modules' outside channels O (256 in
ResNet-50). `narrow` is for teachers that are hardly larger than that encoder (48, 32, 24: ours,
measured at 128 pixels in docs/rates.md): convolutions of 3 keep the map's size, and a residual block ends the decoder.

Ours: a stretch that divides the map by another power of two lends its strides to as many of the first convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Fitted, Geometry, Split

FLOOR = 1e-6  # of b: nothing is divided by less
FIRST = 1e-2  # √g off the diagonal at first


class GDN1(nn.Module):
    """Generalised divisive normalisation of (batch, channels, rows, columns) with absolute values; `inverse` multiplies.

    b and g are squares of what is learned, so that neither falls below zero.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.shift = nn.Parameter(torch.ones(channels))
        self.mix = nn.Parameter(torch.full((channels, channels), FIRST).fill_diagonal_(0.1**0.5))

    def forward(self, x: Tensor) -> Tensor:
        norm = functional.conv2d(x.abs(), self.mix.square()[:, :, None, None], self.shift.square() + FLOOR)
        return x * norm if self.inverse else x / norm


class Block(nn.Module):
    """x + conv 3, BN, ReLU, conv 3, BN; then ReLU, but for maps that are `signed`."""

    def __init__(self, channels: int, signed: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(_same(channels, channels, 3), nn.BatchNorm2d(channels), nn.ReLU())
        self.second = nn.Sequential(_same(channels, channels, 3), nn.BatchNorm2d(channels))
        self.last: nn.Module = nn.Identity() if signed else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x + self.second(self.first(x)))
        return out


def published(geometry: Geometry, channels: int = 24, wide: float = 1.0) -> Split:
    """The paper's layers; `wide` multiplies the decoder's widths within."""
    inside, outside = geometry.inside[0], geometry.outside[0]
    high, low = max(1, round(2 * outside * wide)), max(1, round(outside * wide))
    encoder = _encoder(inside, (4 * channels, 2 * channels), geometry, nn.Conv2d(2 * channels, channels, 2, bias=False))
    decoder = nn.Sequential(
        nn.Conv2d(channels, high, 2, padding=1, bias=False),
        GDN1(high, inverse=True),
        nn.Conv2d(high, low, 2, bias=False),
        GDN1(low, inverse=True),
        nn.Conv2d(low, outside, 2, padding=1, bias=False),
    )
    return fitted(geometry, encoder, decoder)


def narrow(geometry: Geometry, channels: int = 24, wide: float = 1.0) -> Split:
    """Encoder 2C / ⁴⁄₃C / C, decoder 64 → O and a block of O; `wide` multiplies the decoder's first width."""
    inside, outside = geometry.inside[0], geometry.outside[0]
    first, second, low = 2 * channels, max(1, round(channels * 4 / 3)), max(1, round(64 * wide))
    encoder = _encoder(inside, (first, second), geometry, _same(second, channels, 3))
    decoder = nn.Sequential(
        _same(channels, low, 3), GDN1(low, inverse=True), _same(low, outside, 3), Block(outside, geometry.signed)
    )
    return fitted(geometry, encoder, decoder)


def fitted(geometry: Geometry, encoder: nn.Module, decoder: nn.Module) -> Split:
    """Encoder and decoder as a Split whose map is made to fit where it does not by itself."""
    with torch.no_grad():
        (_, *inside), (channels, *outside) = geometry.inside, geometry.outside
        encoder.eval(), decoder.eval()
        given = decoder(encoder(torch.zeros(1, geometry.inside[0], *inside)))
        encoder.train(), decoder.train()
    if given.shape[1] != channels:
        raise ModelError("a decoder gives other channels than its place needs", got=given.shape[1], allowed=channels)
    return Split(encoder, decoder, None if list(given.shape[2:]) == outside else Fitted(outside[0], outside[1]))


def halvings(geometry: Geometry, most: int = 5) -> int:
    """How many times the stretch halves the map; ModelError where its stride is no power of two."""
    down, across = geometry.strides
    count = down.bit_length() - 1
    if down != across or down != 1 << count or count > most:
        raise geometry.refused(f"a stretch that halves the map up to {most} times, down and across alike")
    return count


def _encoder(inside: int, widths: tuple[int, ...], geometry: Geometry, last: nn.Module) -> nn.Sequential:
    """A convolution of 5 and GDN for each width, the first ones of stride 2 (or 4, where there are more halvings than widths)."""
    count = halvings(geometry)
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        own = (count + len(widths) - 1 - i) // len(widths)
        layers += [nn.Conv2d(inside, width, 5, 1 << own, 2, bias=False), GDN1(width)]
        inside = width
    return nn.Sequential(*layers, last)


def _same(inside: int, outside: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, padding=size // 2, bias=False)
