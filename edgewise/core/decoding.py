"""Decodings: how the outputs of a tail become an Answer. One kind for each form of task; `edgewise.data.decoding` does the work.

| kind | task | outputs that it reads |
|---|---|---|
| `grid` | boxes and occupied cells of one class | `score`, `box`, `occupied` |
| `things` | boxes with keypoints and masks, several classes | `score`, `box`, `points`, `coefficients`, `prototypes` |
| `classes` | the most likely classes | the output it names |
| `regions` | a class for each cell of the picture | the output it names |
| `raw` | any | all, as they are |
| `several` | more than one of the above at once | those of each task, called `TASK.output` |
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Side = Annotated[int, Meta(ge=1, le=4096)]
Named = Annotated[str, Meta(min_length=1, max_length=500)]


class Grid(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="grid"):
    """Score threshold, overlap (IoU) above which the weaker box goes, threshold and size of the grid of cells."""

    threshold: float
    overlap: float
    cell_threshold: float
    rows: int
    columns: int


class Things(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="things"):
    """Score threshold, overlap (IoU) above which the weaker box of a class goes, keypoints a box, side of its mask (0: none)."""

    threshold: Share
    overlap: Share
    keypoints: Annotated[int, Meta(ge=0, le=256)] = 0
    mask: Annotated[int, Meta(ge=0, le=256)] = 28


class Classes(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="classes"):
    """The `top` classes of `output` (batch, class); `logits` says that a softmax is still to come."""

    output: Named
    top: Annotated[int, Meta(ge=1, le=1000)] = 5
    logits: bool = True


class Regions(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="regions"):
    """The class of each of `rows` × `columns` cells, from `output` (batch, class, height, width) or (batch, height, width)."""

    output: Named
    rows: Side
    columns: Side


class Raw(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="raw"):
    """The outputs themselves, as float16; whoever asked knows what they mean."""


TASK = "^[a-z][a-z0-9_]{0,31}$"  # what a task of several may be called
Single = Grid | Things | Classes | Regions


class Told(Struct, frozen=True, forbid_unknown_fields=True):
    """One task of several: its `name`, which stands before a dot in its outputs' names, how they are decoded, and its labels."""

    name: Annotated[str, Meta(pattern=TASK)]
    decoding: Single
    labels: Annotated[tuple[str, ...], Meta(max_length=10_000)] = ()


class Several(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="several"):
    """Tasks answered from one tensor that crosses, by one tail; their Answers become one, in which each has its fields.

    Boxes of all tasks stand one after the other. What an Answer has once (classes, regions, cells) one task may give.
    """

    tasks: Annotated[tuple[Told, ...], Meta(min_length=1, max_length=16)]

    @property
    def clash(self) -> str:
        """What two tasks would both say, or two would be called; "" where nothing is said twice."""
        names = [task.name for task in self.tasks]
        fields = [field for task in self.tasks for field in FIELDS[type(task.decoding)]]
        twice = [f"the name {n!r}" for n in names if names.count(n) > 1] + [f for f in fields if fields.count(f) > 1]
        return twice[0] if twice else ""


FIELDS: dict[type[Struct], tuple[str, ...]] = {Grid: ("cells",), Things: (), Classes: ("classes",), Regions: ("cells",)}
Decoding = Grid | Things | Classes | Regions | Raw | Several
KINDS: dict[str, tuple[type[Struct], ...]] = {
    "detection": (Grid, Things, Raw),
    "classification": (Classes, Raw),
    "segmentation": (Regions, Raw),
    "other": (Raw,),
    "several": (Several,),
}
