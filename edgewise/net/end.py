"""What both ends of a session have: a clock that never goes back, a heartbeat, an allowance of garbage, counts, and two queues
that the rim drains: bytes for the wire, and events.
"""

from __future__ import annotations

import math
from collections import Counter

from edgewise.net import messages
from edgewise.net.allowance import Allowance
from edgewise.net.events import Event, Pong
from edgewise.net.frame import Header, Kind, encode
from edgewise.net.heartbeat import Heartbeat


class End:
    """`beat` and `silence` are of the heartbeat (s); `burst` unreadable messages are borne at once, then `rate` a second."""

    def __init__(self, beat: float, silence: float, rate: float = 1.0, burst: float = 16.0) -> None:
        self.counts: Counter[str] = Counter()
        self._beat, self._silence, self._rate, self._burst = beat, silence, rate, burst
        self._now = -math.inf
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._begin(0.0)

    @property
    def rtt(self) -> float:
        """The smallest recent round trip of an empty frame (s); infinite before the first."""
        return self._heart.rtt

    def events(self) -> list[Event]:
        drained, self._events = self._events, []
        return drained

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._advance(now)

    def _advance(self, now: float) -> None:
        raise NotImplementedError

    def _begin(self, now: float) -> None:
        """A connection is new: nothing was heard yet."""
        self._heart = Heartbeat(self._beat, self._silence, now)
        self._garbage = Allowance(self._rate, self._burst)

    def _say(self, kind: Kind, frame: int = 0, payload: bytes = b"", flags: int = 0) -> None:
        self._out.append(encode(Header(kind, frame, flags=flags), payload))

    def _say_bye(self, reason: str) -> None:
        self._say(Kind.BYE, 0, messages.refusal(None, reason))

    def _tell(self, event: Event) -> None:
        self._events.append(event)

    def _drained(self) -> list[bytes]:
        drained, self._out = self._out, []
        return drained

    def _beats(self, header: Header) -> bool:
        """Whether this was a PING, which is answered here, or a PONG."""
        if header.kind is Kind.PING:
            self._say(Kind.PONG, header.frame)
        elif header.kind is Kind.PONG:
            if (rtt := self._heart.pong(header.frame, self._now)) is not None:
                self._tell(Pong(rtt))
        else:
            return False
        return True
