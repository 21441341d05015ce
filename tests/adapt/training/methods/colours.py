"""Pictures of four colours, a net of two normalisations that tells them apart, and a teacher: in a second of training."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgewise.adapt.recipe import Recipe
from edgewise.adapt.training.methods.subject import Subject, subject
from edgewise.adapt.training.methods.table import Setting
from edgewise.adapt.training.student import of_net
from edgewise.adapt.uplink import Crossing
from edgewise.data.album import Album, kept
from edgewise.data.dataset import Entry

LABELS = ("red", "green", "blue", "grey")
MEANS = np.array([[170, 100, 100], [100, 170, 100], [100, 100, 170], [130, 130, 130]])
DUSK = np.array([0.55, 0.5, 0.3])
SIDE = 8
USUAL = Recipe()


class Net(nn.Module):
    """Bytes (n, 8, 8, 3) → logits (n, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        planes = x.permute(0, 3, 1, 2).float() / 255
        out: Tensor = self.fc(self.two(self.one(planes)).mean((2, 3)))
        return out


def drawn(count: int, seed: int = 0, noise: float = 60.0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` pictures (n, 8, 8, 3) in drawn order, and their classes."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, count)
    values = MEANS[labels][:, None, None] + draw.normal(0, noise, (count, SIDE, SIDE, 3)) + draw.normal(0, 12, (count, 1, 1, 3))
    return values.clip(0, 255).astype(np.uint8), labels


def trained() -> Net:
    """Right on nine pictures in ten or more; the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Net().train()
        steps = torch.optim.Adam(net.parameters(), 0.02)
        for number in range(60):
            pictures, labels = drawn(64, 1000 + number)
            loss = functional.cross_entropy(net(torch.from_numpy(pictures)), torch.from_numpy(labels))
            steps.zero_grad()
            loss.backward()
            steps.step()
    return net.eval()


def disturbed(net: Net, seed: int = 2) -> Net:
    """A copy whose scales and shifts of normalisation are off: what learning φ can mend, and statistics cannot."""
    own = copy.deepcopy(net)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (own.one[1], own.two[1]):
            layer.weight.mul_(0.2 + 1.6 * torch.rand(layer.weight.shape, generator=draw))
            layer.bias.add_(0.6 * torch.randn(layer.bias.shape, generator=draw))
    return own


def dark(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At dusk: half as bright, and yellow."""
    return (pictures * DUSK).astype(np.uint8)


class Knowing:
    """A teacher that knows both lights, and looks at the mean colour alone; `asked` pictures so far."""

    name = "knowing"

    def __init__(self, broken: bool = False) -> None:
        self.asked, self._broken = 0, broken

    def probabilities(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.asked += len(pictures)
        mean = np.stack([p.reshape(-1, 3).mean(0) for p in pictures])
        apart = [((mean[:, None] - light[None]) ** 2).sum(2) for light in (MEANS, MEANS * DUSK)]
        near = -np.minimum(*apart) / 100
        said = np.exp(near - near.max(1, keepdims=True))
        said = (said / said.sum(1, keepdims=True)).astype(np.float32)
        return np.full_like(said, np.nan) if self._broken else said


def of(net: Net) -> Subject:
    return subject(of_net(net), LABELS)


def stacked(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(list(pictures))


def setting(net: Net, teacher: Knowing, recipe: Recipe = USUAL, **more: object) -> Setting:
    crossing = Crossing(teacher.probabilities)
    return Setting(lambda: of_net(net), LABELS, stacked, teacher, crossing, recipe, **more)  # type: ignore[arg-type]


def album(count: int = 200, seed: int = 5) -> Album:
    pictures, labels = drawn(count, seed)
    return kept(pictures, [Entry(str(i), label=LABELS[k]) for i, k in enumerate(labels)], LABELS)
