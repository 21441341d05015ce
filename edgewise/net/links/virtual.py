"""A link in virtual time: what is sent waits for what was sent before, nothing sleeps.

The law: arrivals of one direction are in order, and the link carries exactly the bytes that its rate allows, so `capacity` of
the time that a transfer takes is its size.
"""

from __future__ import annotations

import math

from edgewise.core.link import Link


def capacity(link: Link, start: float, end: float, up: bool = True) -> float:
    """Bytes that `link` can carry from `start` to `end` (s); the other way round from `link.sent`."""
    if end <= start:
        return 0.0
    trace = link.trace_up if up else link.trace_down
    bits = trace.bits(end) - trace.bits(start) if trace is not None else (link.rate_up if up else link.rate_down) * (end - start)
    return bits / 8 * (1 - link.loss)


class VirtualLink:
    """Both directions of a link, each a queue; only the time until which each is busy is remembered.

    >>> link = VirtualLink(Link("slow", rate_up=8000.0, delay=0.5))
    >>> link.send(1000, now=0.0), link.send(1000, now=0.1)
    (1.5, 2.5)
    """

    kind = "virtual"

    def __init__(self, link: Link) -> None:
        self.link = link
        self.bytes_up = self.bytes_down = 0
        self._busy = {True: -math.inf, False: -math.inf}

    def free(self, now: float, up: bool = True) -> float:
        """When (s) the first byte of something sent now would leave."""
        return max(now, self._busy[up])

    def send(self, size: int, now: float, up: bool = True) -> float:
        """When (s) the last of `size` bytes arrives; infinite over a link that is dead for good."""
        sent = self.link.sent(size, self.free(now, up), up)
        self._busy[up] = sent
        if up:
            self.bytes_up += size
        else:
            self.bytes_down += size
        return sent + self.link.delay
