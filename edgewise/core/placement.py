"""Where parts run, the table of ways to answer that a planner makes, and the decision a policy takes for one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from edgewise.core.cost import Site
from edgewise.core.errors import ConfigError
from edgewise.core.wire import FRAME_HEADER

Mode = Literal["drop", "local", "split", "image", "exit"]
MODES: tuple[Mode, ...] = ("drop", "local", "split", "image", "exit")
CROSSING: tuple[Mode, ...] = ("split", "exit")  # features may go over the link
REMOTE: tuple[Mode, ...] = ("split", "image", "exit")  # something may


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of the work: `time` (s) with its upper bound, and peak `memory` (bytes) at `site`; None is unknown."""

    name: str
    site: Site
    time: float | None
    time_high: float | None = None
    memory: float | None = 0.0

    def __post_init__(self) -> None:
        figures = [f for f in (self.time, self.time_high, self.memory) if f is not None]
        if not all(f >= 0 for f in figures):
            raise ConfigError(
                f"part {self.name!r} has an impossible figure", got=figures, allowed="0 or more, or None for unknown"
            )
        if self.time is not None and self.time_high is not None and self.time_high < self.time:
            raise ConfigError(
                f"part {self.name!r} has an upper bound below its time", got=f"{self.time_high} s under {self.time} s"
            )


class Placement(Struct, frozen=True, forbid_unknown_fields=True):
    """Parts in order; where two neighbours are on different sites, `crossing` bytes go over the link between them.

    A sample begins on the device (a first part that only takes the picture may take no time). `parts[i]` is followed by
    `crossing[i]` bytes (0 where both are on one site); the answer's bytes, back to the device, close the list.
    """

    name: str
    parts: tuple[Part, ...]
    crossing: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.crossing) or self.parts[0].site != "device":
            raise ConfigError(
                f"placement {self.name!r} is not well formed",
                got=f"parts at {[p.site for p in self.parts]}, {len(self.crossing)} crossings",
                allowed="a first part on the device, and one crossing after each part",
            )
        sites = [*(p.site for p in self.parts), "device"]
        for here, there, size in zip(sites, sites[1:], self.crossing, strict=False):
            if not size >= 0 or (here == there and size > 0):
                raise ConfigError(
                    f"placement {self.name!r} crosses impossibly",
                    got=f"{size} bytes from {here} to {there}",
                    allowed="0 bytes or more; none where both are on one site",
                )


class Quality(Struct, frozen=True, forbid_unknown_fields=True):
    """Quality in 0..1 under one condition, with its interval and the number of samples behind it."""

    value: float
    low: float
    high: float
    n: int


LAYERED = "layers={}"  # the condition of a quality that only the first layers of a frame came


def layered(worths: Sequence[Quality]) -> dict[str, Quality]:
    """The conditions of a point's quality that say what its layers are worth; `worths` with 1, 2 … of them.

    >>> list(layered([Quality(0.5, 0.4, 0.6, 9), Quality(0.8, 0.7, 0.9, 9)]))
    ['layers=1', 'layers=2']
    """
    return {LAYERED.format(n): worth for n, worth in enumerate(worths, start=1)}


class OperatingPoint(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to answer a sample: `mode`, its level (bits of a split, quality of an image codec), what it takes and is worth.

    `device_time` and `edge_time` (s) hold without waiting. `bytes_up` and `bytes_down` are mean **payloads**: what the codec
    made, and the answer; nothing around them. Whoever reckons with a link or a bound on bytes takes `frame_up` and `frame_down`,
    which have the frame's header too, as a session counts them. WebSocket and TLS are apart (`edgewise.core.wire`).

    At an `exit` the device answers where it is sure enough, and sends features where it is not: `left` is the share of the
    samples that need not go, `bytes_up` the mean payload of those that do, and all else a mean over both.
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
    left: float | UnsetType = UNSET

    @property
    def sent(self) -> float:
        """The share of the samples that go over the link."""
        return (0.0 if isinstance(self.left, UnsetType) else 1 - self.left) if self.mode == "exit" else float(self.mode in REMOTE)

    @property
    def frame_up(self) -> float:
        """Mean bytes of a frame, header and payload, over all samples; 0 where none is sent."""
        return self.sent * (self.bytes_up + FRAME_HEADER)

    @property
    def frame_down(self) -> float:
        """Mean bytes of an answer's frame, header and payload; 0 where none comes."""
        return self.sent * (self.bytes_down + FRAME_HEADER)

    def latency(self, rate_up: float, rate_down: float, delay: float = 0.0, wait: float = 0.0) -> float:
        """Seconds from sample to answer over a link of constant rates (bit/s), one-way `delay` and the edge's `wait`.

        The same arithmetic as `edgewise.plan.evaluate.operating_cost`, for a device that has nothing but core.
        """
        if self.mode in ("drop", "local"):
            return self.device_time
        if rate_up <= 0 or rate_down <= 0:
            return math.inf
        carried = self.frame_up * 8 / rate_up + self.frame_down * 8 / rate_down
        return self.device_time + carried + self.sent * (2 * delay + wait + self.edge_time)

    def worth(self, condition: str = "all") -> float:
        """Quality under `condition`, or over all of them where that one was not measured; 0 for a drop."""
        found = self.quality.get(condition) or self.quality.get("all")
        return found.value if found else 0.0


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy says of one sample: the operating point that answers it, why, and whether it is uploaded for learning."""

    route: str
    why: str
    learn: bool = False
