"""A frame on a device whose fate is not known yet: what was done for it so far, and the record that it leaves in the end.

A frame of an exit's point ends as `exit` where the exit answered it, and as `split` where its features went. An answer of the
device's own may stand by while the picture goes up for a better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from edgewise.core.answer import Answer, FrameRecord, Outcome
from edgewise.core.placement import OperatingPoint

if TYPE_CHECKING:
    from edgewise.node.lessons import Lesson


class Standby(Struct, frozen=True):
    """The device's own answer: by which point, and why it was asked."""

    point: OperatingPoint
    answer: Answer
    why: str


class OpenFrame:
    """`version` counts the device's sets of models; times in s, sizes in bytes."""

    __slots__ = (
        "allowed",
        "away",
        "busy",
        "captured",
        "considered",
        "cut",
        "deadline",
        "down",
        "ends",
        "frame",
        "guarded",
        "insured",
        "layers",
        "learn",
        "lesson",
        "parts",
        "point",
        "sent_at",
        "size",
        "standby",
        "up",
        "version",
        "why",
    )

    def __init__(self, frame: int, captured: float, allowed: float, version: int) -> None:
        self.frame, self.captured, self.allowed, self.version = frame, captured, allowed, version
        self.deadline = captured + allowed
        self.point: OperatingPoint | None = None
        self.why = ""
        self.away = False  # handed to the session, no answer yet
        self.insured = False  # the local model is asked, or cannot be
        self.busy = 0.0
        self.size = 0  # of its payload
        self.up = self.down = 0  # what went over the link
        self.sent_at = 0.0
        self.parts: dict[str, float] = {}
        self.learn = False  # the filter saw nothing; it goes up to learn from
        self.considered = False  # the learner was asked
        self.lesson: Lesson | None = None  # what is learned from it goes up with it
        self.standby: Standby | None = None  # its own answer, while it asks for a better one
        self.ends: tuple[int, ...] = ()  # sizes of its payload, cut after each layer
        self.layers = self.cut = self.guarded = 0

    def spent(self, parts: dict[str, float]) -> None:
        """The device was busy with it so long (s), by step."""
        self.busy += sum(parts.values())
        for name, seconds in parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + seconds

    def went(self, layers: int) -> None:
        """Its payload is on the wire, with so many of its layers."""
        self.layers, self.cut = layers, len(self.ends) - layers
        self.up = self.ends[layers - 1] if layers else self.size

    def ended(
        self, now: float, outcome: Outcome, point: OperatingPoint | None, reason: str, why: str, answer: Answer
    ) -> FrameRecord:
        """Its record, but for what it does not know: the node, the link's rate and the energy."""
        return FrameRecord(
            node="",
            frame=self.frame,
            captured=self.captured,
            outcome=outcome,
            mode=("split" if point.mode == "exit" and self.up and not self.standby else point.mode) if point else "drop",
            point=point.name if point else "drop",
            why=why,
            reason=reason,
            latency=now - self.captured,
            deadline=self.allowed,
            late=outcome == "answered" and now > self.deadline,
            bytes_up=self.up,
            bytes_down=self.down,
            answer=answer,
            parts=self.parts,
            learn=self.learn,
            layers=self.layers,
            cut=self.cut,
            guarded=self.guarded if self.up else 0,
        )
