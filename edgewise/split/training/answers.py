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

from edgewise.split.training.tune import Loss
from edgewise.training.distil import answering, gap
from edgewise.training.outputs import classed, named

NONE = -1  # the class of a picture that has no label


def classified(labels: Sequence[int] | None) -> Loss:
    """Of a classifier, for pictures whose classes are `labels` (NONE: unknown)."""
    true = None if labels is None else torch.tensor(list(labels))

    def loss(given: Any, wanted: Callable[[], Any], indices: list[int]) -> Tensor:
        own, told = classed(given).float(), classed(wanted()).float()
        if true is None:
            return answering(own, told)
        classes = true[indices].to(own.device)
        known = classes != NONE
        parts = [(known, classes[known]), (~known, None)]
        sums = [some.sum() * answering(own[some], told[some], true_of) for some, true_of in parts if some.any()]
        return torch.stack(sums).sum() / len(own)

    return loss


def answered(given: Any, wanted: Callable[[], Any], indices: list[int]) -> Tensor:
    """Of any network whose outputs are tensors."""
    told = dict(named(wanted()))
    return torch.stack([gap(value.float(), told[name].float(), relative=True) for name, value in named(given)]).sum()
