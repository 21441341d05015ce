"""DenseNets for classification (Huang et al. 2017): every layer sees the maps of all layers before it in its block.

    picture (batch, 3, rows, columns), normalised
    conv0, norm0, relu0, pool0        conv 7, stride 2, BN, ReLU, max-pool 3, stride 2        stride 4
    denseblock1, transition1          layers at stride 4, then half the channels and a 2 × 2 mean: stride 8
    denseblock2, transition2 …        strides 8, 16        denseblock4 at stride 32, norm5, ReLU, pool, classifier

A layer is BN, ReLU, conv 1 to 4 · growth, BN, ReLU, conv 3 to `growth`, whose maps are put beside those that it took. Module
paths are the usual ones (`features.conv0` … `features.transition2`, `classifier`), so that what is said of a DenseNet elsewhere
can be said here; `densenet169` and `densenet201` have the published depths. `small` is ours: quick to be trained.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

WIDER = 4  # times the growth between a layer's two convolutions


class DenseLayer(nn.Module):
    """(batch, inside, rows, columns) → (batch, inside + growth, rows, columns)."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(inside), nn.ReLU()
        self.conv1 = nn.Conv2d(inside, WIDER * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(WIDER * growth), nn.ReLU()
        self.conv2 = nn.Conv2d(WIDER * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat([x, new], 1)


class DenseNet(nn.Module):
    """`depths`: layers of each block; `growth`: channels that a layer adds; twice that many come from the first convolution, or
    `stem`."""

    def __init__(self, classes: int, depths: tuple[int, ...], growth: int, stem: int = 0) -> None:
        super().__init__()
        wide = stem or 2 * growth
        parts: list[tuple[str, nn.Module]] = [
            ("conv0", nn.Conv2d(3, wide, 7, 2, 3, bias=False)),
            ("norm0", nn.BatchNorm2d(wide)),
            ("relu0", nn.ReLU()),
            ("pool0", nn.MaxPool2d(3, 2, 1)),
        ]
        for number, depth in enumerate(depths, 1):
            layers: list[tuple[str, nn.Module]] = [
                (f"denselayer{i + 1}", DenseLayer(wide + i * growth, growth)) for i in range(depth)
            ]
            parts.append((f"denseblock{number}", nn.Sequential(OrderedDict(layers))))
            wide += depth * growth
            if number < len(depths):
                parts.append((f"transition{number}", _transition(wide)))
                wide //= 2
        parts.append(("norm5", nn.BatchNorm2d(wide)))
        self.features = nn.Sequential(OrderedDict(parts))
        self.pool = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(wide, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(x)))
        return logits


def small(classes: int = 10) -> DenseNet:
    """Growth 16, four blocks of 3, 3, 4 and 3 layers: 0.2 M parameters."""
    return DenseNet(classes, (3, 3, 4, 3), 16, 48)


def densenet169(classes: int = 1000) -> DenseNet:
    """The published depths and widths: 14.1 M parameters."""
    return DenseNet(classes, (6, 12, 32, 32), 32)


def densenet201(classes: int = 1000) -> DenseNet:
    """The published depths and widths: 20.0 M parameters."""
    return DenseNet(classes, (6, 12, 48, 32), 32)


def _transition(wide: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            [
                ("norm", nn.BatchNorm2d(wide)),
                ("relu", nn.ReLU()),
                ("conv", nn.Conv2d(wide, wide // 2, 1, bias=False)),
                ("pool", nn.AvgPool2d(2, 2)),
            ]
        )
    )
