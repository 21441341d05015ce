"""Early exits: small classifiers on layers of a frozen network, so that an easy picture is answered before the rest has run.

    features of a layer (batch, C, rows, columns) → conv3 /2 C→W, BN, ReLU, conv3 /2 W→W, BN, ReLU, mean, linear → classes

The idea is BranchyNet's, between device and server SPINN's (Laskaridis et al. 2020): the device computes up to an exit, answers
where that is sure enough, and sends where it is not. They train exits with the network; here the network is another person's and
does not change, so exits learn from it: cross-entropy on the labels and the network's own answer in equal parts, or the latter
alone where there are no labels. Exits at several layers learn in one run.

It does not know when an exit is sure enough (`edgewise.split.doubt`), nor how one gets into a bundle (`edgewise.split.exits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.errors import ModelError
from edgewise.graph.picture import Look
from edgewise.split.exits import Convolved, Plain
from edgewise.training.classes import tensor
from edgewise.training.course import Advance, Course, Pictures, Source, follow
from edgewise.training.distil import answering
from edgewise.training.fingerprint import fingerprint
from edgewise.training.paths import taps

WIDTH = 64


class Exit(nn.Module):
    """(batch, `inside`, rows, columns) → logits (batch, classes)."""

    def __init__(self, inside: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.out = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.out(self.body(features).mean((2, 3)))
        return logits

    def plain(self) -> Plain:
        """Weights as arrays, with the normalisation of evaluation folded into the convolutions."""
        folded = [_folded(self.body[i], self.body[i + 1]) for i in range(0, len(self.body), 3)]
        return Plain(tuple(folded), self.out.weight.detach().numpy().copy(), self.out.bias.detach().numpy().copy())


def taught(
    net: nn.Module,
    paths: Sequence[str],
    source: Source,
    labels: Sequence[int] | None,
    look: Look,
    course: Course,
    work: Path,
    advance: Advance = lambda what, share: None,
    width: int = WIDTH,
) -> dict[str, Exit]:
    """An exit at each of the modules at `paths` of `net`, which gives logits (batch, classes) and stays as it is.

    `labels` has a class for each picture of `source`; None: nothing but the network's own answer teaches.
    """
    net.eval().requires_grad_(False)
    shapes, classes = _tried(net, paths, tensor(source.of([0]), look))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(course.seed)
        exits = nn.ModuleList(Exit(channels, classes, width) for channels in shapes)
    exits.train()
    true = None if labels is None else torch.tensor(list(labels))

    def lesson(pictures: Pictures, indices: list[int]) -> Tensor:
        with torch.no_grad(), taps(net, paths) as taken:
            wanted = net(tensor(pictures, look)).float()
            features = [taken[path] for path in paths]
        loss = torch.zeros(())
        for one, given in zip(exits, features, strict=True):
            loss = loss + answering(one(given).float(), wanted, None if true is None else true[indices])
        return loss

    facts = msgspec.json.encode((list(paths), width, None if labels is None else [int(n) for n in labels], look))
    follow(exits, exits.parameters(), source, lesson, course, work, advance, about=fingerprint(facts, source, [net]))
    exits.eval().requires_grad_(False)
    return {path: one for path, one in zip(paths, exits, strict=True) if isinstance(one, Exit)}


def said(
    net: nn.Module, exits: Mapping[str, Exit], source: Source, look: Look, batch: int = 64
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Probabilities (n, classes) of each exit, by path, and of the network itself."""
    paths = tuple(exits)
    found: dict[str, list[NDArray[np.float64]]] = {path: [] for path in (*paths, "")}
    with torch.no_grad():
        for first in range(0, len(source), batch):
            pictures = source.of(list(range(first, min(first + batch, len(source)))))
            with taps(net, paths) as taken:
                whole = net(tensor(pictures, look))
                given = {path: exits[path](taken[path]) for path in paths} | {"": whole}
            for path, logits in given.items():
                found[path].append(torch.softmax(logits.double(), 1).numpy())
    joined = {path: np.concatenate(parts) for path, parts in found.items()}
    return {path: joined[path] for path in paths}, joined[""]


def _tried(net: nn.Module, paths: Sequence[str], pictures: Tensor) -> tuple[list[int], int]:
    """Channels of the maps at `paths`, and how many classes the network gives."""
    with torch.no_grad(), taps(net, paths) as taken:
        logits = net(pictures)
        maps = {path: taken[path] for path in paths}
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError("exits answer for a classifier", got=got, allowed="logits (batch, classes)")
    for path, one in maps.items():
        if one.ndim != 4:
            raise ModelError(
                f"an exit cannot stand at {path!r}", got=tuple(one.shape), allowed="a map (batch, channels, rows, columns)"
            )
    return [one.shape[1] for one in maps.values()], logits.shape[1]


def _folded(convolution: nn.Module, norm: nn.Module) -> Convolved:
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    weight = convolution.weight.detach() * scale[:, None, None, None]
    bias = norm.bias.detach() - norm.running_mean * scale
    return Convolved(weight.numpy().copy(), bias.numpy().copy(), convolution.stride[0])
