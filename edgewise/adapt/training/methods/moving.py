"""Moving statistics: the device's free first stage, as it runs there, computed for many frames at once.

The rules are those of devices (`edgewise.runtime.follow`): one frame in a few is watched, its moments go into a moving average,
and what normalises is the source's statistics mixed with the running ones, exactly the source's while nothing has changed. Here
frames come in batches, whose rows are frames one after the other. They are taken in turns, as a device takes them: up to the next
frame that is due, no further, since what follows is answered by what that frame changed; so each frame alone while everything is
watched. A stream has the same answers however it was cut into batches, up to rounding.

Only frames that are watched cost anything: a settled stream is as quick as the source model.
"""

from __future__ import annotations

from collections.abc import Iterable

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


class Lastwise(Given):
    """As Given, and notes E[x] and E[x²] (channel,) of the last row of its input where it is `watched`."""

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> None:
        super().__init__(weight, bias, mean, variance, epsilon)
        self.watched = False
        self.noted: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.watched:
            seen = x.detach()[-1].reshape(x.shape[1], -1)
            self.noted = seen.mean(1), seen.square().mean(1)
        return super().forward(x)


class Following:
    """The subject's net, whose normalisation follows the stream: `logits` of the frames of a batch, `statistics` in use by path.

    Frames whose moments are no numbers change nothing and are counted in `refused`. A net without batch normalisation follows
    nothing, and is as it was.
    """

    def __init__(self, subject: Subject, rules: Rules = PLAIN) -> None:
        self.net, layers = taken(subject.net, Lastwise)
        self._home, home = taken(subject.net, Lastwise)
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
        """(n, C) of frames (n, …): each by the statistics that a device would have had by then, which follow the frames that
        were due."""
        if not self.layers or not len(inputs):
            return self._said(inputs)
        parts, first = [], 0
        while first < len(inputs):
            due = 1 if dense(self.course, self.rules) else max(self.rules.every - self._waiting, 1)
            turn = inputs[first : first + due]
            first += len(turn)
            self._waiting += len(turn)
            parts.append(self._turn(turn, len(turn) == due))
        return np.concatenate(parts)

    @property
    def statistics(self) -> Statistics:
        """What normalises now."""
        found = {}
        for path, layer in self.layers.items():
            found[path] = Moments(layer.mean.numpy().copy(), layer.variance.numpy().copy())
        return found

    def _said(self, inputs: Inputs) -> NDArray[np.float32]:
        with torch.inference_mode():
            said: NDArray[np.float32] = self.net(torch.from_numpy(inputs)).float().numpy()
        return said

    def _turn(self, inputs: Inputs, watching: bool) -> NDArray[np.float32]:
        """Answers of frames between which nothing moves; the last of them is looked at where it is to be watched."""
        for layer in self.layers.values():
            layer.watched = watching
        said, stands = self._said(inputs), self._waiting
        self._tell(said[:-1] if watching else said)
        if watching:
            self._waiting = 0
            self._unseen += stands
            if self.course.gone and self._unseen >= (OFTEN if dense(self.course, self.rules) else self.rules.look):
                self._look(inputs[-1:])
            self._observe(_noted(self.layers.values()), stands)
            self._tell(said[-1:])
            self._use()
        return said

    def _tell(self, said: NDArray[np.float32]) -> None:
        labels = said[np.isfinite(said).all(1)].argmax(1) if self._kind == "classes" else ()
        if len(labels):
            self.course = told(self.course, list(map(int, labels)), said.shape[1], self.rules)

    def _observe(self, moments: tuple[Vector, Vector], stands: int) -> None:
        if not all(np.isfinite(one).all() for one in moments):
            self.refused += 1
            return
        if not self.course.gone:
            self._unseen = 0
        self.course = observed(self.course, moments, 1, stands, self._source, self.rules)

    def _look(self, inputs: Inputs) -> None:
        """What layers see of a frame (1, …) under the source's own statistics; nobody gets the answer."""
        for layer in self._at_home:
            layer.watched = True
        with torch.inference_mode():
            self._home(torch.from_numpy(inputs))
        moments = _noted(self._at_home)
        if all(np.isfinite(one).all() for one in moments):
            self.course = looked(self.course, moments, 1, self._unseen, self._source, self.rules)
        self._unseen = 0

    def _use(self) -> None:
        """Normalise with what the course calls for."""
        mean, variance = mixed(self.course, self._source, self.rules)
        for layer, at in zip(self.layers.values(), self._source.slices):
            layer.follow(torch.from_numpy(mean[at]), torch.from_numpy(variance[at]))


def _noted(layers: Iterable[Lastwise]) -> tuple[Vector, Vector]:
    """E[x] and E[x²] of the watched frame, (ΣC,) each; ModelError where a layer did not run."""
    noted = []
    for layer in layers:
        if layer.noted is None:
            raise ModelError("a normalisation layer was not reached", allowed="a net whose layers all run for every frame")
        noted.append(layer.noted)
    return torch.cat([m for m, _ in noted]).double().numpy(), torch.cat([s for _, s in noted]).double().numpy()


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
