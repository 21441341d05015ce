"""The neural filter: a small classifier on a head's early features that says whether anything of interest is in the picture.

Paper 2 (its code, `classifier.py`): pool to 64 × 64 → conv 4 s2, BN, ReLU → conv 3 s2, BN, ReLU → conv 2, BN, ReLU → pool to
8 × 8 → linear → 2, widths C, C/2, C/4, cross-entropy, all else frozen, the epoch with the best ROC-AUC. Ours follows the
features: maps smaller than 64 are not blown up, a convolution keeps stride 1 where the map is small already, C is the features'
width. To the 8 × 8 means comes the largest value of each channel: one far car is a peak and hardly moves a mean. The pools are
products with constant matrices, exact for every size, so that they export to any ONNX. SGD gave way to AdamW. The epoch is
chosen on scenes of its own, the threshold on others again (`edgewise.split.bound`); the authors' code took the test set for both.

It does not know where features come from: `Features` makes them of pictures, an ONNX head up to a tensor, or a torch network up
to a module (`edgewise.split.training.early`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgewise.core.errors import ModelError
from edgewise.split.gate import Convolved, Plain
from edgewise.split.training.roads import Roads

Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # pictures (n, height, width, 3) → (n, channel, height, width)
SIDE, GRID = 64, 8  # the pools of the paper
ROOMY = 12  # a map of fewer rows is not halved: 64 → 31 → 15 → 14 as in the paper, 23 → 10 → 8 → 7
LEAST = 7  # rows that three convolutions need


class Pool(nn.Module):
    """Adaptive average pooling to (rows, columns), as products with matrices whose rows sum to 1."""

    down: Tensor
    across: Tensor

    def __init__(self, inside: tuple[int, int], outside: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("down", means(inside[0], outside[0]))
        self.register_buffer("across", means(inside[1], outside[1]).T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.down @ x @ self.across  # (…, rows, columns)
        return pooled


def means(inside: int, outside: int) -> Tensor:
    """(outside, inside): row i averages the places from ⌊i·inside/outside⌋ to ⌈(i+1)·inside/outside⌉."""
    matrix = torch.zeros(outside, inside)
    for i in range(outside):
        first, last = i * inside // outside, -(-(i + 1) * inside // outside)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


class Classifier(nn.Module):
    """Early features (n, channels, height, width) → logits (n, 2) of nothing and something."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        if min(height, width) < LEAST:
            raise ModelError(
                "features are too small a map for the filter",
                got=f"{height} × {width}",
                allowed=f"{LEAST} × {LEAST} or more",
                hint="Take an earlier tensor of the head.",
            )
        rows, columns = min(height, SIDE), min(width, SIDE)
        self.open = Pool((height, width), (rows, columns))
        layers: list[nn.Module] = []
        inside, least = channels, min(rows, columns)
        for size, outside in ((4, channels), (3, max(channels // 2, 4)), (2, max(channels // 4, 4))):
            stride = 2 if size > 2 and least >= ROOMY else 1
            layers += [nn.Conv2d(inside, outside, size, stride), nn.BatchNorm2d(outside), nn.ReLU()]
            rows, columns = ((side - size) // stride + 1 for side in (rows, columns))
            inside, least = outside, min(rows, columns)
        self.body = nn.Sequential(*layers)
        grid = min(rows, GRID), min(columns, GRID)
        self.close = Pool((rows, columns), grid)
        self.out = nn.Linear(inside * (grid[0] * grid[1] + 1), 2)

    def forward(self, early: Tensor) -> Tensor:
        x = self.body(self.open(early))
        logits: Tensor = self.out(torch.cat([self.close(x).flatten(1), x.amax((2, 3))], 1))
        return logits


class Learning(Struct, frozen=True, forbid_unknown_fields=True):
    """`epochs` over the training frames in batches; peak learning `rate` (half a cosine over all steps), weight `decay`."""

    epochs: int = 12
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-2
    seed: int = 0


class Learnt(Struct, frozen=True):
    """The classifier of the best epoch, that epoch (from 1), and the ROC-AUC on the choosing frames after each."""

    net: Classifier
    epoch: int
    areas: tuple[float, ...]


def learn(
    features: Features,
    train: Roads,
    choose: Roads,
    learning: Learning,
    heard: Callable[[int, float], None] = lambda epoch, area: None,
) -> Learnt:
    """Train a classifier on features of `train`; what makes the features stays as it is. `heard` is told epoch and ROC-AUC."""
    if train.present.all() or not train.present.any() or choose.present.all() or not choose.present.any():
        raise ModelError(
            "a filter needs pictures with something in them and without",
            got="something in {} of {} to learn from, in {} of {} to choose on".format(*_few(train), *_few(choose)),
        )
    torch.manual_seed(learning.seed)
    early = features(train.pictures[:1])
    if early.ndim != 4:
        raise ModelError("a filter needs features that are a map", got=early.shape, allowed="(batch, channel, height, width)")
    net = Classifier(*early.shape[1:])
    optimiser = torch.optim.AdamW(net.parameters(), lr=learning.rate, weight_decay=learning.decay)
    batch = min(learning.batch, len(train))
    steps = learning.epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning.rate, total_steps=steps, pct_start=0.15)
    areas: list[float] = []
    best: dict[str, Any] = {}
    for epoch in range(learning.epochs):
        net.train()
        generator = np.random.default_rng([learning.seed, epoch])
        order = generator.permutation(len(train))
        for first in range(0, len(train) // batch * batch, batch):
            chosen = np.sort(order[first : first + batch])
            x = torch.from_numpy(features(varied(train.pictures[chosen], generator)))
            loss = functional.cross_entropy(net(x), torch.from_numpy(train.present[chosen]).long())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        areas.append(area(scores(net, features, choose.pictures), choose.present))
        if areas[-1] >= max(areas):
            best = {name: value.clone() for name, value in net.state_dict().items()}
        heard(epoch + 1, areas[-1])
    net.load_state_dict(best)
    return Learnt(net.eval(), len(areas) - areas[::-1].index(max(areas)), tuple(areas))


def scores(net: Classifier, features: Features, pictures: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float64]:
    """The probability that something is there, of each picture (n,)."""
    net.eval()
    found = []
    with torch.no_grad():
        for first in range(0, len(pictures), batch):
            logits = net(torch.from_numpy(features(pictures[first : first + batch])))
            found.append(torch.softmax(logits, 1)[:, 1].double().numpy())
    return np.concatenate(found) if found else np.zeros(0)


def varied(pictures: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Half of them mirrored; of all of them light, contrast and noise a little other: a scene must not be known by its paint."""
    level = np.arange(256, dtype=np.float32)
    out = np.empty_like(pictures)
    for picture, seen in zip(pictures, out, strict=True):
        gain, offset = np.exp(generator.normal(0, 0.25)), generator.normal(0, 8)
        table = np.clip(level * gain * np.exp(generator.normal(0, 0.05, (3, 1))) + offset, 0, 255).astype(np.uint8)
        turned = picture[:, ::-1] if generator.random() < 0.5 else picture
        for channel in range(3):
            np.take(table[channel], turned[:, :, channel], out=seen[:, :, channel])
        if generator.random() < 0.25:
            reach = int(generator.integers(2, 20))
            noise = generator.integers(-reach, reach + 1, seen.shape, np.int16)
            np.clip(seen + noise, 0, 255, out=seen, casting="unsafe")
    return out


def area(score: NDArray[np.float64], present: NDArray[np.bool_]) -> float:
    """ROC-AUC: the chance that a frame with something has the higher score of two; ties count half (Mann–Whitney).

    >>> area(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    there, rest = int(present.sum()), int((~present).sum())
    return float((rank[present].sum() - there * (there + 1) / 2) / (there * rest))


def _few(roads: Roads) -> tuple[int, int]:
    return int(roads.present.sum()), len(roads)


def plain(net: Classifier) -> Plain:
    """The classifier as plain arrays, its normalisation folded into the convolutions, for `edgewise.split.gate`."""
    net = net.eval()
    layers = list(net.body)
    convolutions = []
    for convolution, normal in zip(layers[::3], layers[1::3], strict=True):
        assert isinstance(convolution, nn.Conv2d) and isinstance(normal, nn.BatchNorm2d)
        folded = fuse_conv_bn_eval(convolution, normal)
        assert folded.bias is not None
        convolutions.append(Convolved(_array(folded.weight), _array(folded.bias), folded.stride[0]))
    weight, bias = _array(net.out.weight), _array(net.out.bias)
    pools = [(_array(pool.down), _array(pool.across)) for pool in (net.open, net.close)]
    return Plain(pools[0], tuple(convolutions), pools[1], weight[1] - weight[0], float(bias[1] - bias[0]))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().float().numpy().copy()
    return values
