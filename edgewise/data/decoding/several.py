"""From the outputs of a tail of several tasks to one Answer: each decoding reads its task's outputs, and what they say is joined.

An output belongs to the task whose name stands before the first dot of its own. Labels are the task's, not the bundle's. What a
task has no use for stays empty in its Answer, so that joining is a sum: boxes after boxes, and one task for each of the fields
that an Answer has once. It does not know what the tasks are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.decoding import Several, Single
from edgewise.core.errors import TensorError

Decode = Callable[[Mapping[str, NDArray[Any]], Single, Sequence[str]], list[Answer]]


def answers(outputs: Mapping[str, NDArray[Any]], decoding: Several, one: Decode) -> list[Answer]:
    """One Answer for each row of the batch; `one` decodes a task. TensorError where a task lacks outputs, or another batch."""
    said = [one(_own(outputs, task.name), task.decoding, task.labels) for task in decoding.tasks]
    counts = {task.name: len(rows) for task, rows in zip(decoding.tasks, said, strict=True)}
    if len(set(counts.values())) != 1:
        raise TensorError("the tasks of a tail answer different batches", got=counts, allowed="a row each for every sample")
    return [joined(row) for row in zip(*said, strict=True)]


def joined(said: Sequence[Answer]) -> Answer:
    """What several answers say of one sample, in one; of what an Answer has once, the first that says anything.

    >>> joined([Answer(), Answer(rows=1, columns=8, cells=b"a")]).cells
    b'a'
    """
    shaped = next((a for a in said if a.rows), Answer())
    return Answer(
        boxes=tuple(box for a in said for box in a.boxes),
        rows=shaped.rows,
        columns=shaped.columns,
        cells=shaped.cells,
        classes=next((a.classes for a in said if a.classes), ()),
        regions=shaped.regions,
        raw=next((a.raw for a in said if a.raw), b""),
    )


def _own(outputs: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """The outputs of the task `name`, as its decoding calls them."""
    own = {key.partition(".")[2]: value for key, value in outputs.items() if key.partition(".")[0] == name}
    if not own:
        raise TensorError(f"a model has no output of the task {name!r}", got=", ".join(outputs), allowed=f"{name}.…")
    return own
