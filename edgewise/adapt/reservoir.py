"""A Reservoir keeps samples that were learned from, so that a step sees old ones beside the new.

It is stratified by what the student makes of a sample: when it is full, the oldest of the commonest stratum goes. A stream
that is sorted by class so leaves something of every class, and within a class the newest stay (adapt notes 2.4; "newest 2,000"
in the long runs). Samples carry the number of their domain, and a step draws from one domain alone: pictures of another would
be normalised by statistics that are not theirs (trap 3).

It holds at most `capacity` samples and `largest` bytes of pictures. It does not know whether what it holds is right.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection

import numpy as np
from msgspec import Struct

from edgewise.adapt.step import Kind, Values
from edgewise.adapt.teacher import Picture

LARGEST = 256 << 20  # bytes


class Kept(Struct, frozen=True, eq=False):
    """A sample with the teacher's answer `soft` (C,), where it came from, and its `stratum`."""

    picture: Picture
    soft: Values
    device: str
    domain: int = 0
    stratum: int = 0


def strata(answers: Values, kind: Kind = "classes") -> list[int]:
    """The stratum of each answer (n, C): its likeliest class; of a map, the power of two of the cells that are occupied.

    >>> strata(np.array([[0.2, 0.8]])), strata(np.array([[0.9, 0.8, 0.7]]), "cells")
    ([1], [2])
    """
    if kind == "classes":
        return [int(i) for i in answers.argmax(axis=1)]
    return [int(count).bit_length() for count in (answers >= 0.5).sum(axis=1)]


class Reservoir:
    """Samples, newest last, in queues by domain and stratum."""

    def __init__(self, capacity: int = 2000, largest: int = LARGEST) -> None:
        self.capacity, self.largest = capacity, largest
        self._queues: dict[tuple[int, int], deque[Kept]] = {}
        self._bytes = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes of the pictures that are held."""
        return self._bytes

    def count(self, domain: int) -> Counter[int]:
        """How many there are of a domain, by stratum."""
        return Counter({stratum: len(queue) for (d, stratum), queue in self._queues.items() if d == domain})

    def add(self, sample: Kept) -> int:
        """Keep it, and give how many had to go for it."""
        self._queues.setdefault((sample.domain, sample.stratum), deque()).append(sample)
        self._count += 1
        self._bytes += sample.picture.nbytes
        gone = 0
        while self._count > self.capacity or (self._bytes > self.largest and self._count > 1):
            fullest = max(self._queues, key=lambda k: (len(self._queues[k]), k[0] != sample.domain, -k[1]))
            self._drop(fullest)
            gone += 1
        return gone

    def draw(self, number: int, random: np.random.Generator, domain: int, without: Collection[str] = ()) -> list[Kept]:
        """Up to `number` samples of a domain, each at most once, but none of the devices `without`."""
        there = [s for (d, _), queue in self._queues.items() if d == domain for s in queue if s.device not in without]
        chosen = random.permutation(len(there))[:number]
        return [there[i] for i in chosen]

    def forget(self, domain: int) -> int:
        """Let a domain go, and give how many samples that were."""
        gone = 0
        for key in [k for k in self._queues if k[0] == domain]:
            while key in self._queues:
                self._drop(key)
                gone += 1
        return gone

    def _drop(self, key: tuple[int, int]) -> None:
        queue = self._queues[key]
        self._bytes -= queue.popleft().picture.nbytes
        self._count -= 1
        if not queue:
            del self._queues[key]
