"""A teacher's probabilities as the outputs of a model whose answers are classes: so they are read like the model's own.

It does not know detectors: a teacher of those must bring outputs that the bundle's decoding reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.core.decoding import Classes, Decoding
from edgewise.core.errors import ConfigError

LEAST = 1e-9  # a probability that a logarithm can be taken of


class Probable(Protocol):
    """Probabilities (n, class) float32 of pictures, each uint8 (height, width, 3); a row of NaN where there is no answer."""

    def probabilities(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]: ...


class Spoken:
    """A `teacher` for `Tails.tutor`. ConfigError where the decoding is not one of classes."""

    def __init__(self, teacher: Probable, decoding: Decoding) -> None:
        if not isinstance(decoding, Classes):
            got = type(decoding).__name__.lower()
            raise ConfigError("a teacher's probabilities are no answers of such a model", got=got, allowed="classes")
        self._teacher, self._decoding = teacher, decoding

    def outputs(self, pictures: Sequence[NDArray[np.uint8]]) -> Mapping[str, NDArray[Any]]:
        """The output that the decoding reads, (n, class): logarithms where it takes logits."""
        said = self._teacher.probabilities(pictures)
        return {self._decoding.output: np.log(np.maximum(said, LEAST)) if self._decoding.logits else said}
