"""The network between devices and the server: messages of a connection, pieces of a file, and what may happen to them.

A connection keeps its messages in order, as TCP does, unless a fault says otherwise. Over TLS a flipped bit, a lost message or
one out of its order would end a connection. Here it goes on for a while, so that the checks behind TLS are tried: its lane is
torn, and it breaks soon after (always for what the server said, and every other time for what a device did, whose items are
sent again anyway). A direction that is cut either holds what is sent until it is whole again (TCP sends it again) or loses it.

It does not know what a message means. Rates and delays are constant: what the policy makes of a link is tested elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from edgewise.node.faults.clock import Timeline

RATE = 200_000.0  # bytes/s each way, so that a small artifact takes a moment in which something may happen
DELAY = 0.01  # s one way
Deliver = Callable[[bytes], None]


class Direction:
    """One way between a device and the server; the numbers say what is wrong with it now (shares of messages, seconds)."""

    def __init__(self, timeline: Timeline, draw: random.Random) -> None:
        self.cut = 0  # faults that cut it
        self.holds = True  # while it is cut: kept for later, or lost
        self.loss = self.delay = self.shuffle = self.duplicate = self.corrupt = 0.0
        self.bytes = 0
        self._timeline, self._draw = timeline, draw
        self._free = 0.0
        self._held: list[tuple[Lane, bytes, Deliver]] = []

    def carry(self, lane: Lane, data: bytes, deliver: Deliver) -> None:
        """Take `data` into `lane`; `deliver` gets it at the other end, once, twice, changed or never."""
        if self.cut:
            if self.holds:
                self._held.append((lane, data, deliver))
            else:
                lane.tear()
            return
        draw, now = self._draw, self._timeline.now
        self.bytes += len(data)
        self._free = max(self._free, now) + len(data) / RATE
        if self.loss and draw.random() < self.loss:
            lane.tear()
            return
        if self.corrupt and data and draw.random() < self.corrupt:
            data = flipped(data, draw)
            lane.tear()
        arrival = self._free + DELAY + self.delay * draw.random()
        if self.shuffle and draw.random() < self.shuffle:
            arrival += draw.uniform(0.0, 0.5)
            lane.tear()
        else:
            lane.last = arrival = max(arrival, lane.last)
        self._timeline.at(arrival, lambda: deliver(data))
        if self.duplicate and draw.random() < self.duplicate:
            self._timeline.at(arrival + draw.uniform(0.0, 0.3), lambda: deliver(data))

    def sever(self, holds: bool) -> None:
        self.cut += 1
        self.holds = holds

    def join(self) -> None:
        """One fault less cuts it; what was held goes on its way."""
        self.cut -= 1
        if not self.cut:
            held, self._held = self._held, []
            for lane, data, deliver in held:
                self.carry(lane, data, deliver)


class Lane:
    """What keeps the messages of one connection in one direction in order; `torn` is called when that did not go well."""

    __slots__ = ("_torn", "last")

    def __init__(self, torn: Callable[[], None] | None = None) -> None:
        self.last = 0.0
        self._torn = torn

    def tear(self) -> None:
        torn, self._torn = self._torn, None
        if torn is not None:
            torn()


class Way:
    """Both directions between one device and the server."""

    def __init__(self, timeline: Timeline, draw: random.Random) -> None:
        self.up, self.down = Direction(timeline, draw), Direction(timeline, draw)

    @property
    def whole(self) -> bool:
        """Whether a handshake would succeed."""
        return not self.up.cut and not self.down.cut


def flipped(data: bytes, draw: random.Random) -> bytes:
    """`data` with one bit the other way round."""
    at = draw.randrange(8 * len(data))
    changed = bytearray(data)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)
