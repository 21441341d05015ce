"""BottleFit's layers against the published counts, on networks that the paper speaks of and on ours."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgewise.core.errors import ModelError
from edgewise.split.training.bottlefit import bottlefit, decoder, encoder, slim
from edgewise.split.training.bottleneck import Fitted, Geometry
from edgewise.split.training.mid import autoencoder, inserted, middle
from edgewise.training.nets.densenet import DenseNet, densenet169, densenet201, small
from edgewise.training.nets.resnet import resnet10
from edgewise.training.paths import module, replace

RESNET152 = Geometry((3, 224, 224), (512, 28, 28))
DENSENET = Geometry((3, 224, 224), (256, 14, 14))


def parameters(*nets: nn.Module) -> int:
    return sum(p.numel() for net in nets for p in net.parameters())


@pytest.mark.parametrize("channels", [3, 12])
def test_resnet152_has_the_published_counts(channels: int) -> None:
    net = bottlefit(RESNET152, channels)
    assert parameters(net.encoder) == 64 * 3 * 49 + 4 * 64 + channels * 64 * 4  # 10.4 thousand at 3 channels
    assert round(parameters(net.encoder) / 1e3, 1) == {3: 10.4, 12: 12.7}[channels]
    assert parameters(net.decoder) == 2 * channels + channels * 512 * 4 + 3 * 2 * 512 + 3 * 512 * 512 * 4
    assert round(parameters(net.decoder) / 1e6, 2) == {3: 3.15, 12: 3.17}[channels]
    assert len(net.encoder) == 7 and len(net.decoder) == 13  # type: ignore[arg-type]
    with torch.no_grad():
        crossing = net.encoder(torch.zeros(1, 3, 224, 224))
        assert crossing.shape == (1, channels, 29, 29)
        assert net.decoder(crossing).shape == (1, 512, 28, 28)  # before anything is made to fit


@pytest.mark.parametrize(("net", "count"), [(densenet169, 14_149_480), (densenet201, 20_013_928)])
def test_densenets_have_the_published_counts_and_the_bottleneck_takes_their_front(
    net: Callable[[], DenseNet], count: int
) -> None:
    whole = net()
    assert parameters(whole) == count
    assert [n for n, _ in whole.features.named_children()][7] == "transition2"
    assert tuple(module(whole, "features.transition2.conv").weight.shape[:2]) == (256, 512)  # type: ignore[index]
    split = bottlefit(DENSENET, 12, wide=2.0)
    assert [c.out_channels for c in split.decoder.children() if isinstance(c, nn.Conv2d)] == [512, 512, 256, 256]
    with torch.no_grad():
        assert split.decoder(torch.zeros(1, 12, 29, 29)).shape == (1, 256, 14, 14)


@pytest.mark.parametrize("side", [112, 128, 96])
def test_a_small_densenet_runs_on_with_the_bottleneck_in_place_of_its_front(side: int) -> None:
    net = small().eval()
    pictures = torch.rand(2, 3, side, side)
    with torch.no_grad():
        wanted = net.features[:8](pictures)
        split = bottlefit(Geometry((3, side, side), tuple(wanted.shape[1:])), 3, 2.0).eval()
        assert split(pictures).shape == wanted.shape
        net.features[0] = split
        for i in range(1, 8):
            net.features[i] = nn.Identity()
        assert net(pictures).shape == (2, 10)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_every_stride_needs_no_mending(stride: int) -> None:
    with torch.no_grad():
        crossing = encoder(3, stride)(torch.zeros(1, 3, 64, 64))
        assert crossing.shape[2] == 64 // min(stride, 8) + 1
        assert not isinstance(bottlefit(Geometry((3, 64, 64), (20, 64 // stride, 64 // stride)), 3).fitted, Fitted)
        assert decoder(3, 20, stride)(crossing).shape == (1, 20, 64 // stride, 64 // stride)


@pytest.mark.parametrize("side", [61, 62, 63, 64])
@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_sizes_of_any_remainder_are_foreseen_or_mended(side: int, stride: int) -> None:
    wanted = (5, -(-side // stride), -(-side // stride))
    split = bottlefit(Geometry((3, side, side), wanted), 2).eval()
    with torch.no_grad():
        assert split(torch.zeros(1, 3, side, side)).shape == (1, *wanted)


def test_a_slim_head_is_a_quarter() -> None:
    here = Geometry((3, 128, 128), (96, 16, 16))
    assert 3.8 < parameters(bottlefit(here, 3).encoder) / parameters(slim(here, 3).encoder) < 4.2


@pytest.mark.parametrize(
    ("geometry", "channels", "words"),
    [
        (Geometry((3, 96, 96), (8, 32, 32)), 3, "1, 2, 4, 8, 16 times smaller"),
        (Geometry((3, 64, 64), (8, 8, 16)), 3, "alike in rows and columns"),
        (RESNET152, 0, "1 or more"),
    ],
)
def test_what_it_cannot_replace_is_refused(geometry: Geometry, channels: int, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        bottlefit(geometry, channels)


def test_an_inserted_identity_changes_nothing_and_an_autoencoder_takes_its_place() -> None:
    net = resnet10().eval()
    path = middle(net)
    assert path == "layer2"
    held, cut = inserted(net, path)
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(pictures), held(pictures))
        replace(held, cut, autoencoder(Geometry((96, 8, 8), (96, 8, 8)), 3))
        assert held(pictures).shape == (2, 10) and not torch.equal(net(pictures), held(pictures))
    head = parameters(net.stem, net.layer1, net.layer2)
    assert head > 17 * parameters(bottlefit(Geometry((3, 128, 128), (96, 16, 16)), 3).encoder)


def test_an_autoencoder_replaces_nothing() -> None:
    with pytest.raises(ModelError, match="inserted"):
        autoencoder(Geometry((48, 8, 8), (96, 4, 4)), 3)
