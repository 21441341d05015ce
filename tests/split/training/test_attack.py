"""The differentiable rate of a coding: it is what the coder pays, its gradient is right, and it can be climbed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.errors import ModelError
from edgewise.runtime.bundle import Bundle
from edgewise.split.training.attack import Rate, attacked, weighted
from edgewise.training.nets.detector import Head, Tail

VEHICLES = Path(__file__).parents[3] / "edgewise" / "bundles" / "vehicles"
BOTTLENECK = Bottleneck((3, 20, 30), (0.0,) * 3, (1.0,) * 3)


def clean(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).beta(0.5, 4, (n, *BOTTLENECK.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def coding() -> Coding:
    return coding_for(BOTTLENECK, [clean(50, 0)], [8, 16, 32], (2, 0, 1), 1)


def test_rate_is_what_the_coder_pays(coding: Coding) -> None:
    frames = clean(4, 1)
    codec = FeatureCodec(BOTTLENECK, coding)
    whole = np.concatenate([codec.decode(codec.encode(one[None])) for one in frames])
    told = Rate(BOTTLENECK, coding)(torch.from_numpy(whole)).numpy() / 8
    paid = np.array([len(codec.encode(one[None])) for one in frames])
    assert np.all((told - 4 < paid) & (paid < 1.02 * told + 40))  # container, lanes and padding


def test_its_gradient_is_that_of_finite_differences(coding: Coding) -> None:
    rate = Rate(BOTTLENECK, coding).double()
    x = torch.from_numpy(clean(1, 2)).double().requires_grad_()
    rate(x).sum().backward()
    assert x.grad is not None
    generator = np.random.default_rng(0)
    for _ in range(20):
        at = (0, *(int(generator.integers(n)) for n in BOTTLENECK.shape))
        moved = x.detach().clone()
        moved[at] += 1e-7
        slope = float((rate(moved) - rate(x.detach())) / 1e-7)
        assert float(x.grad[at]) == pytest.approx(slope, rel=1e-3, abs=1e-2)


def test_an_attack_stays_near_and_costs_more(coding: Coding) -> None:
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 3, 3, 2, 1)
    pictures = np.random.default_rng(3).integers(60, 200, (2, 40, 60, 3), np.uint8)
    rate = Rate(BOTTLENECK, coding)
    found = attacked(net, rate, pictures, 8 / 255, 10)
    assert np.abs(found.astype(int) - pictures).max() <= 8

    def bits(images: np.ndarray) -> float:
        with torch.no_grad():
            return float(rate(net(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)).sum())

    noise = np.random.default_rng(4).choice([-8, 8], pictures.shape)
    assert bits(found) > 1.05 * bits(pictures)
    assert bits(found) > bits((pictures + noise).astype(np.uint8))


def test_a_torch_head_with_the_weights_of_a_bundle_is_its_onnx_head() -> None:
    bundle = Bundle.open(VEHICLES)
    head = weighted(Head(8), bundle.manifest, "head", (VEHICLES / "head.onnx").read_bytes())
    pictures = np.random.default_rng(5).integers(0, 256, (2, 180, 320, 3), np.uint8)
    with torch.no_grad():
        got = head(torch.from_numpy(pictures)).numpy()
    np.testing.assert_allclose(got, bundle.session("head").run({"picture": pictures})["bottleneck"], atol=1e-4)
    with pytest.raises(ModelError, match="not of this network"):
        weighted(Tail(8), bundle.manifest, "head", (VEHICLES / "head.onnx").read_bytes())
