"""The prior's bits are those of a histogram, and rounding is about the median."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.split.training.prior import Noisy, Prior  # noqa: E402


def test_the_mass_of_all_codes_is_one_and_their_width_is_an_integral_of_the_density() -> None:
    prior = Prior(2)
    with torch.no_grad():
        prior.middle.uniform_(-3, 3, generator=torch.Generator().manual_seed(1))
        prior.narrow[:, 0], prior.narrow[:, 1] = -6.0, 1.0  # as narrow as it may be, and wide
    codes = torch.arange(-200, 201.0).expand(1, 2, 1, -1)
    assert torch.allclose(prior.mass(codes).sum(-1), torch.ones(1, 2, 1), atol=1e-4)
    scale = prior.narrow[0].exp() + 0.02
    share = prior.share[0].softmax(-1)

    def below(y: torch.Tensor) -> torch.Tensor:
        return (share[:, None] * torch.sigmoid((y[..., None] - prior.middle[0, :, None]) / scale[:, None])).sum(-1)

    y = torch.linspace(-9, 9, 37).expand(2, -1)
    assert torch.allclose(prior.mass(y[None, :, None])[0, :, 0], (below(y + 0.5) - below(y - 0.5)).detach(), atol=1e-5)


def test_trained_it_promises_what_a_histogram_takes() -> None:
    """Of codes whose median is not in the middle of the mixture at first."""
    generator = np.random.default_rng(0)
    codes = np.where(generator.random((64, 2, 8, 8)) < 0.8, 3, generator.integers(-2, 8, (64, 2, 8, 8))).astype(np.float32)
    _, counts = np.unique(codes, return_counts=True)
    shares = counts / counts.sum()
    ideal = -(shares * np.log2(shares)).sum() * 2 * 64
    prior, y = Prior(2), torch.from_numpy(codes)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        prior.bits(y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert ideal - 1e-3 < prior.bits(y).item() < 1.15 * ideal  # no density is better than the histogram
    assert torch.allclose(prior.medians(), torch.full((1, 2), 3.0), atol=0.1)


def test_bits_reach_the_values_by_their_gradient_however_far_they_are() -> None:
    prior = Prior(1)
    y = torch.tensor([[[[30.0, -30.0, 0.4]]]], requires_grad=True)
    prior.bits(y).backward()  # type: ignore[no-untyped-call]
    assert y.grad is not None and y.grad[0, 0, 0, 0] > 0.1 and y.grad[0, 0, 0, 1] < -0.1
    e = 1e-2
    one = torch.tensor([[[[0.4]]]])
    assert y.grad[0, 0, 0, 2].item() == pytest.approx((prior.bits(one + e) - prior.bits(one - e)).item() / (2 * e), rel=1e-2)


def test_rounding_is_about_the_median_and_its_gradient_passes() -> None:
    noisy = Noisy(1)
    with torch.no_grad():
        noisy.gain.zero_()  # codes of width 1
        noisy.prior.middle.fill_(0.5)  # without the median, values near it would flip between 0 and 1
    noisy.centre()
    noisy.rounds = True
    x = torch.full((1, 1, 2, 4), 0.5) + 0.2 * torch.rand(1, 1, 2, 4) - 0.1
    x.requires_grad_(True)
    out = noisy(x)
    assert torch.allclose(out, torch.full_like(out, 0.5), atol=1e-4)
    out.sum().backward()
    assert x.grad is not None and torch.allclose(x.grad, torch.ones_like(x))
    noisy.rounds = False
    assert 0.1 < (noisy(x) - x).abs().max().item() <= 0.5 and noisy.bits.item() > 0
