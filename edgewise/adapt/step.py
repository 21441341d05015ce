"""A Step is what trains the shadow: the server's copy of the model that devices run; a Batch is what it is given.

| symbol | name | unit |
|---|---|---|
| φ | affine values: scale γ and shift β of normalisation, by parameter path | |
| p_T, p_S | `soft`, and the student's own answer | |
| H_T, E0 | entropy of the teacher's answer, and the ceiling 0.4·ln C | nats |

The loss is that of the adapt notes (2.4, and §6 of the long runs, α = γ = 0): the mean of 3 · `weight` · KL(p_T ‖ p_S), with the
weight exp(E0 − H_T), which sinks as the teacher becomes less sure. A model whose answer is a map has C yes-or-no questions a
picture instead of one among C: the divergence and the entropy are then the mean of those of its cells.

A Step is the house's Step (`step`, `delta`) with what adaptation asks besides; `edgewise.adapt.training.step` makes one with
torch. It does not know which pictures it is given, nor whether what it learned is good: that is for the gate
(`edgewise.adapt.accept`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.delta import Delta
from edgewise.core.moments import Statistics
from edgewise.data.doubt import binary

Values = NDArray[np.float32]
Phi = Mapping[str, Values]  # φ by parameter path, as in the bundle's manifest
Kind = Literal["classes", "cells"]  # one question among C, or C questions of yes and no
CEILING = 0.4  # E0 in units of ln C


class Batch(Struct, frozen=True, eq=False):
    """`inputs` (n, …) as the student's first part takes them (dtype and layout of the ONNX part), `soft` (n, C) the teacher's
    probabilities, `weight` (n,) ≥ 0; both float32.
    """

    inputs: NDArray[Any]
    soft: Values
    weight: Values


@runtime_checkable
class Step(Protocol):
    """The shadow and its optimiser.

    `rate` is the step size of the next steps, and may be set. `step` makes one, and gives its loss. `affine` is φ as it stands;
    `restore` sets it and forgets momentum. `logits` (n, C) of the student for `inputs`: with `affine` in place of its own φ where
    given (which stays), normalised by what `follow` said last, or by the model's own statistics where `source`. `follow` takes
    the device's running statistics, by which the shadow is normalised from then on; layers without any keep their own.
    `delta` is the change of φ since the Step was made, exact.
    """

    rate: float

    def step(self, batch: Batch) -> float: ...

    def delta(self, base: str, parent: str) -> Delta: ...

    def affine(self) -> dict[str, Values]: ...

    def restore(self, affine: Phi) -> None: ...

    def logits(self, inputs: NDArray[Any], affine: Phi | None = None, source: bool = False) -> Values: ...

    def follow(self, statistics: Statistics) -> None: ...


def likelihood(logits: NDArray[Any], kind: Kind = "classes") -> Values:
    """Probabilities (n, C) of logits (n, C): a softmax for classes, a logistic function for each cell.

    >>> likelihood(np.zeros((1, 2))).tolist(), likelihood(np.zeros((1, 2)), "cells").tolist()
    ([[0.5, 0.5]], [[0.5, 0.5]])
    """
    scores = np.asarray(logits, np.float64)
    with np.errstate(all="ignore"):  # NaN stays NaN, and whoever asks counts it
        if kind == "cells":
            return np.asarray(1 / (1 + np.exp(-np.clip(scores, -60, 60))), np.float32)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def highest(classes: int, kind: Kind = "classes") -> float:
    """The entropy of knowing nothing, in nats: ln C, of cells ln 2.

    >>> highest(2) == highest(900, "cells") == math.log(2)
    True
    """
    return math.log(2 if kind == "cells" else max(classes, 2))


def entropies(soft: NDArray[Any], kind: Kind = "classes") -> Values:
    """Entropy (n,) of answers (n, C) in units of the largest there can be: 0 is certainty, 1 knowing nothing."""
    p = np.asarray(soft, np.float64)
    if kind == "cells":
        return np.asarray(binary(p).mean(axis=1), np.float32)
    if p.shape[1] < 2:
        return np.zeros(len(p), np.float32)
    nats = -(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(axis=1)
    return np.asarray(np.clip(nats / math.log(p.shape[1]), 0, 1), np.float32)


def confidence(soft: NDArray[Any], kind: Kind = "classes", ceiling: float = CEILING) -> Values:
    """The weight (n,) of teaching by these answers: exp(E0 − H_T), in nats; `ceiling` is E0 in units of the largest entropy.

    >>> round(float(confidence(np.array([[1.0, 0.0]]))[0]), 2) == round(math.exp(0.4 * math.log(2)), 2)
    True
    """
    largest = highest(soft.shape[1], kind)
    return np.asarray(np.exp(largest * (ceiling - entropies(soft, kind).astype(np.float64))), np.float32)


def agreement(one: NDArray[Any], other: NDArray[Any], kind: Kind = "classes") -> Values:
    """How far two answers (n, C) are the same (n,): 1 or 0 by their likeliest class; of maps, the share of the cells occupied in
    either that are in both (1 where both are empty).

    >>> agreement(np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]])).tolist()
    [1.0]
    """
    if kind == "classes":
        return np.asarray(one.argmax(axis=1) == other.argmax(axis=1), np.float32)
    a, b = one >= 0.5, other >= 0.5
    either, both = (a | b).sum(axis=1), (a & b).sum(axis=1)
    return np.asarray(np.where(either > 0, both / np.maximum(either, 1), 1.0), np.float32)
