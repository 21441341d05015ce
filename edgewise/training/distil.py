"""Feature distillation: a student's modules taught to give what a frozen teacher's modules give, found by path.

    loss = Σ_path factor · gap(student(path), teacher(path))

`gap` is the sum of squared errors over the elements of one picture, averaged over the batch (paper 2, §III: HND takes one path,
GHND several, each factor 1), or, `relative`, the mean squared error divided by the variance of the teacher's output
(ours): then a path weighs the same whatever its size, and other terms can be weighed against it. That variance is the batch's,
or one for the whole training that `spread` measured beforehand: over pictures, element by element, and averaged.

No labels are used. The teacher is in evaluation mode and gives no gradients; who may learn in the student is said by the
`requires_grad` of its parameters, and the modes of its modules are left as they are. Neither network runs further than the last
path.

`answering` is the loss where a classifier is taught by labels and by a teacher's answers in equal parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.errors import ModelError
from edgewise.graph.picture import Look
from edgewise.training.classes import tensor
from edgewise.training.course import Source
from edgewise.training.paths import gathered

LEAST_VARIANCE = 1e-6
MEASURED, BATCH = 256, 32  # pictures that measure the teacher's variance


def gap(student: Tensor, teacher: Tensor, relative: bool = False, variance: float | None = None) -> Tensor:
    """How far `student` (batch, …) is from `teacher`, of the same shape: a scalar, see above; relative to `variance` if given."""
    if student.shape != teacher.shape:
        raise ModelError(
            "student and teacher give tensors of different shapes",
            got=f"{tuple(student.shape)} against {tuple(teacher.shape)}",
            allowed="one shape at each path of the loss",
            hint="Is the cut a module whose input and output are maps?",
        )
    error = (student.float() - teacher.float()).square()
    if variance is not None:
        return error.mean() / max(variance, LEAST_VARIANCE)
    if not relative:
        return error.sum() / len(student)
    return error.mean() / teacher.float().var(correction=0).clamp_min(LEAST_VARIANCE)


def answering(given: Tensor, wanted: Tensor, classes: Tensor | None = None) -> Tensor:
    """½ cross-entropy + ½ KL(teacher ‖ student) at a temperature of 1, mean over the batch; without `classes` KL alone.

    `given` and `wanted` are logits (batch, classes) of student and teacher, `classes` (batch,) the true ones (papers 6, 8, §4).
    """
    own, told = given.log_softmax(1), wanted.log_softmax(1)
    divergence = functional.kl_div(own, told, reduction="batchmean", log_target=True)
    return divergence if classes is None else (functional.cross_entropy(given, classes) + divergence) / 2


def measuring(source: Source, look: Look, crop: int, where: torch.device) -> Iterator[Tensor]:
    """Batches that measure a teacher's variance: pictures evenly chosen, their middles where steps see crops."""
    count = len(source)
    chosen = np.linspace(0, count - 1, min(MEASURED, count)).round().astype(int).tolist()
    for first in range(0, len(chosen), BATCH):
        pictures = source.of(chosen[first : first + BATCH])
        y, x = ((n - crop) // 2 if crop and crop < n else 0 for n in pictures.shape[1:3])
        pictures = pictures[:, y : y + crop, x : x + crop] if crop else pictures
        yield tensor(pictures, look).to(where)


def spread(teacher: nn.Module, paths: Sequence[str], batches: Iterable[Tensor]) -> dict[str, float]:
    """By path, the variance of what `teacher` gives: over all pictures of the batches, element by element, then averaged."""
    count = 0
    sums: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    with torch.no_grad():
        for pictures in batches:
            count += len(pictures)
            for path, value in gathered(teacher, tuple(paths), pictures).items():
                own = value.double()
                sums[path] = own.sum(0) + sums.get(path, 0)
                squares[path] = own.square().sum(0) + squares.get(path, 0)
    if not count:
        raise ModelError("a variance has no pictures", got=0, allowed="1 or more")
    return {p: max(float((squares[p] / count - (sums[p] / count).square()).mean()), LEAST_VARIANCE) for p in paths}


class Distil:
    """One distillation step: `loss, parts = distil(pictures)`; `parts` are the gaps by path, as numbers for a record."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        factors: Mapping[str, float],
        relative: bool = False,
        variances: Mapping[str, float] | None = None,
    ) -> None:
        if not factors:
            raise ModelError("a distillation has no path", got="no factors", allowed="one module path or more")
        self._teacher, self._student = teacher.eval().requires_grad_(False), student
        self._factors, self._relative, self._variances = dict(factors), relative, dict(variances or {})

    def __call__(self, pictures: Tensor) -> tuple[Tensor, dict[str, float]]:
        """`pictures` (batch, …) as both networks take them."""
        with torch.no_grad():
            wanted = gathered(self._teacher, tuple(self._factors), pictures)
        given = gathered(self._student, tuple(self._factors), pictures)
        gaps = {p: gap(given[p], wanted[p], self._relative, self._variances.get(p)) for p in self._factors}
        loss = torch.stack([factor * gaps[path] for path, factor in self._factors.items()]).sum()
        return loss, {path: round(float(g.detach()), 6) for path, g in gaps.items()}
