"""Time as a seam: the machine's clock in production, a simulated one in tests and in virtual-time benchmarks.

A SimulatedClock stands still until it is told to `advance`; then it wakes its sleepers one by one, each at its own moment, so
that an hour of schedules passes in milliseconds and always in the same order.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol

SETTLE = 20  # turns of the event loop that a woken task gets, so that what it starts can sleep in turn


class Clock(Protocol):
    """`now()` in s from an arbitrary zero, never backwards; `sleep(seconds)` waits that long on this clock."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedClock:
    """A clock that moves only when `advance` is awaited."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    @property
    def next_wake(self) -> float | None:
        """When the next sleeper wakes; None where nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():  # it was cancelled
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass; every sleeper due by then wakes at its moment, and what it starts may sleep and wake too."""
        end = self._now + seconds
        await self._settle()
        while (due := self.next_wake) is not None and due <= end:
            self._now = max(self._now, due)
            heapq.heappop(self._sleepers)[2].set_result(None)
            await self._settle()
        self._now = end

    async def _settle(self) -> None:
        for _ in range(SETTLE):
            await asyncio.sleep(0)
