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
from edgewise.runtime.follow import PLAIN, Course, Rules, begun, dense, observed

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

    Frames whose moments are no numbers change nothing and are counted in
    `refused`. A net without batch normalisation follows nothing, and is as it was.
    """

    def __init__(self, subject: Subject, rules: Rules = PLAIN) -> None:
        self.net, layers = taken(subject.net, Rowwise)
        self.layers = {subject.layers.get(path, path): layer for path, layer in layers.items()}
        self.rules, self.refused = rules, 0
        self._frames = 0
        self._widths = [len(layer.mean) for layer in self.layers.values()]
        if self.layers:
            held = [(layer.mean.double().numpy(), layer.variance.double().numpy()) for layer in self.layers.values()]
            self._mean, self._variance = (np.concatenate(both) for both in zip(*held))
            self._first = (held[0][0], held[0][1])
            self.course: Course = begun(self._mean, self._variance, rules)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, class) of frames (n, …), by the statistics of before; these then follow the frames that were due."""
        rows = self._due(len(inputs))
        for layer in self.layers.values():
            layer.rows = rows
        with torch.inference_mode():
            said: NDArray[np.float32] = self.net(torch.from_numpy(inputs)).float().numpy()
        if rows:
            self._follow()
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
        first, self._frames = self._frames, self._frames + count
        every = 1 if dense(self.course, self.rules) else self.rules.every
        return [i for i in range(count) if (first + i) % every == 0]

    def _follow(self) -> None:
        noted = [layer.noted for layer in self.layers.values()]
        if any(one is None for one in noted):
            raise ModelError("a normalisation layer was not reached", allowed="a net whose layers all run for every frame")
        mean, second = (torch.cat([one[k] for one in noted if one is not None], 1).double().numpy() for k in (0, 1))
        stands = 1 if dense(self.course, self.rules) else self.rules.every
        for m, s in zip(mean, second):
            if not (np.isfinite(m).all() and np.isfinite(s).all()):
                self.refused += 1
                continue
            self.course = observed(self.course, m, s, 1, stands, self._first, self.rules)
        self._use()

    def _use(self) -> None:
        """Normalise with the source's statistics and the share of the running ones that the course calls for."""
        share = self.course.share
        running = np.maximum(self.course.second - self.course.mean**2, 0)
        mean = self._mean + share * (self.course.mean - self._mean)
        variance = self._variance + share * (running - self._variance)
        start = 0
        for layer, width in zip(self.layers.values(), self._widths):
            layer.mean.copy_(torch.from_numpy(mean[start : start + width]))
            layer.variance.copy_(torch.from_numpy(variance[start : start + width]))
            start += width


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
