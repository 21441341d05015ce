"""Where parts run, the table of ways to answer that a planner makes, and the decision a policy takes for one sample."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgewise.core.cost import Cost, Site

Mode = Literal["drop", "local", "split", "image"]
MODES: tuple[Mode, ...] = ("drop", "local", "split", "image")


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of the work: `time` (s) with its upper bound, and peak `memory` (bytes) at `site`."""

    name: str
    site: Site
    time: float | None
    time_high: float | None = None
    memory: float | None = 0.0


class Placement(Struct, frozen=True, forbid_unknown_fields=True):
    """Parts in order; where two neighbours are on different sites, `crossing` bytes go over the link between them.

    `parts[i]` is followed by `crossing[i]` bytes (0 where both are on one site); the answer's bytes close the list.
    """

    name: str
    parts: tuple[Part, ...]
    crossing: tuple[float, ...]


class Quality(Struct, frozen=True, forbid_unknown_fields=True):
    """Quality in 0..1 under one condition, with its interval and the number of samples behind it."""

    value: float
    low: float
    high: float
    n: int


class OperatingPoint(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to answer a sample: `mode`, its level (bits of a split, quality of an image codec), what it takes and is worth.

    `device_time` and `edge_time` (s) hold without waiting; `bytes_up` is the mean frame on the link.
    """

    name: str
    mode: Mode
    codec: str = ""
    level: int = 0
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    device_time: float = 0.0
    edge_time: float = 0.0
    quality: dict[str, Quality] = {}
    cost: Cost | None = None

    def worth(self, condition: str = "all") -> float:
        """Quality under `condition`, or over all of them where that one was not measured; 0 for a drop."""
        found = self.quality.get(condition) or self.quality.get("all")
        return found.value if found else 0.0


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy says of one sample: the operating point that answers it, why, and whether it is uploaded for learning."""

    route: str
    why: str
    learn: bool = False
