"""What comes back for one sample, and the row that it leaves in the ledger."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgewise.core.measurement import Provenance
from edgewise.core.placement import Mode

Outcome = Literal["answered", "dropped", "failed"]


class Box(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A detection: corners in 0..1 of the picture's width and height, its score in 0..1 and label.

    `points` are keypoints as x, y pairs in 0..1 of the picture. `mask` is a square of bits stretched over the box, row by row,
    packed big-endian as by numpy.packbits; its side is the decoding's.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    label: str
    points: tuple[float, ...] = ()
    mask: bytes = b""


class Class(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A class that a picture may show, and its score (a probability, where the model gives one)."""

    label: str
    score: float


class Answer(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What a model says of one sample. What its task has no use for stays empty.

    Boxes; which cells of a grid of `rows` × `columns` are occupied (`cells`: one bit each, row by row, packed big-endian as by
    numpy.packbits); the likeliest `classes`, the best first; `regions`, the class of each of `rows` × `columns` cells (uint8,
    deflated); `raw`, the outputs themselves (safetensors of float16, deflated). An answer that was written before a field was
    there is read as one that has it empty.
    """

    boxes: tuple[Box, ...] = ()
    rows: int = 0
    columns: int = 0
    cells: bytes = b""
    classes: tuple[Class, ...] = ()
    regions: bytes = b""
    raw: bytes = b""


class FrameRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """One row a frame, written when its fate is known: answered (in `mode`), dropped or failed (for `reason`).

    Times in s; `latency` runs from capture to answer and `late` says that it was over the deadline. `parts` holds the
    measured seconds of each step (filter, head, encode, link, wait, tail …). `energy` (J) is that of the device.

    `learn`: the filter saw nothing, and the frame went up all the same, to learn from; `missed`: something was found in it. A
    frame in layers went with `layers` of them, after `cut` were left out for the link's sake and `guarded` by the byte guard.
    """

    node: str
    frame: int
    captured: float
    outcome: Outcome
    mode: Mode
    point: str
    why: str
    reason: str = ""
    latency: float = 0.0
    deadline: float = 0.0
    late: bool = False
    bytes_up: int = 0
    bytes_down: int = 0
    energy: float = 0.0
    provenance: Provenance = "modelled"
    link_rate: float = 0.0
    answer: Answer = Answer()
    parts: dict[str, float] = {}
    learn: bool = False
    missed: bool = False
    layers: int = 0
    cut: int = 0
    guarded: int = 0
