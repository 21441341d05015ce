"""Divergence and loss: 0 without a gradient where both say the same, the textbook's values, gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgewise[train]'")

from edgewise.adapt.step import Kind, confidence, likelihood  # noqa: E402
from edgewise.adapt.training.loss import Terms, divergence, entropy, sure, taught  # noqa: E402

KINDS: tuple[Kind, ...] = ("classes", "cells")


def drawn(seed: int, rows: int = 5, classes: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (rows, classes)))


def said(logits: torch.Tensor, kind: Kind) -> torch.Tensor:
    return logits.softmax(1) if kind == "classes" else torch.sigmoid(logits)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_answers_cost_nothing_and_teach_nothing(kind: Kind) -> None:
    logits = drawn(0).requires_grad_(True)
    loss = taught(logits, said(logits.detach(), kind), torch.ones(5), kind=kind)
    loss.backward()
    assert abs(float(loss.detach())) < 1e-12
    assert logits.grad is not None and float(logits.grad.abs().max()) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_divergence_is_positive_and_that_of_the_definition(kind: Kind) -> None:
    logits, soft = drawn(1), said(drawn(2), kind)
    p, q = soft.numpy(), said(logits, kind).numpy()
    wanted = (p * np.log(p / q)).sum(1)
    if kind == "cells":
        wanted = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(1)
    assert np.allclose(divergence(logits, soft, kind).numpy(), wanted)
    assert (wanted > 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terms", [Terms(), Terms(0.0, 1.0, 2.0), Terms(1.0, 3.0, 1.0)])
def test_gradients_are_finite_differences(kind: Kind, terms: Terms) -> None:
    if terms.alpha:  # its factor is held fixed: differences would see it too
        terms = Terms(0.0, terms.beta, terms.gamma)
    logits, soft = drawn(3).requires_grad_(True), said(drawn(4), kind)
    weight = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    taught(logits, soft, weight, terms, kind).backward()
    assert logits.grad is not None and float(logits.grad[0].abs().max()) == 0  # a weight of 0 teaches nothing
    for place in [(1, 0), (2, 3), (4, 1)]:
        ends = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[place] += sign * 1e-6
            ends.append(float(taught(moved, soft, weight, terms, kind)))
        assert float(logits.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_and_weight_are_those_that_numpy_has(kind: Kind) -> None:
    logits = drawn(5)
    soft = likelihood(logits.numpy(), kind)
    weight = sure(entropy(logits, kind), logits.shape[1], kind).numpy()
    assert np.allclose(weight, confidence(soft, kind), rtol=1e-5)
    assert float(entropy(torch.zeros(1, 4), kind)) == pytest.approx(math.log(4 if kind == "classes" else 2))


def test_the_entropy_term_pulls_towards_certainty_alone() -> None:
    logits = drawn(6).requires_grad_(True)
    taught(logits, said(logits.detach(), "classes"), torch.ones(5), Terms(alpha=1.0)).backward()
    assert logits.grad is not None
    after = logits.detach() - 0.1 * logits.grad
    assert float(entropy(after).sum()) < float(entropy(logits.detach()).sum())


def test_certain_teachers_give_finite_losses() -> None:
    soft = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    for kind in KINDS:
        assert math.isfinite(float(taught(torch.tensor([[100.0, -100.0], [100.0, -100.0]]), soft, torch.ones(2), kind=kind)))
