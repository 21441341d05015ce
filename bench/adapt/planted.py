"""Teachers that are not to be believed: one whose words are mixed up, one who is often wrong, one that turns.

    Shuffled   answers as a good one would, in the order of other labels: sure of itself, and right about nothing
    Noisy      a share of its answers is sure, and drawn
    Turned     good at first

None says so. What stops them is in the adapter: the examination on calibration pictures, the gate, the watch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise.adapt.teacher import Picture, Teacher, Values

WRONG = 0.4  # of the answers of a noisy one
SURE = 0.97


class Shuffled:
    """`of` with its classes rolled by one to three places."""

    name = "shuffled"

    def __init__(self, of: Teacher, seed: int = 0) -> None:
        self._of, self._by = of, 1 + seed % 3

    def probabilities(self, pictures: Sequence[Picture]) -> Values:
        return np.roll(self._of.probabilities(pictures), self._by, axis=1)


class Noisy:
    """`of`, but `wrong` of the answers are a class drawn at random."""

    name = "noisy"

    def __init__(self, of: Teacher, seed: int = 0, wrong: float = WRONG) -> None:
        self._of, self._draw, self._wrong = of, np.random.default_rng([seed, 31]), wrong

    def probabilities(self, pictures: Sequence[Picture]) -> Values:
        said = self._of.probabilities(pictures)
        n, classes = said.shape
        for i in np.flatnonzero(self._draw.random(n) < self._wrong).tolist():
            said[i] = (1 - SURE) / max(classes - 1, 1)
            said[i, self._draw.integers(classes)] = SURE
        return said


class Turned:
    """`of` for the first `after` pictures, and then `worse`."""

    name = "turned"

    def __init__(self, of: Teacher, worse: Teacher, after: int) -> None:
        self._of, self._worse, self._left = of, worse, after

    def probabilities(self, pictures: Sequence[Picture]) -> Values:
        self._left -= len(pictures)
        return (self._of if self._left > 0 else self._worse).probabilities(pictures)
