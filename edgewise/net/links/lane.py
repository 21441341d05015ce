"""One direction of a packet link, without I/O: packets in at a time, packets out when they arrive.

A packet waits for those before it, is carried at the link's rate on the link's own time line (a timer that fires late makes
nobody else late), may be lost, and arrives `delay` later. What does not fit the queue is dropped at its tail, as a router does.
The rate counts whole packets, with their headers: of 1500 bytes TCP brings at most 1448.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from random import Random

import msgspec

from edgewise.core.link import Link
from edgewise.net.links.virtual import capacity

SMALLEST_QUEUE = 48 * 1024  # bytes; 32 full packets, the least with which TCP keeps a slow link busy
QUEUE_SECONDS = 0.1


def queue_for(link: Link, up: bool) -> int:
    """Bytes that may wait: what the (mean) rate carries in 0.1 s, 48 KiB at least.

    >>> queue_for(Link("l", rate_up=50e6), True), queue_for(Link("l", rate_up=1e6), True)
    (625000, 49152)
    """
    trace = link.trace_up if up else link.trace_down
    rate = trace.mean if trace is not None else (link.rate_up if up else link.rate_down)
    return SMALLEST_QUEUE if rate == math.inf else max(SMALLEST_QUEUE, int(rate / 8 * QUEUE_SECONDS))


class Lane:
    """`put` what comes, `take` what has arrived, ask `next_wake` when that will be more."""

    def __init__(self, link: Link, up: bool, random: Random, now: float, queue: int | None = None) -> None:
        self.up, self.counts = up, Counter[str]()
        self._random, self._fixed = random, queue
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._queued = 0
        self._flight: deque[tuple[float, bytes]] = deque()
        self._start, self._left = now, 0.0  # of the packet at the head: when its rest begins, and how many bytes that is
        self._arrived = -math.inf
        self._use(link, now)

    def _use(self, link: Link, now: float) -> None:
        self._delay, self._loss, self._epoch = link.delay, link.loss, now
        self._link = msgspec.structs.replace(link, loss=0.0)  # packets are really lost here, not only paid for
        self._queue = self._fixed if self._fixed is not None else queue_for(link, self.up)
        self._end: float | None = None

    def set_link(self, link: Link, now: float) -> None:
        """From now on this link; what has passed of the packet under way has passed. A trace begins at its start."""
        self._advance(now)
        if self._waiting:
            begin = max(self._start, self._epoch)
            self._left = max(0.0, self._left - capacity(self._link, begin - self._epoch, now - self._epoch, self.up))
            self._start = max(begin, now)
        self._use(link, now)

    def put(self, packet: bytes, now: float) -> bool:
        """A packet came; False where the queue was full and it is gone."""
        self._advance(now)
        if self._waiting and self._queued + len(packet) > self._queue:
            self.counts["overflowed"] += 1
            return False
        self.counts["packets"] += 1
        self.counts["bytes"] += len(packet)
        if not self._waiting:
            self._start, self._left = max(now, self._start), len(packet)
        self._waiting.append((now, packet))
        self._queued += len(packet)
        return True

    def take(self, now: float) -> list[bytes]:
        """The packets that have arrived by now, in order."""
        self._advance(now)
        arrived: list[bytes] = []
        while self._flight and self._flight[0][0] <= now:
            arrived.append(self._flight.popleft()[1])
        return arrived

    def next_wake(self) -> float:
        """When (s) `take` has something next; infinite where nothing is under way, or the link is dead."""
        if self._flight:
            return self._flight[0][0]
        return self._ends() + self._delay if self._waiting else math.inf

    def _ends(self) -> float:
        """When the packet at the head will have left."""
        if self._end is None:
            begin = max(self._start, self._epoch) - self._epoch
            self._end = self._epoch + self._link.sent(self._left, begin, self.up)
        return self._end

    def _advance(self, now: float) -> None:
        while self._waiting and (end := self._ends()) <= now:
            _, packet = self._waiting.popleft()
            self._queued -= len(packet)
            if self._loss and self._random.random() < self._loss:
                self.counts["lost"] += 1
            else:
                self._arrived = max(self._arrived, end + self._delay)
                self._flight.append((self._arrived, packet))
            self._start, self._end = end, None
            if self._waiting:
                came, following = self._waiting[0]
                self._start, self._left = max(came, end), len(following)
