"""The bottleneck is the paper's to the weight, and fits where the paper's would not."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import nn  # noqa: E402

from edgewise.core.errors import ModelError  # noqa: E402
from edgewise.split.training.bottleneck import Fitted, Geometry, narrow, published  # noqa: E402


def kinds(net: nn.Sequential) -> list[str]:
    said = {nn.BatchNorm2d: "BN", nn.ReLU: "ReLU"}
    return [said.get(type(m)) or f"p{m.padding[0]} {m.in_channels}→{m.out_channels}" for m in net]  # type: ignore[union-attr]


def test_the_published_layers_in_their_order() -> None:
    net = published(3)
    assert kinds(net.encoder) == ["p1 64→64", "BN", "p1 64→256", "BN", "ReLU", "p1 256→64", "BN", "p1 64→3"]
    assert kinds(net.decoder) == [
        *("BN", "ReLU", "p0 3→64", "BN", "p0 64→128", "BN", "ReLU"),
        *("p0 128→256", "BN", "p0 256→256", "BN", "ReLU"),
    ]
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.kernel_size == (2, 2) and m.stride == (1, 1) and m.bias is None for m in convolutions)


def test_the_published_head_has_the_published_size() -> None:
    stem = 3 * 64 * 49 + 2 * 64  # conv7 without bias, BN
    assert stem + sum(p.numel() for p in published(3).encoder.parameters()) == pytest.approx(158_500, abs=50)
    assert published(3).encoder(torch.zeros(1, 64, 160, 200)).shape == (1, 3, 164, 204)
    assert published(3)(torch.zeros(1, 64, 160, 200)).shape == (1, 256, 160, 200)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), [(15, 17), (16, 9), (23, 40)])
def test_odd_sizes_and_strides_come_back_to_the_teachers_shape(rows: int, columns: int, stride: int) -> None:
    teacher = nn.Conv2d(6, 10, 3, stride, 1)
    outside = teacher(torch.zeros(1, 6, rows, columns)).shape[1:]
    net = narrow(Geometry((6, rows, columns), tuple(outside)), 2).eval()
    assert net(torch.randn(2, 6, rows, columns)).shape[1:] == outside
    crossing = net.encoder(torch.zeros(1, 6, rows, columns)).shape
    assert crossing[1] == 2 and crossing[2] * stride <= rows + 6 * stride


def test_what_cannot_fit_says_so() -> None:
    with pytest.raises(ModelError, match=r"8 × 8 in.*16 × 16 out"):
        narrow(Geometry((6, 8, 8), (6, 16, 16)), 2)
    with pytest.raises(ModelError, match="one size"):
        Fitted(10, 10)(torch.zeros(1, 1, 40, 10))
    with pytest.raises(ModelError, match="no channel"):
        narrow(Geometry((6, 8, 8), (6, 8, 8)), 0)


def test_a_signed_output_keeps_its_sign() -> None:
    x = torch.randn(2, 6, 8, 8)
    assert narrow(Geometry((6, 8, 8), (6, 8, 8)), 2)(x).min() >= 0
    assert narrow(Geometry((6, 8, 8), (6, 8, 8), signed=True), 2)(x).min() < 0


def test_the_device_pays_for_neither_width_nor_a_finer_map_behind() -> None:
    stride = Geometry((6, 16, 18), (10, 8, 9))
    plain, wide, fine = narrow(stride, 2), narrow(stride, 2, wide=2.0), narrow(stride, 2, fine=True)
    assert [p.shape for p in wide.encoder.parameters()] == [p.shape for p in plain.encoder.parameters()]
    assert sum(p.numel() for p in wide.decoder.parameters()) > 2 * sum(p.numel() for p in plain.decoder.parameters())
    x = torch.zeros(1, 6, 16, 18)
    assert fine.encoder(x).shape[2:] == (20, 22) and plain.encoder(x).shape[2:] == (12, 13)
    assert fine(x).shape == plain(x).shape == wide(x).shape == (1, 10, 8, 9)
