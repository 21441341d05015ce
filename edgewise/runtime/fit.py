"""From run times of whole networks to the cost of each kind of kernel.

Every network is one equation: its seconds are the sum, over its kernels, of weight × feature, plus one constant for the
run. All kinds are solved at once by non-negative least squares on relative errors (a network of a microsecond counts like
one of a second), with outliers weighed down. Errors are those on networks that a fit has not seen. Weights that cannot be
negative keep a fit of correlated features sane outside the shapes that were seen.

Symbols: A design (network × feature), y seconds, x weights, r = log(A x / y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.device import OperatorRate
from edgewise.graph.kernels import Kernel

SESSION = "session"
# Relative error from which on a network weighs less.
_FAR = 0.15
_ROUNDS = 8
# No kind is trusted further than this, however well its few networks happen to fit.
_LEAST_SPREAD = 0.05

Vector = NDArray[np.float64]


def fit(networks: Sequence[tuple[Sequence[Kernel], float]], block: int) -> tuple[OperatorRate, ...]:
    """A rate for each kind of kernel in `networks`, which are their kernels and measured seconds."""
    columns: dict[tuple[str, str], int] = {(SESSION, "one"): 0}
    design: list[dict[int, float]] = []
    for found, _ in networks:
        row: dict[int, float] = {0: 1.0}
        for kernel in found:
            for name, value in kernel.features(block).items():
                column = columns.setdefault((kernel.kind, name), len(columns))
                row[column] = row.get(column, 0.0) + value
        design.append(row)
    a = np.zeros((len(design), len(columns)))
    for i, row in enumerate(design):
        a[i, list(row)] = list(row.values())
    y = np.array([seconds for _, seconds in networks])
    x = _solve(a, y)
    error = _unseen_error(a, y)
    return tuple(_rate(kind, columns, a, x, error) for kind in dict.fromkeys(kind for kind, _ in columns))


def _unseen_error(a: NDArray[Any], y: Vector) -> Vector:
    """log(estimate / measured) of each network by a fit that has not seen it: two halves, each judged by the other."""
    error = np.zeros(len(y))
    for half in (0, 1):
        here = np.arange(len(y)) % 2 == half
        error[here] = np.log(np.maximum(a[here] @ _solve(a[~here], y[~here]), 1e-12) / y[here])
    return error


def _solve(a: NDArray[Any], y: Vector) -> Vector:
    scale = np.maximum(a.max(axis=0), 1e-30)
    weight = 1 / y
    x = np.zeros(a.shape[1])
    for _ in range(_ROUNDS):
        x = nonnegative(a * (weight[:, None] / scale), y * weight)
        error = np.log(np.maximum(a @ (x / scale), 1e-12) / y)
        weight = 1 / y / np.sqrt(np.maximum(1, np.abs(error) / _FAR))
    found: Vector = x / scale
    return found


def nonnegative(a: NDArray[Any], b: Vector) -> Vector:
    """min |A x − b| over x ≥ 0: the active-set method of Lawson and Hanson (1974, chapter 23) on the normal equations."""
    gram, target = a.T @ a, a.T @ b
    gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram)
    x, free = np.zeros(len(target)), np.zeros(len(target), bool)
    tolerance = 1e-10 * float(np.abs(target).max())
    for _ in range(3 * len(target)):
        gradient = np.where(free, -np.inf, target - gram @ x)
        best = int(gradient.argmax())
        if gradient[best] <= tolerance:
            break
        free[best] = True
        while True:
            candidate = np.zeros_like(x)
            candidate[free] = np.linalg.solve(gram[np.ix_(free, free)], target[free])
            if (candidate[free] > 0).all():
                break
            blocked = free & (candidate <= 0)
            step = float((x[blocked] / (x[blocked] - candidate[blocked])).min())
            x += step * (candidate - x)
            free &= x > 1e-14
        x = candidate
    return x


def _rate(kind: str, columns: dict[tuple[str, str], int], a: NDArray[Any], x: Vector, error: Vector) -> OperatorRate:
    """The weights of one kind; its spread is the error of the networks, each counted by the share that this kind has of it."""
    names = [name for k, name in columns if k == kind]
    places = [columns[kind, name] for name in names]
    share = (a[:, places] @ x[places]) / np.maximum(a @ x, 1e-12)
    has = a[:, places[0]] > 0
    weight = share**2
    spread = float(np.sqrt((weight * np.clip(error, -1, 1) ** 2).sum() / max(float(weight.sum()), 1e-12)))
    return OperatorRate(kind, tuple(names), tuple(float(x[p]) for p in places), max(_LEAST_SPREAD, spread), int(has.sum()))
