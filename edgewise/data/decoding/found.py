"""Whether an answer says that something is there: what a filter that said no is judged by, frame by frame.

It does not know the truth, only what the whole model found.
"""

from __future__ import annotations

from edgewise.core.answer import Answer
from edgewise.core.errors import TensorError
from edgewise.data.decoding import regions


def found(answer: Answer, of: str = "") -> bool:
    """Boxes (of the label `of`, any where it is ""), `of` as the likeliest class, or regions of another class than 0.

    Raw outputs mean nothing here, so they never say that something is there; nor do cells, which have a threshold of their own.
    """
    if answer.boxes:
        return any(not of or box.label == of for box in answer.boxes)
    if answer.classes:
        return bool(of) and answer.classes[0].label == of
    if answer.regions:
        try:
            return bool(regions.classes(answer).any())
        except TensorError:
            return False
    return False
