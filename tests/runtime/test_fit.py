"""The fit finds the weights that made the times, also among noise, and says how far it is off."""

import math
import random

import numpy as np
import pytest
from scipy.optimize import nnls

from edgewise.core.device import OperatorRate
from edgewise.graph.kernels import Kernel
from edgewise.runtime.fit import SESSION, fit, nonnegative

TRUE = {("conv", "work"): 8e-12, ("conv", "one"): 1e-6, ("copy", "read"): 2e-11}


def networks(n: int, noise: float, seed: int = 4) -> list[tuple[tuple[Kernel, ...], float]]:
    """Networks of one to four kernels whose times are known, times log-normal noise."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        chosen = tuple(
            Kernel(
                "conv",
                work=10 ** rng.uniform(5, 8),
                read=10 ** rng.uniform(3, 5),
                written=10 ** rng.uniform(3, 5),
                wide=rng.choice((16, 48, 256)),
            )
            if rng.random() < 0.6
            else Kernel("copy", 0, read=10 ** rng.uniform(4, 7), written=0)
            for _ in range(rng.randint(1, 4))
        )
        seconds = 3e-6 + sum(
            w * k.features(16).get(name, 0) for k in chosen for (kind, name), w in TRUE.items() if kind == k.kind
        )
        found.append((chosen, seconds * math.exp(rng.gauss(0, noise))))
    return found


def seconds_by(rates: dict[str, OperatorRate], chosen: tuple[Kernel, ...]) -> float:
    found = [(rates[k.kind], k.features(16)) for k in chosen]
    return rates[SESSION].weights[0] + sum(w * f[n] for r, f in found for n, w in zip(r.features, r.weights, strict=True))


def test_times_of_other_networks_are_found() -> None:
    rates = {r.operator: r for r in fit(networks(200, noise=0.0), 16)}
    assert math.isclose(rates[SESSION].weights[0], 3e-6, rel_tol=0.05)
    for chosen, seconds in networks(50, noise=0.0, seed=9):
        assert math.isclose(seconds_by(rates, chosen), seconds, rel_tol=0.03)
    assert all(w >= 0 for r in rates.values() for w in r.weights)


def test_the_spread_follows_the_noise() -> None:
    quiet, loud = ({r.operator: r for r in fit(networks(300, noise), 16)}["conv"] for noise in (0.02, 0.3))
    assert 0.2 < loud.spread < 0.45
    assert quiet.spread < loud.spread / 3
    assert quiet.n == loud.n > 100


@pytest.mark.parametrize("seed", range(8))
def test_least_squares_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((40, 12)), rng.random(40) - 0.2
    want, residual = nnls(a, b)
    got = nonnegative(a, b)
    assert (got >= 0).all()
    assert np.linalg.norm(a @ got - b) <= residual * (1 + 1e-6)
    assert np.allclose(got, want, atol=1e-4)
