"""The Shadow: the server's copy of the model, what of it was proved, and the pictures kept apart to prove it by.

    learn(batches) ──► prove ──► kept: `good` is its φ now
                             ──► waits: it may go on, and `good` stays
                             ──► thrown away: φ is `good` again, and the step size halves

Proofs are those of `edgewise.adapt.accept`, on held-out uploads under the device's statistics, and on calibration pictures
under the model's own. It does not know when to learn, nor what is shipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.adapt.accept import Gate, Proof, Verdict, histogram, judged, stepped, unfit
from edgewise.adapt.step import Batch, Kind, Phi, Step, Values, agreement, likelihood
from edgewise.core.errors import ModelError
from edgewise.core.moments import Statistics, far

WAITS = 20  # proofs for which something may go on that is not paid for
JUDGED = 20  # held-out samples before which only calibration judges
MOVED = 0.003  # nats a channel, by which statistics may move before answers are asked for anew
TOLD = 50  # held-out samples from which on classes are counted


class Shown(Struct, frozen=True, eq=False):
    """A held-out sample: its `inputs` (…), the teacher's answer `soft` (C,), and the device it came from."""

    inputs: NDArray[Any]
    soft: Values
    device: str


class Shadow:
    """`step` as it comes is the source; `at_home` are the inputs (n, …) of calibration pictures and their truth (n, C), if
    any.
    """

    def __init__(
        self, step: Step, kind: Kind, gate: Gate, rate: float, probe: int, at_home: tuple[NDArray[Any], Values | None] | None
    ) -> None:
        self.step, self.kind, self.gate, self.usual = step, kind, gate, rate
        self.source: Phi = step.affine()
        self.good: Phi = self.source
        self.kept = self.lost = self.waits = 0  # proofs in a row
        self.home_lost = 0.0
        self._probe: deque[Shown] = deque(maxlen=probe)
        self._followed: Statistics | None = None
        self._stale = True
        self._answers: list[tuple[Values, Values]] = []  # of the source and of `good`, on the first of the probe
        self._after = np.zeros((0, 0), np.float32)
        self._home = at_home
        step.rate = rate

    def answers(self, inputs: NDArray[Any], phi: Phi | None = None, source: bool = False) -> Values:
        """Probabilities (n, C)."""
        return likelihood(self.step.logits(inputs, phi, source), self.kind)

    @property
    def unmoved(self) -> bool:
        """Whether φ is the source's, so that both answer the same; so it is while nothing is learned."""
        return all(np.array_equal(value, self.source[path]) for path, value in self.step.affine().items())

    def hold(self, shown: Shown) -> bool:
        """Keep a sample apart; whether the oldest has to go for it."""
        full = len(self._probe) == self._probe.maxlen
        if full:
            self._answers = self._answers[1:]
        self._probe.append(shown)
        return full

    def release(self) -> None:
        """Let go of everything that was kept apart: of a domain that was left."""
        self._probe.clear()
        self._stale = True

    def follow(self, statistics: Statistics) -> None:
        """Be normalised by these; answers on the probe are asked for anew once they moved enough to matter."""
        self.step.follow(statistics)
        if self._followed is None or far(self._followed, statistics) > MOVED:
            self._followed, self._stale = statistics, True

    def unfit(self, teacher: Values) -> str:
        """Why this teacher, whose answers on the calibration pictures are given, should teach nobody; "" where he may."""
        assert self._home is not None
        source = self._source_at_home
        alike(teacher, source)
        return unfit(teacher, source, self._home[1], self.kind)

    def learn(self, batches: Sequence[Batch]) -> list[float]:
        """One step on each; their losses."""
        return [self.step.step(batch) for batch in batches]

    def prove(self, won: float, z: float) -> Verdict:
        """Keep what was learned since `good`, throw it away, or learn on: then for WAITS proofs at most.

        `won`: share of agreement that is surely won on audits; `z` its significance.
        """
        verdict = judged(self._proof(won), self.gate)
        if verdict.why and verdict.waits and self.waits < WAITS:
            self.waits += 1
            return verdict
        self.waits = 0
        if verdict.why:
            verdict = Verdict(verdict.why)
            self.step.restore(self.good)
            self.kept, self.lost = 0, self.lost + 1
        else:
            self.good = self.step.affine()
            self.kept, self.lost = self.kept + 1, 0
            self._answers = [(source, after) for (source, _), after in zip(self._answers, self._after)]
        self.step.rate = stepped(self.step.rate, self.usual, self.kept, z, self.home_lost <= self.gate.clean / 2)
        return verdict

    def restore(self, phi: Phi) -> None:
        """Be this; proved elsewhere, or the source."""
        self.step.restore(phi)
        self.good = dict(phi)
        self.kept = self.lost = self.waits = 0
        self.step.rate = self.usual
        self._stale = True

    def compare(self, shown: Sequence[Shown], candidates: dict[str, Phi]) -> dict[str, Values]:
        """Agreement (n,) of each φ with the teacher on these samples."""
        inputs, soft = np.stack([s.inputs for s in shown]), np.stack([s.soft for s in shown])
        return {name: agreement(self.answers(inputs, phi), soft, self.kind) for name, phi in candidates.items()}

    def _proof(self, won: float) -> Proof:
        at_home, home_after = self._at_home()
        if len(self._probe) < JUDGED:
            none = np.zeros(0, np.float32)
            self._answers, self._after = [], np.zeros((0, 0), np.float32)
            return Proof(none, none, none, (), at_home, home_after, None, won)
        inputs, soft = np.stack([s.inputs for s in self._probe]), np.stack([s.soft for s in self._probe])
        first = 0 if self._stale else len(self._answers)
        if first < len(inputs):
            new = inputs[first:]
            self._answers = self._answers[:first] + list(zip(self.answers(new, self.source), self.answers(new, self.good)))
        self._stale = False
        known = tuple(np.stack(rows) for rows in zip(*self._answers))
        self._after = self.answers(inputs)
        source, before, after = (agreement(a, soft, self.kind) for a in (*known, self._after))
        seen = None
        if len(self._probe) >= TOLD:
            seen = histogram(self._after, self.kind), histogram(known[0], self.kind), histogram(soft, self.kind)
        if not np.isfinite(self._after).all():
            after = np.full(len(soft), np.nan, np.float32)
        return Proof(source, before, after, tuple(s.device for s in self._probe), at_home, home_after, seen, won)

    def _at_home(self) -> tuple[float | None, float | None]:
        """Agreement with the truth of calibration: of the source, and now; both under the model's own statistics."""
        if self._home is None:
            return None, None
        inputs, truth = self._home
        source = self._source_at_home
        truth = source if truth is None else truth
        before = float(agreement(source, truth, self.kind).mean())
        after = float(agreement(self.answers(inputs, source=True), truth, self.kind).mean())
        self.home_lost = before - after
        return before, after

    @cached_property
    def _source_at_home(self) -> Values:
        """The source's answers on calibration; it never changes, so it is asked once."""
        assert self._home is not None
        return self.answers(self._home[0], self.source, source=True)


def alike(teacher: Values, model: Values) -> None:
    """ModelError unless the answers (n, C) of both are of one form."""
    if teacher.shape != model.shape:
        raise ModelError(
            "teacher and model answer differently",
            got=f"{teacher.shape[1:]} of the teacher",
            allowed=f"{model.shape[1:]}",
            hint="The teacher must know the model's labels, in their order.",
        )
