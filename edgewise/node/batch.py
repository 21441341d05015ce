"""Batching over devices by deadline, as a pure state machine: the server's worker asks for the next batch when it is free.

Rules (ours): work-conserving – a free worker never waits for a batch to fill, because what arrives while it works makes
the next one; items are taken earliest deadline first; only items with the same key (model address and part) share a run;
an item whose deadline cannot be met any more is refused before it costs anything, and counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Item(Struct, Generic[T], frozen=True):
    """One frame that waits: `key` says what it can share a run with, `deadline` and `arrived` are clock times (s)."""

    key: Hashable
    deadline: float
    arrived: float
    value: T


class Batch(Struct, Generic[T], frozen=True):
    """Items of one key, and those that were taken out because their time is over."""

    items: tuple[Item[T], ...]
    expired: tuple[Item[T], ...]


class Batcher(Generic[T]):
    """At most `largest` items a run and `longest` waiting; `seconds(key)` learns what one run takes."""

    def __init__(self, largest: int = 8, longest: int = 1024) -> None:
        self.largest, self.longest = largest, longest
        self._waiting: list[tuple[float, int, Item[T]]] = []
        self._order = 0
        self._seconds: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item[T]) -> bool:
        """Take the item in; False where the queue is full, and the caller refuses it."""
        if len(self._waiting) >= self.longest:
            return False
        self._order += 1
        heapq.heappush(self._waiting, (item.deadline, self._order, item))
        return True

    def drop(self, unwanted: Callable[[T], bool]) -> list[Item[T]]:
        """Items that are not wanted any more (cancelled, their device gone) leave the queue; they are returned."""
        return self.leave(lambda item: unwanted(item.value))

    def leave(self, which: Callable[[Item[T]], bool]) -> list[Item[T]]:
        """Some items leave the queue; they are returned."""
        gone = [entry for entry in self._waiting if which(entry[2])]
        if gone:
            self._waiting = [entry for entry in self._waiting if not which(entry[2])]
            heapq.heapify(self._waiting)
        return [entry[2] for entry in gone]

    def waiting(self) -> Iterator[Item[T]]:
        """What waits, in no order."""
        return (entry[2] for entry in self._waiting)

    def took(self, key: Hashable, seconds: float) -> None:
        """A run of `key` took so long."""
        known = self._seconds.get(key, seconds)
        self._seconds[key] = known + 0.2 * (seconds - known)

    def seconds(self, key: Hashable) -> float:
        return self._seconds.get(key, 0.0)

    def ease(self, key: Hashable) -> None:
        """Something was not even tried because of what runs of `key` took: that is believed a little less each time."""
        self._seconds[key] = 0.98 * self.seconds(key)

    def next(self, now: float) -> Batch[T] | None:
        """The next batch: the item with the earliest deadline, and those that can share its run; None when nothing waits."""
        taken: list[Item[T]] = []
        expired: list[Item[T]] = []
        others: list[tuple[float, int, Item[T]]] = []
        while self._waiting and len(taken) < self.largest:
            entry = heapq.heappop(self._waiting)
            item = entry[2]
            if item.deadline <= now + self.seconds(item.key):
                expired.append(item)
                if item.deadline > now:  # an estimate's verdict: one slow run must not refuse for ever
                    self._seconds[item.key] *= 0.9
            elif taken and item.key != taken[0].key:
                others.append(entry)
            else:
                taken.append(item)
        for entry in others:
            heapq.heappush(self._waiting, entry)
        return Batch(tuple(taken), tuple(expired)) if taken or expired else None

    def forecast(self) -> float:
        """Seconds that a frame that comes now will wait: the runs that stand before it."""
        keys: dict[Hashable, int] = {}
        for _, _, item in self._waiting:
            keys[item.key] = keys.get(item.key, 0) + 1
        return sum(-(-n // self.largest) * self.seconds(k) for k, n in keys.items())
