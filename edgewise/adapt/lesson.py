"""A lesson: uploads get the teacher's answer, are compared before anything is learned from them, and then teach the shadow.

    Labelled   the teacher's answer beside the source's and the shadow's, both under the device's statistics (prequential)
    teach      each `held`-th is kept apart; of the others and of the reservoir batches are made; steps; then a proof

Everything that cannot be used is counted: answers that are no numbers, statistics of another model, samples of doubted devices.

It does not know whether learning is worth it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgewise.adapt.accept import Verdict
from edgewise.adapt.inputs import Prepare
from edgewise.adapt.intake import Intake
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.reservoir import Kept, Reservoir, strata
from edgewise.adapt.shadow import Shadow, Shown, alike
from edgewise.adapt.step import Batch, Values, agreement, confidence, entropies
from edgewise.adapt.teacher import Picture, Teacher
from edgewise.adapt.upload import Upload
from edgewise.core.errors import TensorError
from edgewise.core.moments import Moments, Statistics

FOLLOWED = 64  # devices whose statistics are averaged
PAUSE, IN_A_ROW = 10, 5  # lessons without steps, after so many steps in a row were thrown away


class Labelled(Struct, frozen=True, eq=False):
    """An upload with the teacher's answer; `source` and `adapted` are their agreement with it, 0..1."""

    device: str
    picture: Picture
    audit: bool
    shown: Shown
    source: float
    adapted: float
    stratum: int


class Lessons:
    """What is needed to teach one shadow."""

    def __init__(self, shadow: Shadow, teacher: Teacher, prepare: Prepare, recipe: Recipe, intake: Intake) -> None:
        self._shadow, self._teacher, self._prepare, self._recipe, self._intake = shadow, teacher, prepare, recipe, intake
        self._reservoir = Reservoir(recipe.reservoir)
        self._random = np.random.default_rng(recipe.seed)
        self._statistics: dict[str, Statistics] = {}
        self._fresh: list[Kept] = []
        self._held: deque[Kept] = deque()  # what is kept apart, in the order in which the shadow holds it
        self._seen = self._pause = 0
        self._since = 0.0

    def label(self, uploads: Sequence[Upload]) -> list[Labelled]:
        """The teacher's answer and what it says of source and shadow; what gives no numbers is left out."""
        for upload in uploads:
            self._follow(upload)
        soft = self._asked(uploads)
        inputs = self._prepare([u.picture for u in uploads])
        source = self._shadow.answers(inputs, self._shadow.source)
        adapted = source if self._shadow.unmoved else self._shadow.answers(inputs)
        alike(soft, source)
        taught = np.isfinite(soft).all(axis=1)
        sound = taught & np.isfinite(source).all(axis=1)
        for why, number in (("the teacher gave no number", ~taught), ("the model gave no number", taught & ~sound)):
            if number.any():
                self._intake.refuse(why, int(number.sum()))
        kind = self._shadow.kind
        before, after = agreement(source, soft, kind), agreement(adapted, soft, kind)
        doubts, strata_ = entropies(soft, kind), strata(adapted, kind)
        found = []
        for i in np.flatnonzero(sound).tolist():
            device = uploads[i].device
            self._intake.note(device, 1 - float(before[i]), float(doubts[i]))
            shown = Shown(inputs[i], soft[i], device)
            found.append(
                Labelled(device, uploads[i].picture, uploads[i].audit, shown, float(before[i]), float(after[i]), strata_[i])
            )
        return found

    def teach(self, labelled: Sequence[Labelled], domain: int, won: float, z: float, now: float) -> Verdict | None:
        """Learn from these and prove it; None where there was nothing to do."""
        self._fresh = [k for k in self._fresh if k.domain == domain]
        if not self._fresh:
            self._since = now
        for one in labelled:
            kept = Kept(one.picture, one.shown.soft, one.device, domain, one.stratum)
            self._seen += 1
            if self._seen % self._recipe.held:
                self._fresh.append(kept)
                continue
            self._held.append(kept)
            if self._shadow.hold(one.shown):
                self._keep(self._held.popleft())
        if self._pause:
            self._pause -= 1
            self._stored()
            return None
        fresh, recipe = len(self._fresh), self._recipe
        if fresh < recipe.fresh and (fresh < recipe.least or now - self._since < recipe.late):
            return None
        batches = []
        for _ in range(self._recipe.steps):
            old = self._reservoir.draw(self._recipe.replayed, self._random, domain, self._intake.doubted)
            batches.append(self._batch([*self._fresh, *old]))
        self._shadow.learn(batches)
        self._intake.counts["steps"] += len(batches)
        self._stored()
        verdict = self._shadow.prove(won, z)
        if self._shadow.lost >= IN_A_ROW:
            self._pause, self._shadow.lost = PAUSE, 0
        return verdict

    def left(self) -> None:
        """The domain was left: what was kept apart in it proves nothing of the next, and statistics are waited for anew."""
        self._shadow.release()
        while self._held:
            self._keep(self._held.popleft())
        self._stored()

    def _asked(self, uploads: Sequence[Upload]) -> Values:
        """The teacher's answers (n, C), of those that he was asked about already by the answer that he gave."""
        open_ = [i for i, u in enumerate(uploads) if u.soft is None]
        answers = self._teacher.probabilities([uploads[i].picture for i in open_]) if open_ else None
        wide = answers.shape[1] if answers is not None else len(next(u.soft for u in uploads if u.soft is not None))
        soft = np.full((len(uploads), wide), np.nan, np.float32)
        for i, upload in enumerate(uploads):
            if upload.soft is not None and upload.soft.shape == (wide,):
                soft[i] = upload.soft
        if answers is not None:
            soft[open_] = answers
        return soft

    def _batch(self, samples: Sequence[Kept]) -> Batch:
        soft = np.stack([s.soft for s in samples])
        return Batch(self._prepare([s.picture for s in samples]), soft, confidence(soft, self._shadow.kind))

    def _stored(self) -> None:
        for kept in self._fresh:
            self._keep(kept)
        self._fresh = []

    def _keep(self, kept: Kept) -> None:
        self._intake.counts["forgotten"] += self._reservoir.add(kept)

    def _follow(self, upload: Upload) -> None:
        """Be normalised as the devices are on average: each by what it said last."""
        if upload.statistics is None or upload.device in self._intake.doubted:
            return
        self._statistics.pop(upload.device, None)
        try:
            self._shadow.follow(mean_of([*self._statistics.values(), upload.statistics]))
        except (TensorError, KeyError, ValueError):
            self._intake.refuse("statistics of another model")
            return
        self._statistics[upload.device] = upload.statistics
        while len(self._statistics) > FOLLOWED:
            del self._statistics[next(iter(self._statistics))]


def mean_of(statistics: Sequence[Statistics]) -> Statistics:
    """The moments of a mixture in equal parts: means of x and of x² by layer."""
    if len(statistics) == 1:
        return statistics[0]
    found: Statistics = {}
    for path in statistics[-1]:
        mean = np.asarray(np.mean([s[path].mean for s in statistics], axis=0, dtype=np.float64))
        second = np.mean([s[path].second for s in statistics], axis=0)
        found[path] = Moments(mean.astype(np.float32), np.asarray(np.maximum(second - mean**2, 0), np.float32))
    return found
