"""Renormalisation: the value of given statistics, the gradient of a batch's; both against the formula in double precision."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from torch import Tensor, nn  # noqa: E402

from edgewise.adapt.training.renorm import Renormalised  # noqa: E402


def layer(channels: int = 3) -> Renormalised:
    draw = torch.Generator().manual_seed(0)
    weight, bias, mean = (torch.randn(channels, generator=draw, dtype=torch.float64) for _ in range(3))
    return Renormalised(weight, bias, mean, torch.rand(channels, generator=draw, dtype=torch.float64) + 0.5, 1e-3)


def pictures(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 + 1


def surrogate(own: Renormalised, x: Tensor, fixed: Tensor) -> Tensor:
    """y' of the module's docstring, r and d held at the batch `fixed`."""
    axes = [0, *range(2, x.ndim)]
    s2, m = torch.var_mean(fixed, axes, correction=0, keepdim=True)
    scale = (own.variance + own.epsilon).sqrt().reshape(m.shape)
    r, d = (s2 + own.epsilon).sqrt() / scale, (m - own.mean.reshape(m.shape)) / scale
    s2, m = torch.var_mean(x, axes, correction=0, keepdim=True)
    normal = (x - m) / (s2 + own.epsilon).sqrt() * r + d
    return normal * own.weight.reshape(m.shape) + own.bias.reshape(m.shape)


@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (6, 3), (1, 3, 2, 2)])
def test_value_and_gradient_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    own, x = layer(), pictures(*shape)
    plain = nn.functional.batch_norm(x, own.mean, own.variance, own.weight, own.bias, False, 0.0, own.epsilon)
    assert torch.allclose(own(x), plain, atol=1e-12)
    assert torch.allclose(surrogate(own, x, x), plain, atol=1e-12)
    worth = torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    grown = []
    for forward in (own, lambda z: surrogate(own, z, x)):
        z = x.clone().requires_grad_(True)
        (forward(z) * worth).sum().backward()
        assert z.grad is not None and own.weight.grad is not None and own.bias.grad is not None
        grown.append((z.grad, own.weight.grad.clone(), own.bias.grad.clone()))
        own.zero_grad()
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(*grown, strict=True))


def test_gradients_of_inputs_are_finite_differences_of_the_formula() -> None:
    own, x = layer(), pictures(3, 3, 2, 2)
    worth, step = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64), 1e-5
    z = x.clone().requires_grad_(True)
    (own(z) * worth).sum().backward()
    for place in [(0, 0, 0, 0), (1, 2, 1, 0), (2, 1, 0, 1)]:
        ends = []
        for sign in (1, -1):
            moved = x.clone()
            moved[place] += sign * step
            ends.append(float((surrogate(own, moved, x) * worth).sum().detach()))
        assert z.grad is not None
        assert float(z.grad[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


def test_what_moves_all_samples_alike_has_no_gradient_below() -> None:
    """A shift and a scale of the whole batch are what statistics take out: the gradient is orthogonal to both."""
    own, x = layer(), pictures(8, 3, 4, 4)
    z = x.clone().requires_grad_(True)
    (own(z) * torch.randn(z.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)).sum().backward()
    assert z.grad is not None and float(z.grad.abs().max()) > 1e-3
    assert float(z.grad.sum([0, 2, 3]).abs().max()) < 1e-9
    own.epsilon = 0.0
    z.grad = None
    (own(z) * torch.randn(z.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)).sum().backward()
    assert float((z.grad * (x - x.mean([0, 2, 3], keepdim=True))).sum([0, 2, 3]).abs().max()) < 1e-9


def test_constant_pictures_and_a_single_value_give_finite_gradients() -> None:
    own = layer()
    for x in (torch.ones(4, 3, 2, 2, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)):
        z = x.requires_grad_(True)
        own(z).sum().backward()
        assert z.grad is not None and bool(z.grad.isfinite().all())
    plain = own.weight.detach() / (own.variance + own.epsilon).sqrt()
    assert z.grad is not None and torch.allclose(z.grad[0], plain)  # one value has no statistics: the plain gradient


def test_a_copy_learns_by_itself() -> None:
    own = layer()
    other = copy.deepcopy(own)
    other.mean += 1
    assert not torch.equal(own(pictures(2, 3)), other(pictures(2, 3)))
