"""A network of four layers that trains in seconds, and pictures of coloured blobs: what the tests of split teach."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn


class Tiny(nn.Module):
    """Picture (n, 3, h, w) → four logits; `layer1` at half the size, `layer2` at a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.layer1 = nn.Sequential(nn.Conv2d(8, 12, 3, 1, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(12, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))
        return out


def build() -> Tiny:
    """With weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Tiny()
        for normal in net.modules():
            if isinstance(normal, nn.BatchNorm2d):
                normal.momentum = None  # a plain mean: one pass gives the statistics of a trained network
        with torch.no_grad():
            net.train()(torch.from_numpy(Blobs(32, seed=5).pictures).permute(0, 3, 1, 2) / 255)
        net.head.weight.data *= 10  # so that the classes differ
        return net.eval()


def even() -> Tiny:
    """The same, with its four answers about equally frequent on Blobs of 32 × 40."""
    net = build()
    with torch.no_grad():
        net.head.bias -= net(torch.from_numpy(Blobs(64, 32, 40).pictures).permute(0, 3, 1, 2) / 255).median(0).values
    return net


class Blobs:
    """`count` pictures (height, width, 3; uint8) of coarse random colours."""

    def __init__(self, count: int = 48, height: int = 29, width: int = 30, seed: int = 0) -> None:
        coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
        self.pictures = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]

    def __len__(self) -> int:
        return len(self.pictures)

    def of(self, indices: list[int]) -> NDArray[np.uint8]:
        return self.pictures[list(indices)]


def folder(path: Path, count: int = 60, **size: int) -> Path:
    """Blobs as PNG files."""
    path.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(Blobs(count, **size).pictures):
        Image.fromarray(picture).save(path / f"{number}.png")
    return path
