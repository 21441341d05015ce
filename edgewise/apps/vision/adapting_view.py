"""Adaptation as the page shows it: how it stands, its course over the last hour, and what happened, newest first. Values alone.

Every word here comes from the server or its own adapting process, but for the names of devices that are doubted.
"""

from __future__ import annotations

from msgspec import Struct

from edgewise.adapt.shipment import Event
from edgewise.apps.vision.adapting_log import Stood
from edgewise.core.learning import Learning


class Moment(Struct, frozen=True):
    """At a time (s since 1970): agreement with the teacher of the version in use and of the source (None: too few audits),
    uploads and bytes since the beginning, the version, and how many were taken back.
    """

    at: float
    agreement: float | None
    source: float | None
    uploads: int
    bytes_up: int
    bytes_down: int
    version: int
    reverts: int


class AdaptingView(Struct, frozen=True):
    """`budget` in B/s of each device; `waiting` samples are here and not yet with the process, whose CPU took `seconds`."""

    model: str
    teacher: str
    budget: float
    wanted: Learning | None
    ended: str
    waiting: int
    standing: Stood | None
    seconds: float
    moments: tuple[Moment, ...]
    marks: tuple[Event, ...]
