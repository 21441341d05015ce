"""The Adapter learns for one group of devices: it is told of samples and acknowledgements, and asked what devices are to do
and have.

    sample ──► waiting ──► teacher ──► watch (audits) ──► train ──► gate ──► feedback ──► Shipment ──► acknowledged
                                          │ no gain: back to the source, audits alone       └► refused

A state machine without I/O: time is an argument, the Step and the Teacher are given. What it ships is known to the bit
(`edgewise.codec.feedback`): one Shipment is on its way at a time, and it is `acknowledged` or `refused` before there is a next.

CEMA's server (adapt notes 2.4–2.8) with a watch that gives up (long runs §4), a gate, a memory of domains and doubt in
devices, in teachers and in itself. It does not know torch, networks, versions of bundles or how a rollout goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.adapt.recipe import Recipe
from edgewise.adapt.shipment import Report, Shipment
from edgewise.adapt.step import Batch, Kind, Phi, Step, Values, confidence
from edgewise.adapt.teacher import Picture, Teacher
from edgewise.adapt.upload import Calibration, Upload
from edgewise.codec.feedback import ErrorFeedback
from edgewise.core.delta import Full
from edgewise.core.learning import Learning

DEFAULT = Recipe()
Prepare = Callable[[Sequence[Picture]], NDArray[Any]]  # pictures → the inputs (n, …) of the student's first part


class Adapter:
    """Adapts the model whose version at the beginning is `base` (its address), by `step` (its shadow) and `teacher`.

    `prepare` makes inputs of pictures. `kind` says what an answer is. `calibration` guards what the model could do at home.
    """

    def __init__(
        self,
        step: Step,
        teacher: Teacher,
        base: str,
        prepare: Prepare,
        recipe: Recipe = DEFAULT,
        calibration: Calibration | None = None,
        kind: Kind = "classes",
    ) -> None:
        self._step, self._teacher, self._prepare, self._recipe, self._kind = step, teacher, prepare, recipe, kind
        self._source = step.affine()
        self._feedback = ErrorFeedback(self._source, base, base, "adapt", recipe.precision)
        self._version = base
        self._waiting: list[Upload] = []
        self._since = 0.0
        self._out: Shipment | None = None
        self._changed = False
        self._number = 0
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._random = np.random.default_rng(recipe.seed)
        self._old: list[tuple[Upload, Values]] = []
        step.rate = recipe.rate

    def sample(self, upload: Upload, now: float) -> str:
        """A picture came up; what it was refused for, "" where it was taken."""
        if not self._waiting:
            self._since = now
        if upload.statistics is not None:
            self._step.follow(upload.statistics)
        self._waiting.append(upload)
        self._counts["uploads"] += 1
        self._counts["bytes_up"] += upload.size
        return ""

    @property
    def step_due(self) -> bool:
        """Whether a tick would train now."""
        return len(self._waiting) >= self._recipe.fresh

    def tick(self, now: float) -> None:
        """Time passes: what waits is labelled, judged, trained on and proved, as far as it is due. Seconds of work, by the
        Step.
        """
        recipe = self._recipe
        late = len(self._waiting) >= recipe.least and now - self._since >= recipe.patience
        while len(self._waiting) >= recipe.fresh or late:
            late = False
            new, self._waiting = self._waiting[: recipe.fresh], self._waiting[recipe.fresh :]
            soft = self._teacher.probabilities([u.picture for u in new])
            fresh = list(zip(new, soft, strict=True))
            for _ in range(recipe.steps):
                chosen = self._random.permutation(len(self._old))[: recipe.replayed]
                self._train(fresh + [self._old[i] for i in chosen])
            self._old = (self._old + fresh)[-recipe.reservoir :]
            self._since = now
            self._changed = True

    def deltas(self) -> tuple[Shipment, ...]:
        """What is to be shipped now: nothing, or one Shipment, which is on its way from then on."""
        if self._out is not None or not self._changed:
            return ()
        self._feedback.want({path: Full(value) for path, value in self._step.affine().items()})
        self._number += 1
        self._out = Shipment(self._number, self._version, self._feedback.code(), "", "learned")
        self._changed = False
        self._counts["shipped"] += 1
        self._counts["bytes_down"] += len(self._out.data)
        return (self._out,)

    def acknowledged(self, number: int, version: str, now: float) -> None:
        """The devices have what Shipment `number` made: the version of this address."""
        if self._out is not None and self._out.number == number:
            self._feedback.acknowledged(self._out.data, version)
            self._version, self._out = version, None
            self._counts["acknowledged"] += 1

    def refused(self, number: int, why: str, now: float) -> None:
        """Shipment `number` did not go out, or came back: devices have the version that they had before."""
        if self._out is not None and self._out.number == number:
            self._out = None
            self._refused[f"shipment: {why}"] += 1

    @property
    def there(self) -> Phi:
        """φ of the version that devices acknowledged last, to the bit."""
        return {path: self._feedback.wanted[path] - lacking for path, lacking in self._feedback.residual.items()}

    @property
    def learning(self) -> Learning:
        """What devices are to be told now."""
        r = self._recipe
        return Learning(r.samples, r.bytes, r.audit, r.selection, cascade=r.cascade, statistics=r.statistics, level=r.level)

    def report(self) -> Report:
        """How things stand."""
        c = self._counts
        return Report(
            state="learning",
            version=self._version,
            uploads=c["uploads"],
            audits=c["audits"],
            bytes_up=c["bytes_up"],
            bytes_down=c["bytes_down"],
            steps=c["steps"],
            accepted=c["accepted"],
            rejected=c["rejected"],
            shipped=c["shipped"],
            acknowledged=c["acknowledged"],
            reverts=c["reverts"],
            recalls=c["recalls"],
            disagreement=None,
            gain=None,
            z=None,
            rate=self._step.rate,
            domains=0,
            doubted=(),
            refused=dict(self._refused),
            timeline=(),
        )

    def _train(self, samples: Sequence[tuple[Upload, Values]]) -> None:
        soft = np.stack([s for _, s in samples])
        inputs = self._prepare([u.picture for u, _ in samples])
        self._step.step(Batch(inputs, soft, confidence(soft, self._kind)))
        self._counts["steps"] += 1
