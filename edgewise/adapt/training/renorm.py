"""Batch renormalisation as a layer: values by given running statistics, gradients through the statistics of the batch.

| symbol | name | shape |
|---|---|---|
| μ, σ² | `mean`, `variance`: the device's running statistics | (channel,) |
| γ, β | `weight`, `bias` | (channel,) |
| m, s² | mean and variance of the batch, ε added to s² | (channel,) |

    value      y = γ · (x − μ)/√(σ² + ε) + β
    gradient   of y' = γ · ((x − m)/s · r + d) + β    r = s/√(σ² + ε),  d = (m − μ)/√(σ² + ε), both held fixed

The two values are the same, the gradients are not: ∂y'/∂x takes out what a change of all samples together would do, which the
statistics of a stream will take out too (DELTA; adapt notes 2.1 and 2.4). So the shadow sees exactly what devices compute, and
learns as with statistics of the batch: worth +0.5 points over those on selected uploads, and it spares clean data (long
runs §0.4).

Layer, group and instance normalisation have no running statistics: for them nothing changes. Only x is kept for the backward
pass. It does not know where the statistics come from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgewise.adapt.training.methods.layers import Given


class _Renormalise(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        context.save_for_backward(x, mean, variance, weight)
        context.epsilon = epsilon
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon)

    @staticmethod
    def backward(context: Any, *grown: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, variance, weight = context.saved_tensors
        (above,) = grown
        axes = [0, *range(2, x.ndim)]
        wide = [1, -1, *[1] * (x.ndim - 2)]
        scale = (variance + context.epsilon).rsqrt()
        of_weight = ((x - mean.reshape(wide)) * above).sum(axes) * scale
        if not context.needs_input_grad[0]:
            return None, None, None, of_weight, above.sum(axes), None
        below = above * (weight * scale).reshape(wide)
        if x.numel() > x.shape[1]:  # a single value has no variance: the plain gradient
            s2, m = torch.var_mean(x, axes, correction=0, keepdim=True)
            own = (x - m) * (s2 + context.epsilon).rsqrt()
            below = below - below.mean(axes, keepdim=True) - own * (below * own).mean(axes, keepdim=True)
        return below, None, None, of_weight, above.sum(axes), None


class Renormalised(Given):
    """A batch normalisation that is trained as above; `mean` and `variance` are set from outside.

    >>> layer = Renormalised(torch.ones(2), torch.zeros(2), torch.zeros(2), torch.ones(2), 0.0)
    >>> layer(torch.full((1, 2), 3.0)).tolist()
    [[3.0, 3.0]]
    """

    def forward(self, x: Tensor) -> Tensor:
        return _Renormalise.apply(x, self.mean, self.variance, self.weight, self.bias, self.epsilon)  # type: ignore[no-any-return, no-untyped-call]
