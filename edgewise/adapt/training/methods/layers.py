"""The normalisation of a net, layer by layer: what methods of test-time adaptation look at and change.

`taken(net, kind)` gives a copy of a net in which every batch normalisation is a layer of one `kind`, by path:

    Given       normalises with the statistics that it holds
    OfBatch     with those of the batch before it, through which gradients pass (BN-adapt, Tent)

or of a kind that somebody else adds (`Renormalised`, `Lastwise`). Objects of their own and not one with a mode: what a forward
pass means never changes. Layer and group normalisation stay as they are; they have affine parameters alone. Nothing in the copy
needs a gradient but what `affine` lists.

It knows modules of torch and the operators of `training.from_onnx`, both by what they hold.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.errors import ModelError
from edgewise.training.from_onnx import NORMS, Operator

PLAIN = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)


class Given(nn.Module):
    """γ `weight`, β `bias`, μ `mean` and σ² `variance`, each (channel,): y = (x − μ) / √(σ² + ε) · γ + β."""

    mean: Tensor
    variance: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.register_buffer("mean", mean.clone())
        self.register_buffer("variance", variance.clone())
        self.epsilon = epsilon

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Normalise with copies of these, (channel,) each, from now on."""
        self.mean.copy_(mean)
        self.variance.copy_(variance)

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.epsilon)


class OfBatch(Given):
    """Statistics of the batch; those that it holds where a channel has a single value, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() == x.shape[1]:
            return super().forward(x)
        return functional.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.epsilon)


Layer = TypeVar("Layer", bound=Given)


def taken(net: nn.Module, kind: type[Layer]) -> tuple[nn.Module, dict[str, Layer]]:
    """A frozen copy of `net` in evaluation mode with its batch normalisations as `kind`, and these by path in order."""
    own = copy.deepcopy(net).eval().requires_grad_(False)
    found: dict[str, Layer] = {}
    for path, module in list(own.named_modules()):
        if (made := _made(module, kind)) is not None:
            parent = own.get_submodule(path.rpartition(".")[0])
            setattr(parent, path.rpartition(".")[2], made)
            found[path] = made
    return own, found


def affine(net: nn.Module) -> dict[str, nn.Parameter]:
    """γ and β of every normalisation of a net made by `taken`, by path; from now on they take gradients.

    ModelError where there are none.
    """
    found: dict[str, nn.Parameter] = {}
    for path, module in net.named_modules():
        if isinstance(module, (Given, *PLAIN)) or (isinstance(module, Operator) and module.kind in NORMS):
            found |= {f"{path}.{name}": p for name, p in module.named_parameters(recurse=False) if name in ("weight", "bias")}
    if not found:
        raise ModelError(
            "a net has no normalisation whose parameters could change",
            allowed="batch, layer, group or instance normalisation with a scale and a shift",
            hint="Export it with normalisation left unfolded (training/export.py: unfold=True).",
        )
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (channel,) of the input (n, channel, …) of a normalisation, without a gradient."""
    variance, mean = torch.var_mean(x.detach(), [0, *range(2, x.ndim)], correction=0)
    return mean, variance


def _made(module: nn.Module, kind: type[Layer]) -> Layer | None:
    """A batch normalisation as a layer of ours; None for anything else."""
    if isinstance(module, Given):
        return kind(module.weight.detach(), module.bias.detach(), module.mean, module.variance, module.epsilon)
    operator = isinstance(module, Operator) and module.kind == "BatchNormalization"
    if not operator and not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return None
    mean, variance = module.running_mean, module.running_var
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        raise ModelError("a batch normalisation holds no statistics", got=type(module).__name__, allowed="running statistics")
    weight = module.weight if isinstance(module.weight, Tensor) else torch.ones_like(mean)
    bias = module.bias if isinstance(module.bias, Tensor) else torch.zeros_like(mean)
    epsilon = module.epsilon if operator else module.eps
    assert isinstance(epsilon, float)
    return kind(weight.detach(), bias.detach(), mean, variance, epsilon)
