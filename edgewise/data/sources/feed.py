"""What all sources are: an iteration of Samples at a pace, which counts what it left out and stops soon when closed.

Iterating blocks, so an agent does it in a thread of its own and calls `close()` from another. Time is an argument: the
clock and the pause are given, so that a test runs hours in no time.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.errors import SourceError

Clock = Callable[[], float]
Picture = tuple[str, NDArray[Any]]  # identity; picture, or array of a model that takes no picture


class Sample(Struct, frozen=True, eq=False):
    """One picture (height, width, 3; RGB), the `frame` number from 0, when (s) it was captured and where it is from.

    `image` is a float32 array of any shape where the source is one of arrays.
    """

    frame: int
    captured: float
    image: NDArray[Any]
    identity: str


class Pace:
    """Ticks at `rate` a second that do not drift: tick n is due at start + n / rate, however long the work between took.

    Who comes less than one tick late catches up; who comes later starts anew from now (`late` counts it), so that a stall
    is not followed by a burst. Without a rate every tick is due at once.
    """

    def __init__(self, rate: float | None, clock: Clock, pause: Callable[[float], bool]) -> None:
        """`pause(seconds)` returns True where it was broken off."""
        if rate is not None and not rate > 0:
            raise SourceError("the rate of a source is impossible", got=f"{rate:g} frames a second", allowed="more than 0")
        self.interval = 0.0 if rate is None or rate == math.inf else 1 / rate
        self.late = 0
        self._clock, self._pause = clock, pause
        self._start, self._ticks = math.nan, 0

    def tick(self) -> bool:
        """Wait for the next tick; False where the wait was broken off."""
        if self.interval == 0:
            return not self._pause(0)
        now = self._clock()
        due = self._start + self._ticks * self.interval
        if math.isnan(due) or now - due > self.interval:
            self.late += not math.isnan(due)
            self._start, self._ticks, due = now, 0, now
        self._ticks += 1
        return not self._pause(max(0.0, due - now))


class Source(ABC):
    """Iterate for Samples. `skipped` counts what was left out by reason; `rate` is frames a second, None as fast as asked.

    A kind of source gives its `pictures()`; they are read ahead of their tick, so that reading is no part of a latency.
    """

    def __init__(self, name: str, rate: float | None = None, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.rate = rate
        self.skipped: Counter[str] = Counter()
        self.given = 0
        self._clock = clock
        self._closing = threading.Event()
        self.pace = Pace(rate, clock, self._closing.wait)

    @abstractmethod
    def pictures(self) -> Iterator[Picture]:
        """Identity and picture, one after the other; ends where the source does."""

    def __iter__(self) -> Iterator[Sample]:
        for identity, picture in self.pictures():
            if not self.pace.tick():
                return
            yield self.sample(identity, picture, self._clock())

    def sample(self, identity: str, picture: NDArray[Any], captured: float) -> Sample:
        self.given += 1
        return Sample(self.given - 1, captured, picture, identity)

    def close(self) -> None:
        """End the iteration soon; safe from any thread, any number of times."""
        self._closing.set()
