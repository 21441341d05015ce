"""AffineStep: the Step of adaptation in torch; stochastic gradient descent on scales and shifts of normalisation alone.

    φ ← φ − rate · v,   v ← 0.9 · v + ∂L/∂φ      L as in `edgewise.adapt.training.loss`

The shadow is normalised by the statistics that devices run with (`follow`), its gradients go through those of the batch
(`edgewise.adapt.training.renorm`). `affine` is what a device holds, to the bit, once what was shipped is put back with `restore`.

A batch whose loss or gradients are no numbers changes nothing and is counted in `astray`; rows of `soft` that hold NaN do not
teach. It does not know whether a step did good: the gate does (`edgewise.adapt.accept`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.adapt.affine import METHOD
from edgewise.adapt.step import Batch, Phi, Values
from edgewise.adapt.training.loss import CELLS, TERMS, Terms, taught
from edgewise.adapt.training.student import Student
from edgewise.core.delta import Change, Delta
from edgewise.core.errors import TensorError
from edgewise.core.moments import Statistics
from edgewise.runtime.update import exact

MOMENTUM = 0.9
CHUNK = 64  # pictures at once where nothing is learned


class AffineStep:
    """The shadow `student`, and its optimiser; a `Step` (`edgewise.adapt.step`). `terms`: those of long runs, for maps CELLS."""

    def __init__(self, student: Student, rate: float = 1e-3, terms: Terms | None = None, momentum: float = MOMENTUM) -> None:
        self.student, self.astray = student, 0
        self.terms = terms or (CELLS if student.kind == "cells" else TERMS)
        self._optimiser = torch.optim.SGD(list(student.affine.values()), lr=rate, momentum=momentum)
        self._first = self.affine()

    @property
    def rate(self) -> float:
        """The step size of the next steps."""
        return float(self._optimiser.param_groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        self._optimiser.param_groups[0]["lr"] = rate

    def step(self, batch: Batch) -> float:
        """One step; its loss, and NaN where nothing could be learned, so that nothing changed."""
        sound = np.isfinite(batch.soft).all(axis=1) & np.isfinite(batch.weight)
        if not sound.any():
            self.astray += 1
            return math.nan
        soft, weight = (torch.from_numpy(np.ascontiguousarray(a[sound], np.float32)) for a in (batch.soft, batch.weight))
        logits = self.student.logits(_tensor(batch.inputs[sound]))
        if logits.shape != soft.shape:
            raise TensorError("teacher and student answer differently", got=tuple(soft.shape), allowed=tuple(logits.shape))
        loss = taught(logits, soft, weight, self.terms, self.student.kind)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        gradients = [p.grad for p in self.student.affine.values() if p.grad is not None]
        if not math.isfinite(value) or not all(bool(g.isfinite().all()) for g in gradients):
            self.astray += 1
            return math.nan
        self._optimiser.step()
        return value

    def delta(self, base: str, parent: str) -> Delta:
        """The change of φ since this Step was made, exact; `codec.feedback` sends it coarsely and without loss over time."""
        now = self.affine()
        changes: dict[str, Change] = {
            path: exact(old, now[path])
            for path, old in self._first.items()
            if (old.view(np.uint32) != now[path].view(np.uint32)).any()
        }
        return Delta(base, parent, METHOD, changes)

    def affine(self) -> dict[str, Values]:
        """φ as it stands: float32 by parameter path, copies, shaped as the bundle's initialisers are."""
        return {path: p.detach().numpy().astype(np.float32) for path, p in self.student.affine.items()}

    def restore(self, affine: Phi) -> None:
        """Set φ (paths that are not there stay as they are), forget momentum; TensorError where a path or a shape is not ours."""
        for parameter, value in self._fitting(affine):
            with torch.no_grad():
                parameter.copy_(value)
        self._optimiser.state.clear()

    def logits(self, inputs: NDArray[Any], affine: Phi | None = None, source: bool = False) -> Values:
        """(n, C) for inputs (n, …): as the shadow is, or with `affine` in place of its φ, or by the model's own statistics."""
        with torch.no_grad(), self._as(affine, source):
            found = [self.student.logits(_tensor(inputs[i : i + CHUNK])) for i in range(0, len(inputs), CHUNK)]
        if not found:
            raise TensorError("a student was asked about no picture", got=0, allowed="1 or more")
        return np.asarray(torch.cat(found).numpy(), np.float32)

    def follow(self, statistics: Statistics) -> None:
        """Be normalised by these from now on; a layer that is not in them keeps what it has. TensorError where they do not
        fit."""
        known = {path: one for path, one in statistics.items() if path in self.student.layers}
        for path, one in known.items():
            own = self.student.layers[path].mean.shape
            if one.mean.shape != own or one.variance.shape != own:
                raise TensorError(f"the statistics of {path} are of another model", got=one.mean.shape, allowed=tuple(own))
        if statistics and not known and self.student.layers:
            raise TensorError(
                "the statistics are of another model",
                got=", ".join(list(statistics)[:3]),
                allowed=", ".join(list(self.student.layers)[:3]),
            )
        for path, one in known.items():
            self.student.layers[path].follow(torch.from_numpy(one.mean), torch.from_numpy(one.variance))

    def _fitting(self, affine: Phi) -> list[tuple[nn.Parameter, Tensor]]:
        pairs = []
        for path, value in affine.items():
            parameter = self.student.affine.get(path)
            if parameter is None or tuple(parameter.shape) != value.shape:
                raise TensorError(
                    "affine values are of another model",
                    got=f"{path} {value.shape}",
                    allowed=", ".join(f"{p} {tuple(v.shape)}" for p, v in list(self.student.affine.items())[:3]) + " …",
                )
            pairs.append((parameter, torch.from_numpy(np.array(value, np.float32))))
        return pairs

    @contextmanager
    def _as(self, affine: Phi | None, source: bool) -> Iterator[None]:
        """For a while another φ and, if `source`, the model's own statistics."""
        layers = self.student.layers if source else {}
        followed = {path: (layer.mean.clone(), layer.variance.clone()) for path, layer in layers.items()}
        swapped = self._fitting(affine) if affine is not None else []
        own = [(parameter, parameter.detach().clone()) for parameter, _ in swapped]
        try:
            for parameter, value in swapped:
                parameter.copy_(value)
            for path, layer in layers.items():
                layer.follow(*self.student.source[path])
            yield
        finally:
            for parameter, value in own:
                parameter.copy_(value)
            for path, pair in followed.items():
                layers[path].follow(*pair)


def _tensor(inputs: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(inputs))
