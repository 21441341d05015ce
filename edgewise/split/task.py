"""What task a network does, read off its outputs, for a bundle whose owner does not say.

{score, box, points?, coefficients? and prototypes?}      detection        Things
one output (batch, class)                                 classification   Classes
one output (batch, class, rows, columns)                  segmentation     Regions
anything else                                             other            Raw: the outputs as they are
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewise.core.artifact import Task
from edgewise.core.decoding import Classes, Decoding, Raw, Regions, Things

MOST_CLASSES = 256  # of a segmentation: a class is a byte
THRESHOLD, OVERLAP, MASK = 0.3, 0.6, 28


def task_of(outputs: Mapping[str, Sequence[int]], task: Task | None = None) -> tuple[Task, Decoding]:
    """Task and decoding from the outputs' shapes with their batch; `other` by word leaves them as they are."""
    if task == "other":
        return "other", Raw()
    if {"score", "box"} <= outputs.keys() and outputs.keys() <= {"score", "box", "points", "coefficients", "prototypes"}:
        keypoints = outputs["points"][1] // 2 if "points" in outputs else 0
        return "detection", Things(THRESHOLD, OVERLAP, keypoints, MASK if "prototypes" in outputs else 0)
    if len(outputs) == 1:
        ((name, shape),) = outputs.items()
        if len(shape) == 2 and shape[1] > 1:
            return "classification", Classes(name, top=min(5, shape[1]))
        if len(shape) == 4 and shape[1] <= MOST_CLASSES and min(shape[2:]) > 1:
            return "segmentation", Regions(name, shape[2], shape[3])
    return task or "other", Raw()
