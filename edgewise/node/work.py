"""A piece of work for a device's worker: what an agent asks the rim to run next for a frame."""

from __future__ import annotations

from msgspec import Struct

from edgewise.core.placement import OperatingPoint


class Work(Struct, frozen=True):
    """`prepare` the payload of a point for a frame, answer it here by the `local` model, or code a `sample` of it (`task`).

    `look` says that the filter, where there is one, looks at it first. If that sees nothing, the frame is prepared for the point
    `learn` all the same, or is `filtered` where there is none. `statistics`: those of the models go with a sample.
    """

    frame: int
    task: str
    point: OperatingPoint
    look: bool = True
    learn: OperatingPoint | None = None
    statistics: bool = False
