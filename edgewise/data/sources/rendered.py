"""The rendered junction as a camera: `junction:SEED` or `junction:SEED:CONDITION`; its time runs with the frames' rate.

The picture of frame n is that of the second n / rate, so one seed, condition and rate give the same frames on any machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from edgewise.data.sources.feed import Clock, Picture, Source

if TYPE_CHECKING:
    from edgewise.data.junction.weather import Condition

RATE = 10.0  # frames a second of the rendered world where none is asked for


class Rendered(Source):
    """Frames of a junction, without an end; an infinite rate renders as fast as asked at 10 frames a rendered second."""

    def __init__(self, seed: int, condition: str = "clear", rate: float | None = None, clock: Clock = time.monotonic) -> None:
        from edgewise.data.junction import Junction  # needs OpenCV, and says so

        super().__init__(f"junction:{seed}:{condition}", RATE if rate is None else rate, clock)
        self._junction = Junction(seed, cast("Condition", condition))

    def pictures(self) -> Iterator[Picture]:
        step = 1 / RATE if self.rate in (None, math.inf) else self.pace.interval
        frame = 0
        while not self._closing.is_set():
            at = frame * step
            yield f"{self.name}@{at:.3f}", self._junction.frame(at)[0]
            frame += 1
