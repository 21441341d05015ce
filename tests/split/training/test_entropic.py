"""Entropic Student's layers: the published numbers, and GDN by its equation."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.split.training.bottleneck import Geometry  # noqa: E402
from edgewise.split.training.entropic import FLOOR, GDN1, narrow, published  # noqa: E402


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_equation_element_by_element(inverse: bool) -> None:
    torch.manual_seed(0)
    net = GDN1(3, inverse)
    with torch.no_grad():
        net.mix.uniform_(-1, 1)
        net.shift.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 4, 5)
    y = net(x)
    for i in range(3):
        norm = net.shift[i] ** 2 + FLOOR + sum(net.mix[i, j] ** 2 * x[:, j].abs() for j in range(3))
        assert torch.allclose(y[:, i], x[:, i] * norm if inverse else x[:, i] / norm, atol=1e-5)
    assert torch.autograd.gradcheck(GDN1(2, inverse).double(), torch.randn(1, 2, 3, 3).double().requires_grad_(True))


def test_the_published_layers_have_the_published_numbers() -> None:
    """ResNet-50 at 224 × 224 (paper 6): a head of 138.7 thousand parameters, a decoder of 1.16 million, 24 × 55 × 55."""
    net = published(Geometry((3, 224, 224), (256, 56, 56))).eval()
    assert sum(p.numel() for p in net.encoder.parameters()) == 138_672
    assert 1.15e6 < sum(p.numel() for p in net.decoder.parameters()) < 1.17e6
    with torch.no_grad():
        crossing = net.encoder(torch.zeros(1, 3, 224, 224))
        assert crossing.shape == (1, 24, 55, 55) and net.decoder(crossing).shape == (1, 256, 56, 56)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("build", [narrow, published])
def test_any_power_of_two_finds_its_strides(stride: int, build: object) -> None:
    net = build(Geometry((3, 64, 48), (20, 64 // stride, 48 // stride)), 6)  # type: ignore[operator]
    assert net.eval()(torch.zeros(1, 3, 64, 48)).shape == (1, 20, 64 // stride, 48 // stride)
    assert abs(net.encoder(torch.zeros(1, 3, 64, 48)).shape[2] - 64 // stride) <= 1  # few values cross, not many


def test_another_stride_is_refused() -> None:
    with pytest.raises(ModelError, match="halves the map"):
        narrow(Geometry((3, 60, 60), (20, 20, 20)), 6)
