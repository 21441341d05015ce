"""A model of one normalisation layer and one matrix, in numpy: a Step that learns in microseconds, a world to learn in, a
teacher.

A picture is 8 × 8 px: four quadrants of one colour each, which tell one class of four, and noise. Another domain changes every
pixel by x · gain + shift; the model then errs, and γ and β can undo it exactly. So there is head-room by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise.adapt.step import Batch, Values, likelihood
from edgewise.core.delta import Delta, Full
from edgewise.core.moments import Statistics

CLASSES, FEATURES = 4, 12
STRANGE = 0.25  # squared distance from every class, from which on the teacher is unsure
CLEAN, NIGHT, DUSK = (1.0, 0.0), (0.45, 6.0), (0.45, 90.0)


def prototypes() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(70, 190, (CLASSES, FEATURES))


def pictures(
    labels: Sequence[int], domain: tuple[float, float], random: np.random.Generator, noise: float = 24.0
) -> list[NDArray[np.uint8]]:
    """One picture for each label, (8, 8, 3)."""
    gain, shift = domain
    found = []
    for label in labels:
        quadrants = (prototypes()[label] + random.normal(0, noise, FEATURES)).reshape(2, 2, 3)
        whole = quadrants.repeat(4, axis=0).repeat(4, axis=1) + random.normal(0, 2, (8, 8, 3))
        found.append(np.clip(whole * gain + shift, 0, 255).astype(np.uint8))
    return found


def features(stacked: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(stacked.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(-1, FEATURES) / 255 - 0.5)


def prepare(some: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack([p if p.shape == (8, 8, 3) else np.zeros((8, 8, 3), np.uint8) for p in some])


class ShallowStep:
    """logits = ((x · γ + β) − prototypes)² summed, so that the source is right where pictures are as it knows them."""

    def __init__(self, rate: float = 0.05) -> None:
        self.rate, self.steps, self.followed = rate, 0, 0
        centres = prototypes() / 255 - 0.5
        self._weights, self._offset = 14 * centres.T, -7 * (centres**2).sum(axis=1)
        self._phi = {"norm.weight": np.ones(FEATURES, np.float32), "norm.bias": np.zeros(FEATURES, np.float32)}
        self._first = self.affine()
        self._velocity: dict[str, NDArray[np.float64]] = {}
        self.last: Batch | None = None

    def step(self, batch: Batch) -> float:
        self.steps, self.last = self.steps + 1, batch
        x = features(batch.inputs)
        p = likelihood(self.logits(batch.inputs)).astype(np.float64)
        z = 3 * batch.weight[:, None] * (p - batch.soft) @ self._weights.T / len(x)
        for path, gradient in (("norm.weight", (z * x).sum(axis=0)), ("norm.bias", z.sum(axis=0))):
            self._velocity[path] = 0.9 * self._velocity.get(path, np.zeros(FEATURES)) + gradient
            self._phi[path] = (self._phi[path] - self.rate * self._velocity[path]).astype(np.float32)
        return float(
            (batch.weight * (batch.soft * np.log(np.maximum(batch.soft, 1e-9) / np.maximum(p, 1e-9))).sum(axis=1)).mean()
        )

    def delta(self, base: str, parent: str) -> Delta:
        return Delta(base, parent, "adapt", {path: Full(v) for path, v in self._phi.items() if (v != self._first[path]).any()})

    def affine(self) -> dict[str, Values]:
        return {path: value.copy() for path, value in self._phi.items()}

    def restore(self, affine: Mapping[str, Values]) -> None:
        self._phi = {path: value.copy() for path, value in affine.items()}
        self._velocity = {}

    def logits(self, inputs: NDArray[np.uint8], affine: Mapping[str, Values] | None = None, source: bool = False) -> Values:
        phi = self._phi if affine is None else affine
        z = features(inputs) * phi["norm.weight"] + phi["norm.bias"]
        return np.asarray(z @ self._weights + self._offset, np.float32)

    def follow(self, statistics: Statistics) -> None:
        self.followed += 1


class Knowing:
    """A teacher who undoes the domain before he looks, is right but for the noise, and unsure of what is none of his classes.

    `wrong` turns his classes round, `noise` is the share that he guesses.
    """

    name = "knowing"

    def __init__(self, wrong: int = 0, noise: float = 0.0, seed: int = 0) -> None:
        self.wrong, self.noise, self.asked = wrong, noise, 0
        self._random = np.random.default_rng(seed)

    def probabilities(self, some: Sequence[NDArray[np.uint8]]) -> Values:
        self.asked += len(some)
        x = features(prepare(some))
        known = prototypes() / 255 - 0.5
        best = []
        for domain in (CLEAN, NIGHT, DUSK):
            gain, shift = domain
            undone = (x + 0.5 - shift / 255) / gain - 0.5
            best.append(((undone[:, None] - known) ** 2).sum(axis=2))
        distance = np.min(best, axis=0)
        label, strange = distance.argmin(axis=1), distance.min(axis=1) > STRANGE
        flipped = self._random.random(len(label)) < self.noise
        label = np.where(flipped, self._random.integers(0, CLASSES, len(label)), label)
        soft = np.full((len(label), CLASSES), 0.02, np.float32)
        soft[np.arange(len(label)), (label + self.wrong) % CLASSES] = 1 - 0.02 * (CLASSES - 1)
        soft[strange] = 0.8 / CLASSES + 0.2 * soft[strange]
        return soft
