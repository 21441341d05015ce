"""Methods without a gradient and without a byte: nothing, statistics of the batch, and LAME.

    none     the source model as it was exported
    batch    μ and σ² of each batch in place of the source's (BN-adapt): the best there is on an i.i.d. stream, and wrong where a
             batch holds one class, or one picture
    lame     the source's outputs smoothed over neighbours in feature space (Boudiaf et al. 2022, Laplacian adjusted maximum
             likelihood): right where neighbours in the stream share their class, harmful where they do not

LAME finds  Z = argmin Σᵢ KL(zᵢ ‖ qᵢ) − ½·Σᵢⱼ wᵢⱼ zᵢ·zⱼ  by repeating  z ← softmax(ln q + W z),  with wᵢⱼ = 1 for the five nearest
neighbours by Euclidean distance of features, which are what the last layer with weights sees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.step import likelihood
from edgewise.adapt.training.methods.layers import Given, OfBatch, taken
from edgewise.adapt.training.methods.subject import Subject, forward
from edgewise.core.errors import ModelError
from edgewise.training.from_onnx import Operator

NEIGHBOURS, MOST_ROUNDS, SETTLED = 5, 100, 1e-8


class Unchanged:
    """The source model; `name` none."""

    name = "none"

    def __init__(self, subject: Subject) -> None:
        self._net, _ = taken(subject.net, Given)
        self._kind, self._tally = subject.kind, Tally()

    def answer(self, inputs: Inputs) -> Values:
        self._tally = self._tally.plus(seen=len(inputs))
        return forward(self._net, inputs, self._kind)

    def tally(self) -> Tally:
        return self._tally


class BatchStatistics(Unchanged):
    """Each batch normalised by its own statistics; nothing is kept."""

    name = "batch statistics"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._net, _ = taken(subject.net, OfBatch)


class Lame(Unchanged):
    """The source's answers, smoothed over the neighbours in each batch."""

    name = "LAME"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        if subject.kind != "classes":
            raise ModelError("LAME smooths classes alone", got=subject.kind, allowed="a classifier")
        self._features: Tensor = torch.zeros(0)
        last(self._net).register_forward_pre_hook(self._seen)

    def _seen(self, module: nn.Module, given: Any) -> None:
        self._features = given[0].detach()

    def answer(self, inputs: Inputs) -> Values:
        said = super().answer(inputs)
        features = self._features.reshape(len(inputs), -1).double().numpy()
        return smoothed(said, affinity(features))


def affinity(features: NDArray[Any], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """(n, n): 1 from each of n rows to its nearest others, 0 elsewhere."""
    squares = (features * features).sum(1)
    apart = squares[:, None] + squares[None] - 2 * features @ features.T
    np.fill_diagonal(apart, np.inf)
    near: NDArray[np.float64] = np.zeros_like(apart)
    count = min(neighbours, len(features) - 1)
    if count > 0:
        np.put_along_axis(near, np.argpartition(apart, count - 1, axis=1)[:, :count], 1.0, axis=1)
    return near


def smoothed(probabilities: Values, near: NDArray[np.float64]) -> Values:
    """(n, class) after at most 100 rounds of z ← softmax(ln q + W z), or once the energy has settled."""
    unary = np.log(probabilities.astype(np.float64) + 1e-10)
    z = likelihood(unary).astype(np.float64)
    before = np.inf
    for _ in range(MOST_ROUNDS):
        pull = near @ z
        z = likelihood(unary + pull).astype(np.float64)
        energy = float((z * (np.log(z + 1e-20) - unary - pull)).sum())
        if abs(energy - before) <= SETTLED * abs(before):
            break
        before = energy
    return z.astype(np.float32)


def last(net: nn.Module) -> nn.Module:
    """The last layer with weights, which makes logits of features; ModelError where a net has none."""
    found = [m for m in net.modules() if isinstance(m, nn.Linear) or (isinstance(m, Operator) and m.kind in ("Gemm", "MatMul"))]
    if not found:
        raise ModelError("a net has no last linear layer", allowed="a classifier that ends in one", hint="LAME needs features.")
    return found[-1]
