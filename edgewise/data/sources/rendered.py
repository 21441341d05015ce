"""The rendered junction as a camera: `junction:SEED` or `junction:SEED:CONDITION`; its time runs with the frames' rate.

The picture of frame n is that of the second n / rate, so one seed, condition and rate give the same frames on any machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from edgewise.core.errors import SourceError
from edgewise.data.sources.feed import Clock, Picture, Source

RATE = 10.0  # frames a second of the rendered world where none is asked for


class Rendered(Source):
    """Frames of a junction, without an end; an infinite rate renders as fast as asked at 10 frames a rendered second."""

    def __init__(self, seed: int, condition: str = "clear", rate: float | None = None, clock: Clock = time.monotonic) -> None:
        try:
            from edgewise.data.junction import Junction
        except ImportError as error:
            raise SourceError(
                "the rendered junction cannot be loaded here",
                got=error,
                hint="It needs OpenCV: `pip install -c constraints.txt '.[camera]'`.",
            ) from None
        super().__init__(f"junction:{seed}:{condition}", RATE if rate is None else rate, clock)
        self._junction = Junction(seed, condition)

    def pictures(self) -> Iterator[Picture]:
        step = 1 / RATE if self.rate in (None, math.inf) else self.pace.interval
        frame = 0
        while not self._closing.is_set():
            at = frame * step
            yield f"{self.name}@{at:.3f}", self._junction.frame(at)[0]
            frame += 1
