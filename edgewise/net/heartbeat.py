"""Is the other side still there? A PING a second, answered or not, and a limit on silence.

Each side sends its own. A device whose uplink is full of features (20 KB take half a second at 0.3 Mbit/s) cannot answer in time,
but it still hears the server's, so a slow link is not mistaken for a dead one.
"""

from __future__ import annotations

import math
from collections import deque

REMEMBERED = 16


class Heartbeat:
    """State of one direction; `rtt` (s) is the smallest of the last 8 round trips, infinite before the first.

    The smallest leaves out those that waited behind our own frames.
    """

    def __init__(self, interval: float, silence: float, now: float) -> None:
        self.interval, self.silence = interval, silence
        self.rtt = math.inf
        self._heard = self._next = now
        self._number = 0
        self._asked: dict[int, float] = {}
        self._trips: deque[float] = deque(maxlen=8)

    def heard(self, now: float) -> None:
        self._heard = max(self._heard, now)

    def silent(self, now: float) -> bool:
        return now >= self._heard + self.silence

    def due(self, now: float) -> int | None:
        """The number of the PING that must go out now, or None."""
        if now < self._next:
            return None
        self._number = (self._number + 1) & 0xFFFF_FFFF
        self._asked[self._number], self._next = now, now + self.interval
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return self._number

    def pong(self, number: int, now: float) -> float | None:
        """The round trip (s), or None where this PONG answers no PING of ours."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return None
        rtt = max(0.0, now - asked)
        self._trips.append(rtt)
        self.rtt = min(self._trips)
        return rtt

    def wake(self) -> float:
        """When (s) something is to be done next."""
        return min(self._heard + self.silence, self._next)
