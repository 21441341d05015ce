"""The loss of stage 2 for whatever a person's network answers: with labels where a picture has one, without them anything.

    classes    ½ cross-entropy + ½ KL(teacher ‖ student); for pictures without a label, and where no labels are given, KL alone
    others     Σ over outputs of mean((s − t)²) / var(t): the teacher's outputs stand for labels (distillation; papers 2 and 6)

Boxes, scores and maps of a detector are distilled alike, each in units of its own spread. Which of them matter more it does not
know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgewise.split.training.tune import Loss
from edgewise.training.distil import gap
from edgewise.training.outputs import classed, named

NONE = -1  # the class of a picture that has no label


def classified(labels: Sequence[int] | None) -> Loss:
    """Of a classifier, for pictures whose classes are `labels` (NONE: unknown)."""
    true = None if labels is None else torch.tensor(list(labels))

    def loss(given: Any, wanted: Callable[[], Any], indices: list[int]) -> Tensor:
        own = functional.log_softmax(classed(given).float(), -1)
        told = functional.log_softmax(classed(wanted()).float(), -1)
        divergence = functional.kl_div(own, told, reduction="none", log_target=True).sum(-1)  # (batch,)
        if true is None:
            return divergence.mean()
        classes = true[indices].to(own.device)
        entropy = functional.nll_loss(own, classes.clamp_min(0), reduction="none")
        return torch.where(classes == NONE, divergence, (entropy + divergence) / 2).mean()

    return loss


def answered(given: Any, wanted: Callable[[], Any], indices: list[int]) -> Tensor:
    """Of any network whose outputs are tensors."""
    told = dict(named(wanted()))
    return torch.stack([gap(value.float(), told[name].float(), relative=True) for name, value in named(given)]).sum()
