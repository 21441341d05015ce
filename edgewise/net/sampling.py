"""A device's samples on their way up: pieces small enough that no frame waits long behind one, each confirmed before the next.

Samples are not items: an item is whole and up to 64 KiB, which is half a second of a link of 1 Mbit/s; it stands in one row with
the ledger and the reports, and it is written to a disk. A sample may be larger, can be spared, and goes only while the link has
nothing else to do. So samples wait here, in memory, bounded; what does not fit is refused to whoever offers it.

A piece is sized to keep the link for WORTH s: it grows while confirmations come as fast as the round trip lets them, and shrinks
where they do not. A sample counts at most once: the server knows its number, and what has not gone when a connection ends is
given up with it, for some of it may have arrived, and after hours without a link nobody wants what was seen before them.
"""

from __future__ import annotations

import math
from collections import Counter, deque

from edgewise.core.errors import FrameError
from edgewise.net.messages import LARGEST_SAMPLE, Piece, pack

LEAST, MOST = 1 << 10, 32 << 10  # bytes of a piece
WORTH = 0.02  # s of the link that a piece may take
PATIENCE = 5.0  # s without a confirmation until a sample begins again
QUEUE = 1 << 20  # bytes that may wait; one sample may always


class Sampling:
    """The samples of one session, in order. `counts` are the session's."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._number = 0
        self._offset = 0  # of the first sample: bytes that are confirmed
        self._under = 0  # bytes of the piece that is not
        self._sent_at = -math.inf
        self._size = LEAST

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def room(self) -> int:
        """Bytes that may be offered."""
        return QUEUE - self._bytes if self._waiting else LARGEST_SAMPLE

    @property
    def under(self) -> int:
        """Bytes on the link that are not confirmed."""
        return self._under

    def offer(self, sample: bytes) -> int | None:
        """The number of a sample that waits now; None where there is no room for it."""
        if not 0 < len(sample) <= LARGEST_SAMPLE or len(sample) > self.room:
            self.counts["samples without room"] += 1
            return None
        self._number += 1
        self._waiting.append((self._number, sample))
        self._bytes += len(sample)
        return self._number

    def take(self, now: float) -> tuple[int, bytes] | None:
        """Number and payload of the SAMPLE frame that may go now."""
        if not self._waiting or self._under:
            return None
        number, sample = self._waiting[0]
        piece = sample[self._offset : self._offset + self._size]
        self._under, self._sent_at = len(piece), now
        self.counts["sample bytes sent"] += len(piece)
        return number, pack(Piece(self._offset, len(sample), piece))

    def confirmed(self, number: int, now: float, rtt: float) -> bool:
        """A piece of sample `number` is off the link; true when it was its last. FrameError where there never was such a sample.

        `rtt` (s) is the smallest round trip of an empty frame.
        """
        if not 0 < number <= self._number:
            raise FrameError("a piece of a sample was confirmed that was not sent", got=number, allowed=f"1 to {self._number}")
        if not self._waiting or not self._under or number != self._waiting[0][0]:
            self.counts["confirmations of no piece"] += 1  # it was given up meanwhile
            return False
        took = max(now - self._sent_at - (rtt if math.isfinite(rtt) else 0.0), 1e-4)
        fit = self._under * WORTH / took
        self._size = round(min(max(fit, self._size / 2, LEAST), self._size * 2, MOST))
        self._offset, self._under = self._offset + self._under, 0
        if self._offset < len(self._waiting[0][1]):
            return False
        self._bytes -= len(self._waiting.popleft()[1])
        self._offset = 0
        self.counts["samples sent"] += 1
        return True

    def wake(self) -> float:
        """When (s) something is to be done that no message brings about."""
        return self._sent_at + PATIENCE if self._under else math.inf

    def advance(self, now: float) -> None:
        """A piece that nobody confirms, or its confirmation, was lost: the sample begins again."""
        if self._under and now >= self._sent_at + PATIENCE:
            self.counts["samples begun again"] += 1
            self._offset = self._under = 0

    def drop(self, why: str) -> list[int]:
        """Nothing that waits goes any more, counted as samples `why`; the numbers of what that is."""
        numbers = [number for number, _ in self._waiting]
        self._waiting.clear()
        self._bytes = self._offset = self._under = 0
        self._size = LEAST
        self.counts[f"samples {why}"] += len(numbers)
        return numbers
