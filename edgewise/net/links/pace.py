"""One direction of an emulated link in real time: who may pass when.

A chunk starts when it came or when the one before has passed, whichever is later, on the link's own time line: a timer that
fires late makes nobody else late. The link may change while a chunk is on it; what has passed by then has passed.
"""

from __future__ import annotations

import asyncio
import math

from edgewise.core.link import Link
from edgewise.net.links.virtual import capacity

SLACK = 0.0005  # s; a sleep below this costs more than it corrects
SLICE = 0.01  # s of the link's rate in one chunk
SMALLEST, LARGEST = 512, 16 * 1024


class Pace:
    """The queue of one direction; connections that share the link share this."""

    def __init__(self, link: Link, up: bool, now: float) -> None:
        self.up, self.carried = up, 0
        self._link, self._epoch = link, now
        self._free = -math.inf
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    def set_link(self, link: Link, now: float) -> None:
        """From now on this link; a trace begins at its start."""
        self._link, self._epoch = link, now
        self._changed.set()

    def chunk(self, now: float) -> int:
        """Bytes that one chunk may have: some 10 ms of the rate."""
        rate = self._link.rate(now - self._epoch, self.up)
        return LARGEST if rate == math.inf else max(SMALLEST, min(LARGEST, int(rate * SLICE / 8)))

    async def carry(self, size: int, came: float) -> float:
        """Wait until `size` bytes have left the link; when (loop time, s) they arrive at its end."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            start, left = max(came, self._free), float(size)
            while True:
                link, epoch = self._link, self._epoch
                begin = max(start, epoch)
                end = epoch + link.sent(left, begin - epoch, self.up)
                if end - clock() <= SLACK or not await self._changes_before(end):
                    break
                now = clock()
                left = max(0.0, left - capacity(link, begin - epoch, now - epoch, self.up))
                start = max(begin, now)
            self._free = end
            self.carried += size
            return end + link.delay

    async def _changes_before(self, end: float) -> bool:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(None if end == math.inf else end):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
