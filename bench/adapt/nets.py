"""The residual networks of CIFAR-10 (He et al. 2016, §4.2) whose weights are in the packs, and a network that takes bytes.

    picture (batch, 3, 32, 32), normalised → conv1, bn1, ReLU → layer1, 2, 3 of n blocks, 16, 32, 64 channels → mean → linear

n = 3, 5, 9 gives ResNet-20, -32, -56. A block is conv 3, BN, ReLU, conv 3, BN, plus its input, ReLU; where it halves the map its
shortcut is every second pixel with channels of zero around the old ones ("option A"), so that it has no weights. Module paths
are those of the files of weights (akamaster/pytorch_resnet_cifar10, BSD-2-Clause; code ours).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from bench.adapt.data import PACKS
from edgewise.graph.picture import Look

WEIGHTS = PACKS / "cifar-resnets"
BLOCKS = {20: 3, 32: 5, 56: 9}
WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """(batch, inside, rows, columns) → (batch, outside, rows / stride, columns / stride)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.added = stride, (outside - inside) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.added or self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added, self.added))
        return torch.relu(y + x)


class CifarResNet(nn.Module):
    """`depth` 20, 32 or 56; logits (batch, 10)."""

    def __init__(self, depth: int = 20, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        wide = (WIDTHS[0], *WIDTHS)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(
                *(Block(wide[k] if i == 0 else wide[k + 1], wide[k + 1], 2 if i == 0 and k else 1) for i in range(BLOCKS[depth]))
            )
            for k in range(3)
        )
        self.linear = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def published(depth: int, folder: Path = WEIGHTS) -> CifarResNet:
    """The network with its published weights, which lose some ten points on the JPEG copies of the pack: re-fit it before use."""
    net = CifarResNet(depth)
    net.load_state_dict(load_file(folder / f"resnet{depth}.safetensors"), strict=False)
    return net.eval()


class OfBytes(nn.Module):
    """`net` behind its look: takes uint8 (batch, height, width, 3), as a device's parts do."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, look: Look) -> None:
        super().__init__()
        self.net, self.scale = net, look.scale
        self.register_buffer("mean", torch.tensor(look.mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(look.std).reshape(1, -1, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2).float() * self.scale
        logits: Tensor = self.net((x - self.mean) / self.std)
        return logits
