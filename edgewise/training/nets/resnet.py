"""Residual networks for classification, small enough to be trained by the project: ResNet-10 and ResNet-18 of basic blocks.

    picture (batch, 3, rows, columns), normalised
    stem     conv 7, stride 2, BN, ReLU, max-pool 3, stride 2     stride 4
    layer1   blocks at stride 4        layer2, 3, 4   the first block of each halves the map        strides 8, 16, 32
    pool, fc                            (batch, classes)

A block is conv 3, BN, ReLU, conv 3, BN, plus its input, ReLU (He et al. 2016). Where a block halves the map its shortcut is a
2 × 2 mean and a convolution of 1 × 1 with BN: no value is thrown away (the "D" variant of He et al. 2019). Widths of ResNet-10
are ours (48 … 384: 2.8 M parameters), of ResNet-18 the published ones. Module paths are the usual ones, so
that what is said of a ResNet elsewhere can be said here: `stem`, `layer1` … `layer4`, `fc`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS_10 = (48, 96, 192, 384)
WIDTHS_18 = (64, 128, 256, 512)


def convolution(inside: int, outside: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the map's size but for its stride, and BN; no bias, which BN has."""
    return nn.Sequential(nn.Conv2d(inside, outside, size, stride, size // 2, bias=False), nn.BatchNorm2d(outside))


class Block(nn.Module):
    """(batch, inside, rows, columns) → (batch, outside, rows / stride, columns / stride)."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(*convolution(inside, outside, 3, stride), nn.ReLU(inplace=True))
        self.second = convolution(outside, outside, 3)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            smaller = [nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)] if stride > 1 else []
            self.shortcut = nn.Sequential(*smaller, *convolution(inside, outside, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """`widths` and `depths` (blocks) of layer1 … layer4; `stem`: its convolution's size and stride, and whether it pools."""

    def __init__(
        self,
        classes: int,
        widths: tuple[int, int, int, int] = WIDTHS_10,
        depths: tuple[int, int, int, int] = (1, 1, 1, 1),
        stem: tuple[int, int, bool] = (7, 2, True),
    ) -> None:
        super().__init__()
        size, stride, pools = stem
        pool = [nn.MaxPool2d(3, 2, 1)] if pools else []
        self.stem = nn.Sequential(*convolution(3, widths[0], size, stride), nn.ReLU(inplace=True), *pool)
        self.layer1 = _layer(widths[0], widths[0], depths[0], 1)
        self.layer2 = _layer(widths[0], widths[1], depths[1], 2)
        self.layer3 = _layer(widths[1], widths[2], depths[2], 2)
        self.layer4 = _layer(widths[2], widths[3], depths[3], 2)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(widths[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pool(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))))
        return logits


def resnet10(classes: int = 10) -> ResNet:
    """2.77 M parameters, 0.17 GMAC at 128 × 128 (calculated)."""
    return ResNet(classes)


def resnet18(classes: int = 10) -> ResNet:
    """11.2 M parameters."""
    return ResNet(classes, WIDTHS_18, (2, 2, 2, 2))


def small(classes: int = 10) -> ResNet:
    """A network for pictures of 32 × 32, quick to train: no pooling, a stem at full size, 0.3 M parameters."""
    return ResNet(classes, (16, 32, 64, 128), (1, 1, 1, 1), (3, 1, False))


def _layer(inside: int, outside: int, depth: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(inside, outside, stride), *(Block(outside, outside) for _ in range(depth - 1)))
