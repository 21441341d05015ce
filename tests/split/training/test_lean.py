"""Our bottleneck: small enough for its promise, a quarter as many codes as at the stretch's stride, a map that fits, no GDN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.split.training.lean import lean, shallow

FRONT = Geometry((3, 128, 128), (96, 16, 16))  # stem … layer2 of the ResNet-10 of the benchmark


def maps(split: Split, geometry: Geometry) -> tuple[torch.Size, torch.Size]:
    split.eval()
    with torch.no_grad():
        latent = split.encoder(torch.zeros(2, *geometry.inside))
        return latent.shape, split(torch.zeros(2, *geometry.inside)).shape


def test_the_head_is_small_and_without_divisions() -> None:
    encoder = lean(FRONT).encoder
    assert sum(p.numel() for p in encoder.parameters()) <= 150_000
    leaves = {type(m) for m in encoder.modules() if not list(m.children())}
    assert leaves <= {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Identity}


@pytest.mark.parametrize(
    "geometry",
    [FRONT, Geometry((3, 112, 112), (96, 14, 14)), Geometry((3, 32, 32), (32, 16, 16)), Geometry((3, 64, 96), (8, 4, 6), True)],
)
def test_the_map_is_the_one_that_was_replaced(geometry: Geometry) -> None:
    (_, channels, rows, columns), shape = maps(lean(geometry, 8), geometry)
    _, *outside = geometry.outside
    assert shape == (2, *geometry.outside)
    assert (channels, rows, columns) == (8, outside[0] // 2, outside[1] // 2)  # one halving deeper
    (_, _, rows, columns), shape = maps(shallow(geometry, 8), geometry)
    assert shape == (2, *geometry.outside) and [rows, columns] == outside


def test_only_maps_that_may_be_negative_end_without_relu() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    signs = [bool((lean(Geometry((3, 32, 32), (4, 16, 16), s), 8)(x) < 0).any()) for s in (False, True)]
    assert signs == [False, True]


def test_wide_widens_the_servers_side_alone() -> None:
    def sizes(split: Split) -> tuple[int, int]:
        encoder, decoder = (sum(p.numel() for p in m.parameters()) for m in (split.encoder, split.decoder))
        return encoder, decoder

    (own, decoder), (same, larger) = sizes(lean(FRONT)), sizes(lean(FRONT, wide=2))
    assert own == same and larger > 1.3 * decoder


def test_what_it_cannot_replace_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="halves the map"):
        lean(Geometry((3, 96, 96), (8, 32, 32)))
    with pytest.raises(ModelError, match="no channel"):
        lean(FRONT, 0)
