"""What a student's answer costs beside the teacher's: KL divergence and entropy in nats, of classes or of the cells of a map.

    L = mean_x [ β · w(x) · KL(p_T ‖ p_S) + γ · w(x) · CE(argmax p_T, p_S) + α · exp(E0 − H_S) · H_S ]

(adapt notes 2.4.) w is the batch's weight, exp(E0 − H_T) as a rule; the factor of the α term gives no gradient. A map is C
questions of yes and no: divergence and entropy are the mean over its cells. The defaults are those that worked on long streams
(§6): β = 3, α = γ = 0.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from edgewise.adapt.step import CEILING, Kind, highest


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """α (entropy of the student), β (divergence from the teacher) and γ (cross-entropy with the teacher's class)."""

    alpha: float = 0.0
    beta: float = 3.0
    gamma: float = 0.0


TERMS = Terms()
CELLS = Terms(beta=30.0)  # a map's mean is over cells of which nearly all are certain: ten times the weight, at the same rates


def divergence(logits: Tensor, soft: Tensor, kind: Kind = "classes") -> Tensor:
    """KL(soft ‖ student) (n,), of logits and probabilities (n, C); 0, and without a gradient, where they are the same."""
    if kind == "cells":
        own = torch.special.xlogy(soft, soft) + torch.special.xlogy(1 - soft, 1 - soft)
        each: Tensor = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none") + own
        return each.mean(1)
    apart: Tensor = torch.special.xlogy(soft, soft) - soft * logits.log_softmax(1)
    return apart.sum(1)


def entropy(logits: Tensor, kind: Kind = "classes") -> Tensor:
    """Entropy (n,) of the answers of logits (n, C)."""
    if kind == "cells":
        p = torch.sigmoid(logits)
        return functional.binary_cross_entropy_with_logits(logits, p, reduction="none").mean(1)
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def sure(entropies: Tensor, classes: int, kind: Kind = "classes", ceiling: float = CEILING) -> Tensor:
    """exp(E0 − H) of entropies (n,), without a gradient; E0 is `ceiling` · ln C, of cells `ceiling` · ln 2."""
    return torch.exp(ceiling * highest(classes, kind) - entropies.detach())


def taught(logits: Tensor, soft: Tensor, weight: Tensor, terms: Terms = TERMS, kind: Kind = "classes") -> Tensor:
    """The loss L above, of logits (n, C), the teacher's probabilities (n, C) and weights (n,)."""
    loss = terms.beta * weight * divergence(logits, soft, kind)
    if terms.gamma:
        wanted = (
            (soft >= 0.5).to(soft.dtype) if kind == "cells" else functional.one_hot(soft.argmax(1), soft.shape[1]).to(soft.dtype)
        )
        loss = loss + terms.gamma * weight * divergence(logits, wanted, kind)
    if terms.alpha:
        own = entropy(logits, kind)
        loss = loss + terms.alpha * sure(own, logits.shape[1], kind) * own
    return loss.mean()
