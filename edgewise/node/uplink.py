"""The agent's way to the server: its session, what is under way, and what the link and the server teach the policy by that.

A frame is handed over, and settled when its turn to be sent comes: only then it is known what goes of it, and of one in layers
those stay here that would not be in time. It does not know why a frame is sent, nor what becomes of one that is let down. What
the server says of learning it hands on (`Lessons`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edgewise.net.messages import Hello
from edgewise.net.session import (
    Answered,
    Closed,
    DeviceSession,
    Dropped,
    Failed,
    Late,
    News,
    Opened,
    Pong,
    Uploaded,
    Wanted,
    Warned,
)
from edgewise.node.open_frame import OpenFrame
from edgewise.node.outlook import Outlook
from edgewise.plan.online import OnlinePolicy, Situation

MARGIN = 0.004  # s kept free before a deadline, for the timer and the hand-over
WARNINGS = 20  # the newest that are kept
SAMPLES = -1  # stands for pieces of samples among the frames under way
OfLearning = Callable[[Wanted | Uploaded, float], None]


class Uplink:
    """`streams` maps a remote operating point to its stream in the session; those of points that may be chosen count."""

    def __init__(
        self,
        policy: OnlinePolicy,
        session: DeviceSession,
        streams: Mapping[str, int],
        of_learning: OfLearning = lambda event, now: None,
    ) -> None:
        self.session = session
        self._of_learning = of_learning
        self.hung_up = False  # the session ended by itself: the rim closes the transport and tries again
        self.greeted = False  # this connection got as far as a welcome
        self.open = False
        self.warnings: list[str] = []
        self._policy = policy
        self._outlook = Outlook(policy)
        self.streams = self._used(streams)
        self._hailed = 0.0  # when HELLO went out
        self._news: list[bytes] = []

    def connected(self, now: float) -> None:
        self.hung_up, self.greeted, self._hailed = False, False, now
        self.session.connected(now)

    def lost(self, now: float) -> None:
        self.open = False
        self.session.lost(now)

    def renew(self, hello: Hello, now: float) -> None:
        self.session.renew(hello, now)

    def adopt(self, streams: Mapping[str, int]) -> None:
        """Other streams are in use, whose points the policy has already."""
        self.streams = self._used(streams)
        self._refused(self.session.refused)

    def situation(self, now: float, left: float, condition: str) -> Situation:
        """What the policy is asked with, for a frame with `left` seconds."""
        backlog, oldest = self._outlook.backlog(now)
        return Situation(now, left, self.open, backlog, oldest, condition)

    def offer(self, it: OpenFrame, payload: bytes, now: float, flags: int = 0) -> None:
        """Hand a frame over, with the flags of its header."""
        assert it.point is not None
        it.away, it.sent_at, it.size = True, now, len(payload)
        if under := self.session.sample_bytes:
            self._outlook.sent(SAMPLES, under, now)
        self.session.offer(it.frame, self.streams[it.point.name], payload, it.deadline, now, flags)
        self._outlook.sent(it.frame, len(payload), now)

    def settle(self, it: OpenFrame, now: float) -> None:
        """The frame's turn has come."""
        layers = len(it.ends)
        if layers > 1 and it.point is not None:
            backlog, oldest = self._outlook.backlog(now, before=it.frame)
            left = it.deadline - now - MARGIN
            layers = self._policy.layers(it.point.name, it.ends, Situation(now, left, True, backlog, oldest))
        it.went(layers)
        if it.up < it.size:
            self.session.shorten(it.up)
            self._outlook.shortened(it.frame, it.up)

    def withdraw(self, it: OpenFrame) -> None:
        """The frame has its fate; where it waits for the wire still, it need not go."""
        if it.away and not it.up:
            self.session.withdraw(it.frame)
            self._outlook.let_down(it.frame, still_queued=False)

    def heard(self, now: float) -> Iterator[Answered | Dropped | Failed]:
        """What the session tells of frames; all else that it tells is acted on here."""
        for event in self.session.events():
            if isinstance(event, Answered):
                self._outlook.answered(event.frame, event.reply.wait + event.reply.tail, now)
                yield event
            elif isinstance(event, Dropped | Failed):
                self._outlook.let_down(event.frame, still_queued=isinstance(event, Failed) and event.reason == "deadline")
                yield event
            elif isinstance(event, Late):
                self._outlook.answered(event.frame, event.reply.wait + event.reply.tail if event.reply else 0.0, now)
            elif isinstance(event, Pong):
                self._outlook.pong(event.rtt, now)
            elif isinstance(event, Warned):
                self.warn(event.sentence)
            elif isinstance(event, Wanted | Uploaded):
                self._of_learning(event, now)
            elif isinstance(event, News):
                self._news.append(event.payload)
            elif isinstance(event, Opened):
                self.open = self.greeted = True
                self._refused(event.welcome.refused)
                self._outlook.pong(now - self._hailed, now)  # HELLO and WELCOME are the first round trip
            elif isinstance(event, Closed):
                self.open, self.hung_up = False, True
                self._outlook.clear()

    def news(self) -> list[bytes]:
        told, self._news = self._news, []
        return told

    def warn(self, sentence: str) -> None:
        self.warnings = [*self.warnings[1 - WARNINGS :], sentence]

    def _refused(self, streams: Mapping[int, str]) -> None:
        """What the server will not take in this session is not tried."""
        names = {stream: name for name, stream in self.streams.items()}
        self._policy.refused = {names[s]: sentence for s, sentence in streams.items() if s in names}
        for sentence in self._policy.refused.values():
            self.warn(sentence)

    def _used(self, streams: Mapping[str, int]) -> dict[str, int]:
        return {name: number for name, number in streams.items() if name in self._policy.points}
