"""From the outputs of a model to Answers: one file for each kind of decoding (`edgewise.core.decoding`), one entry for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.decoding import Classes, Decoding, Grid, Regions, Several, Things
from edgewise.data.decoding import classes, grid, raw, regions, several, things


def answers(outputs: Mapping[str, NDArray[Any]], decoding: Decoding, labels: Sequence[str]) -> list[Answer]:
    """One Answer for each row of the batch; TensorError where the outputs are not those that the decoding reads."""
    if isinstance(decoding, Grid):
        return grid.answers(outputs, decoding, labels)
    if isinstance(decoding, Things):
        return things.answers(outputs, decoding, labels)
    if isinstance(decoding, Classes):
        return classes.answers(outputs, decoding, labels)
    if isinstance(decoding, Regions):
        return regions.answers(outputs, decoding, labels)
    if isinstance(decoding, Several):
        return several.answers(outputs, decoding, answers)
    return raw.answers(outputs)
