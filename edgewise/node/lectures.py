"""Pictures that wait for the teacher: it answers in place of the tail those that it can in time, and hands the others back.

The teacher is larger and slower than the tails, so it has a worker of its own: they never wait for it. A picture waits for it
where its deadline leaves time for the lecture, as long as the one before it takes no longer than such do, and goes to the tail
while that can still answer it (`due`). Batches are those of the tails (`edgewise.node.batch`); what one takes is learned from
those that ran, and where the teacher has been too slow for a while it is tried again now and then, so that one slow run does not
bar it for ever. Nobody waits behind a first run, of which nothing is known, nor for a teacher that failed a moment ago.

It does not know what a teacher is, nor whether its answers are better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from edgewise.node.batch import Batcher, Item

T = TypeVar("T")
SPARE = 1.5  # of the seconds that a lecture, or a tail, takes must be left
MARGIN = 0.01  # s
REST = 5.0  # s after a failure


class Lectures(Generic[T]):
    """One queue, one worker; `largest` pictures a run. `tail(key)` is what the tail would take (s)."""

    def __init__(self, largest: int = 8, tail: Callable[[Hashable], float] = lambda key: 0.0) -> None:
        self._batcher: Batcher[T] = Batcher(largest, longest=4 * largest)
        self._tail = tail
        self._running = False
        self._until = 0.0  # when (s) the run that is under way should be over
        self._rests = -math.inf  # until when the teacher is not asked

    def __len__(self) -> int:
        return len(self._batcher)

    def add(self, item: Item[T], now: float) -> bool:
        """Take a picture in; False where it would be too late, too many wait, or nobody knows for how long it would."""
        if now < self._rests or (self._running and now >= self._until):
            return False
        rounds = 1 + len(self._batcher) // self._batcher.largest
        if max(now, self._until) + SPARE * rounds * self._batcher.seconds(item.key) > self._last_call(item):
            self._batcher.ease(item.key)
            return False
        return self._batcher.add(item)

    @property
    def due(self) -> float:
        """When (s) the first of those that wait must go to the tail; infinite where none waits."""
        first = min((self._last_call(item) for item in self._batcher.waiting()), default=math.inf)
        return min(first, self._until) if self._running and first < math.inf else first

    def next(self, now: float) -> tuple[tuple[Item[T], ...], tuple[Item[T], ...]]:
        """Pictures for the free worker, none where there are none, and those that are for the tails after all."""
        overdue = self._running and now >= self._until
        others = self._batcher.leave(lambda item: overdue or self._last_call(item) <= now)
        if self._running:
            return (), tuple(others)
        while (batch := self._batcher.next(now)) is not None:
            others += batch.expired
            if batch.items:
                self._running, self._until = True, now + SPARE * self._batcher.seconds(batch.items[0].key)
                return batch.items, tuple(others)
        return (), tuple(others)

    def finished(self, key: Hashable, seconds: float, now: float) -> None:
        """The worker is free again; its run took so long (0: it failed)."""
        self._running, self._until = False, 0.0
        if seconds > 0:
            self._batcher.took(key, seconds)
        else:
            self._rests = now + REST

    def _last_call(self, item: Item[T]) -> float:
        return item.deadline - SPARE * self._tail(item.key) - MARGIN

    def drop(self, unwanted: Callable[[T], bool]) -> list[Item[T]]:
        """As of the tails' queue."""
        return self._batcher.drop(unwanted)
