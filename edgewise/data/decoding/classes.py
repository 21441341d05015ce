"""From a score for each class to the likeliest classes of a picture, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer, Class
from edgewise.core.decoding import Classes
from edgewise.core.errors import TensorError


def answers(outputs: Mapping[str, NDArray[Any]], decoding: Classes, labels: Sequence[str]) -> list[Answer]:
    """One Answer for each row of the output (batch, class); further dimensions must be of one.

    A class without a label is called by its number.
    """
    if decoding.output not in outputs:
        raise TensorError("a model has not the output that its bundle reads", got=", ".join(outputs), allowed=decoding.output)
    found = outputs[decoding.output]
    if found.ndim < 2 or found.size != found.shape[0] * found.shape[1] or not found.shape[1]:
        raise TensorError(f"output {decoding.output!r} holds no scores of classes", got=found.shape, allowed="(batch, class)")
    scores = found.reshape(found.shape[:2]).astype(np.float64)
    if not np.isfinite(scores).all():
        raise TensorError(f"output {decoding.output!r} holds NaN or infinity", allowed="finite numbers")
    if decoding.logits:
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : decoding.top]
    return [
        Answer(classes=tuple(Class(labels[i] if i < len(labels) else str(i), round(float(row[i]), 6)) for i in order.tolist()))
        for row, order in zip(scores, best, strict=True)
    ]
