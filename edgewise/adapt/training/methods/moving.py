"""Moving statistics: the device's free first stage, as it runs there, computed for many frames at once.

The rules are those of devices (`edgewise.runtime.follow`): one frame in a few is watched, its moments go into a moving average,
and what normalises is the source's statistics mixed with the running ones, exactly the source's while nothing has changed. Here
frames come in batches, whose rows are frames one after the other: each row that is due is watched by itself, so that the average
is the same whatever the batch. What is in use changes between batches, as it changes between frames on a device once a session
is built.

Only the rows that are watched cost anything: a settled stream is as quick as the source model.
"""

from __future__ import annotations

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor

from edgewise.adapt.method import Inputs, Tally, Values
from edgewise.adapt.step import likelihood
from edgewise.adapt.training.methods.layers import Given, taken
from edgewise.adapt.training.methods.subject import Subject
from edgewise.core.errors import ModelError
from edgewise.core.moments import Moments, Statistics
from edgewise.runtime.follow import PLAIN, Course, Rules, Source, begun, dense, looked, mixed, observed, told

OFTEN = 2  # frames between two looks while everything is watched
Vector = NDArray[np.float64]


class Rowwise(Given):
    """As Given, and notes E[x] and E[x²], (rows, channel) each, of the `rows` of its input that are asked for."""

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> None:
        super().__init__(weight, bias, mean, variance, epsilon)
        self.rows: list[int] = []
        self.noted: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.rows:
            seen = x.detach()[self.rows].flatten(2) if x.ndim > 2 else x.detach()[self.rows][..., None]
            self.noted = seen.mean(2), seen.square().mean(2)
        return super().forward(x)


class Following:
    """The subject's net, whose normalisation follows the stream: `logits` of the frames of a batch, `statistics` in use by path.

    Frames whose moments are no numbers change nothing and are counted in `refused`. A net without batch normalisation follows
    nothing, and is as it was.
    """

    def __init__(self, subject: Subject, rules: Rules = PLAIN) -> None:
        self.net, layers = taken(subject.net, Rowwise)
        self._home, home = taken(subject.net, Rowwise)
        self.layers = {subject.layers.get(path, path): layer for path, layer in layers.items()}
        self._at_home = list(home.values())
        self.rules, self.refused, self._kind = rules, 0, subject.kind
        self._waiting = self._unseen = 0
        if self.layers:
            ends = np.cumsum([len(layer.mean) for layer in self.layers.values()]).tolist()
            slices = tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True))
            held = [(layer.mean.double().numpy(), layer.variance.double().numpy()) for layer in self.layers.values()]
            mean, variance = (np.concatenate(both) for both in zip(*held))
            self._source = Source(mean, variance, slices)
            self.course: Course = begun(self._source, rules)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, C) of frames (n, …), by the statistics of before; these then follow the frames that were due."""
        rows = self._due(len(inputs))
        for layer in self.layers.values():
            layer.rows = rows
        with torch.inference_mode():
            said: NDArray[np.float32] = self.net(torch.from_numpy(inputs)).float().numpy()
        if self.layers:
            self._follow(inputs, rows, said)
        return said

    @property
    def statistics(self) -> Statistics:
        """What normalises now."""
        found = {}
        for path, layer in self.layers.items():
            found[path] = Moments(layer.mean.numpy().copy(), layer.variance.numpy().copy())
        return found

    def _due(self, count: int) -> list[int]:
        """The rows of the next `count` frames that are watched: all while it is dense, else one in `every`."""
        if not self.layers:
            return []
        if dense(self.course, self.rules):
            self._waiting = 0
            return list(range(count))
        first = self.rules.every - self._waiting - 1
        rows = list(range(max(first, 0), count, self.rules.every))
        self._waiting = (count - 1 - rows[-1]) if rows else self._waiting + count
        return rows

    def _follow(self, inputs: Inputs, rows: list[int], said: NDArray[np.float32]) -> None:
        """The course after the frames of a batch, of which `rows` were watched."""
        watching = dense(self.course, self.rules)
        stands = 1 if watching else self.rules.every
        watched = dict(zip(rows, zip(*_noted(list(self.layers.values()))))) if rows else {}
        at_home: dict[int, tuple[Vector, Vector]] = {}
        for row in range(len(inputs)):
            if row in watched:
                self._unseen += stands
                if self.course.gone and self._unseen >= (OFTEN if watching else self.rules.look):
                    if row not in at_home:  # the rest of a batch at once, where looks come often
                        at_home = self._home_of(inputs, [r for r in rows if r >= row] if watching else [row])
                    self._look(at_home[row])
                self._observe(watched[row], stands)
            if self._kind == "classes" and np.isfinite(said[row]).all():
                self.course = told(self.course, int(said[row].argmax()), said.shape[1], self.rules)
        if rows:
            self._use()

    def _observe(self, moments: tuple[Vector, Vector], stands: int) -> None:
        if not all(np.isfinite(one).all() for one in moments):
            self.refused += 1
            return
        if not self.course.gone:
            self._unseen = 0
        self.course = observed(self.course, moments, 1, stands, self._source, self.rules)

    def _home_of(self, inputs: Inputs, rows: list[int]) -> dict[int, tuple[Vector, Vector]]:
        """What layers see of these rows under the source's own statistics; nobody gets the answers."""
        for layer in self._at_home:
            layer.rows = list(range(len(rows)))
        with torch.inference_mode():
            self._home(torch.from_numpy(inputs[rows]))
        return dict(zip(rows, zip(*_noted(self._at_home))))

    def _look(self, moments: tuple[Vector, Vector]) -> None:
        if all(np.isfinite(one).all() for one in moments):
            self.course = looked(self.course, moments, 1, self._unseen, self._source, self.rules)
        self._unseen = 0

    def _use(self) -> None:
        """Normalise with what the course calls for."""
        mean, variance = mixed(self.course, self._source, self.rules)
        for layer, at in zip(self.layers.values(), self._source.slices):
            layer.mean.copy_(torch.from_numpy(mean[at]))
            layer.variance.copy_(torch.from_numpy(variance[at]))


def _noted(layers: list[Rowwise]) -> tuple[Vector, Vector]:
    """E[x] and E[x²] of the watched rows, (rows, ΣC) each; ModelError where a layer did not run."""
    noted = [layer.noted for layer in layers if layer.noted is not None]
    if len(noted) < len(layers):
        raise ModelError("a normalisation layer was not reached", allowed="a net whose layers all run for every frame")
    return torch.cat([m for m, _ in noted], 1).double().numpy(), torch.cat([s for _, s in noted], 1).double().numpy()


class MovingStatistics:
    """Statistics that follow the stream, and nothing else."""

    name = "moving statistics"

    def __init__(self, subject: Subject, rules: Rules = PLAIN) -> None:
        self.following = Following(subject, rules)
        self._kind, self._tally = subject.kind, Tally()

    def answer(self, inputs: Inputs) -> Values:
        said = self.following.logits(inputs)
        self._tally = self._tally.plus(seen=len(inputs))
        return likelihood(said, self._kind)

    def tally(self) -> Tally:
        refused = self.following.refused
        return replace(self._tally, reasons={"moments are no numbers": refused} if refused else {})
