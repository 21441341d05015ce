"""An autoencoder in the middle of a network: the split of a model that nobody wanted to change (a baseline of paper 8).

Everything up to the middle stays on the device as it is, then an encoder makes its output small enough to send; a decoder on the
server gives it back to the rest. Nothing is replaced: so the head is the first half of the model, encoder and all, which is what
BottleFit's head is compared with.

    inserted(net, "layer2")   the same network, in which the output of layer2 passes `layer2.mid`, an identity: the cut
    encoder   conv3 C→C/2, BN, ReLU, conv3 C/2→B        decoder   BN, ReLU, conv3 B→C/2, BN, ReLU, conv3 C/2→C, BN, ReLU

The material that we have names no layers of it: these are ours, and the middle is the last layer of the first half of those that
have numbers. The map keeps its size; the last ReLU is left out where the module gives negative values.
"""

from __future__ import annotations

import copy
from collections import OrderedDict

from torch import nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.training.paths import module, replace, siblings

MID, WHOLE = "mid", "whole"


def middle(net: nn.Module, first: str = "layer1") -> str:
    """The path in the middle of the numbered layers from `first` on.

    >>> middle(nn.Sequential(OrderedDict((f"layer{i}", nn.Identity()) for i in (1, 2, 3, 4))))
    'layer2'
    """
    layers = siblings(net, first)
    if len(layers) < 2:
        raise ModelError(
            "a network has no middle that could be found", got=f"{first} alone", allowed="two numbered layers or more"
        )
    return layers[(len(layers) - 1) // 2]


def inserted(net: nn.Module, path: str) -> tuple[nn.Module, str]:
    """A copy of `net` that gives the same, and the path of the identity behind the module at `path`, which may be replaced."""
    out = copy.deepcopy(net)
    replace(out, path, nn.Sequential(OrderedDict([(WHOLE, module(out, path)), (MID, nn.Identity())])))
    return out, f"{path}.{MID}"


def autoencoder(geometry: Geometry, channels: int, wide: float = 1.0) -> Split:
    """(batch, C, rows, columns) → the same, through `channels` of them. `wide` widens the decoder."""
    if geometry.inside != geometry.outside:
        raise ModelError(
            "an autoencoder gives back what it takes",
            got=f"{geometry.inside} in, {geometry.outside} out",
            allowed="a cut that changes nothing",
            hint="Use inserted(net, path), whose identity is the cut.",
        )
    whole = geometry.inside[0]
    half, more = max(1, whole // 2), max(1, round(wide * whole / 2))
    encoder = nn.Sequential(_convolution(whole, half), nn.BatchNorm2d(half), nn.ReLU(), _convolution(half, channels))
    decoder = nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        _convolution(channels, more),
        nn.BatchNorm2d(more),
        nn.ReLU(),
        _convolution(more, whole),
        nn.BatchNorm2d(whole),
        *([] if geometry.signed else [nn.ReLU()]),
    )
    return Split(encoder, decoder)


def _convolution(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)
