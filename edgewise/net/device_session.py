"""The device's side of a session: a state machine without I/O. See `edgewise.net.session` for the rules.

`offer` puts a frame in the one waiting slot, where a newer frame may replace it until the rim asks for `outgoing()`; from then
on it holds a place in the window. It does not know sockets, clocks or what a payload means.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from msgspec import Struct

from edgewise.core.answer import FrameRecord
from edgewise.core.errors import FrameError
from edgewise.net import events, messages
from edgewise.net.allowance import Allowance
from edgewise.net.frame import Header, Kind, budget_us, decode, encode
from edgewise.net.heartbeat import Heartbeat
from edgewise.net.messages import Hello, Welcome, pack, unpack
from edgewise.net.telemetry import Telemetry
from edgewise.net.window import Flight, Window

MAX_DOWN = 1 << 20


class Waiting(Struct):
    frame: int
    stream: int
    payload: bytes | memoryview
    deadline: float


class DeviceSession:
    """`window` bounds the frames in flight from this side as well; `records` rows of telemetry wait at most."""

    def __init__(
        self,
        hello: Hello,
        *,
        window: int = 1024,
        records: int = 1024,
        heartbeat: float = 1.0,
        silence: float = 3.0,
        handshake: float = 5.0,
    ) -> None:
        self.hello, self.window = hello, window
        self.welcome: Welcome | None = None
        self.counts: Counter[str] = Counter()
        self._streams = {stream.id for stream in hello.streams}
        self._state: Literal["away", "greeting", "open"] = "away"
        self._interval, self._silence, self._handshake = heartbeat, silence, handshake
        self._heart = Heartbeat(heartbeat, silence, 0.0)
        self._garbage = Allowance(1.0, 16.0)
        self._now = self._greeted = -math.inf
        self._last = -1
        self._waiting: Waiting | None = None
        self._places = Window()
        self._telemetry = Telemetry(records, self.counts)
        self._out: list[bytes] = []
        self._events: list[events.Event] = []

    @property
    def open(self) -> bool:
        """Whether both sides have greeted each other."""
        return self._state == "open"

    @property
    def in_flight(self) -> int:
        """Places of the window in use, those of frames that failed already among them."""
        return len(self._places)

    @property
    def rtt(self) -> float:
        """The smallest recent round trip of an empty frame (s); infinite before the first."""
        return self._heart.rtt

    @property
    def records_waiting(self) -> int:
        return len(self._telemetry)

    def events(self) -> list[events.Event]:
        drained, self._events = self._events, []
        return drained

    def outgoing(self, now: float | None = None) -> list[bytes]:
        """What goes on the wire, in order. Call it when the wire is free: only then is the waiting frame committed."""
        if now is not None:
            self._advance(now)
        if self._state == "open":
            if self._waiting is not None and len(self._places) < min(self._places.credit, self.window):
                self._send(self._waiting)
                self._waiting = None
            if self._telemetry and self._waiting is None and self._now >= self._telemetry.due:
                self._send_records()
        drained, self._out = self._out, []
        return drained

    def next_wake(self) -> float | None:
        """When (s) `tick` has something to do, if nothing else happens before; None where there is nothing to wait for."""
        if self._state == "away":
            return None
        times = [self._heart.wake()]
        if self._state == "greeting":
            times = [self._greeted + self._handshake]
        if self._waiting is not None:
            times.append(self._waiting.deadline)
        elif self._telemetry and self._state == "open":
            times.append(self._telemetry.due)
        times.extend(self._places.deadlines())
        return min(times)

    def connected(self, now: float) -> None:
        """A connection stands: greet the server."""
        if self._state != "away":
            self.lost(now)
        self._now = max(self._now, now)
        self._state, self._greeted, self.welcome = "greeting", self._now, None
        self._heart = Heartbeat(self._interval, self._silence, self._now)
        self._garbage = Allowance(1.0, 16.0)
        self._out = [encode(Header(Kind.HELLO), pack(self.hello))]

    def lost(self, now: float) -> None:
        """The connection is gone."""
        self._now = max(self._now, now)
        self._close("connection lost")

    def bye(self, reason: str, now: float) -> None:
        """Say what telemetry is left, then go."""
        self._advance(now)
        while self._state == "open" and self._telemetry:
            self._send_records()
        self._close(reason, say=True)

    def offer(self, frame: int, stream: int, payload: bytes | memoryview, deadline: float, now: float) -> None:
        """Hand over one frame, numbered higher than all before it (else FrameError); its end comes as an event."""
        self._advance(now)
        if not self._last < frame <= 0xFFFF_FFFF:
            raise FrameError("a frame is offered out of order", got=frame, allowed=f"{self._last + 1} to {0xFFFF_FFFF}")
        self._last = frame
        self.counts["offered"] += 1
        if self._state == "away":
            self._fail(frame, "not connected")
        elif sentence := self._obstacle(stream, len(payload)):
            self._fail(frame, f"refused: {sentence}")
        elif deadline <= self._now:
            self._drop(frame, "expired")
        else:
            if self._waiting is not None:
                self._drop(self._waiting.frame, "superseded")
            self._waiting = Waiting(frame, stream, payload, deadline)

    def record(self, record: FrameRecord) -> None:
        """Queue a row of telemetry; it goes when no frame waits. The oldest rows make room, counted."""
        self._telemetry.add(record)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._advance(now)

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Bytes of one message came in. Never raises: what cannot be read is counted, and too much of it closes."""
        if self._state == "away":
            return
        self._heart.heard(now)
        self._advance(now)
        try:
            header, payload = decode(data, MAX_DOWN)
            self._handle(header, payload, len(data))
        except FrameError as error:
            self.counts["unreadable"] += 1
            self._events.append(events.Warned(str(error)))
            if not self._garbage.take(1.0, self._now):
                self._close(f"the server sends too much that cannot be read: {error}", say=True)

    def _advance(self, now: float) -> None:
        self._now = now = max(self._now, now)
        if self._state == "away":
            return
        if self._waiting is not None and self._waiting.deadline <= now:
            self._drop(self._waiting.frame, "expired")
            self._waiting = None
        for flight in self._places.overdue(now):
            self._fail(flight.frame, "deadline", flight.bytes_up)
            self._out.append(encode(Header(Kind.CANCEL, flight.frame)))
        if self._state == "greeting":
            if now >= self._greeted + self._handshake:
                self._close(f"no welcome within {self._handshake:g} s")
        elif self._heart.silent(now):
            self._close(f"the server was silent for {self._silence:g} s")
        elif (number := self._heart.due(now)) is not None:
            self._out.append(encode(Header(Kind.PING, number)))

    def _obstacle(self, stream: int, size: int) -> str | None:
        """Why the server would refuse this, as far as that is known."""
        if stream not in self._streams:
            return f"stream {stream} was not agreed; allowed: {sorted(self._streams)}."
        if self.welcome is None:
            return None
        if stream in self.welcome.refused:
            return self.welcome.refused[stream]
        if size > self.welcome.max_payload:
            return f"a frame of {size} bytes is oversized; allowed: {self.welcome.max_payload}."
        return None

    def _send(self, waiting: Waiting) -> None:
        header = Header(Kind.DATA, waiting.frame, waiting.stream, budget_us(waiting.deadline, self._now))
        data = encode(header, waiting.payload)
        self._places.add(Flight(waiting.frame, waiting.deadline, self._now, len(data)))
        self.counts["sent"] += 1
        self._out.append(data)

    def _send_records(self) -> None:
        assert self.welcome is not None
        if (payload := self._telemetry.batch(self.welcome, self._now)) is not None:
            self._out.append(encode(Header(Kind.RECORD), payload))

    def _handle(self, header: Header, payload: memoryview, size: int) -> None:
        kind, frame = header.kind, header.frame
        if kind is Kind.BYE:
            sentence = unpack(messages.Refusal, payload).sentence
            self._close(f"the server closed: {sentence}")
        elif self._state == "greeting":
            if kind is not Kind.WELCOME:
                raise FrameError("the server speaks before its welcome", got=kind.name, allowed="WELCOME or BYE")
            self._open(unpack(Welcome, payload))
        elif kind is Kind.ANSWER:
            self._answered(frame, payload, size)
        elif kind is Kind.REFUSE:
            refusal = unpack(messages.Refusal, payload)
            if refusal.frame is None or refusal.frame not in self._places:
                self.counts["warned"] += 1
                self._events.append(events.Warned(refusal.sentence))
            else:
                self._last_word(refusal.frame, f"refused: {refusal.sentence}", size)
        elif kind is Kind.CANCEL:
            self._last_word(frame, "refused: the server gave it up", size)
        elif kind is Kind.CREDIT:
            self._places.credit = unpack(messages.Credit, payload).credit
        elif kind is Kind.PING:
            self._out.append(encode(Header(Kind.PONG, frame)))
        elif kind is Kind.PONG:
            if (rtt := self._heart.pong(frame, self._now)) is not None:
                self._events.append(events.Pong(rtt))
        else:
            raise FrameError("a frame is of a kind that a server does not send now", got=kind.name)

    def _open(self, welcome: Welcome) -> None:
        self._state, self.welcome, self._places.credit = "open", welcome, welcome.credit
        self._events.append(events.Opened(self.hello, welcome))
        if self._waiting is not None and (sentence := self._obstacle(self._waiting.stream, len(self._waiting.payload))):
            self._fail(self._waiting.frame, f"refused: {sentence}")
            self._waiting = None

    def _answered(self, frame: int, payload: memoryview, size: int) -> None:
        if frame not in self._places:
            self.counts["answers to no frame"] += 1
            return
        try:
            reply = unpack(messages.Reply, payload)
        except FrameError as error:
            self._last_word(frame, f"refused: {error}", size)
            raise
        flight = self._places.pop(frame)
        assert flight is not None
        word = events.Late if flight.told else events.Answered
        self.counts["late answers" if flight.told else "answered"] += 1
        self._events.append(word(frame, reply, flight.sent_at, flight.bytes_up, size, self._now))

    def _last_word(self, frame: int, reason: str, size: int) -> None:
        flight = self._places.pop(frame)
        if flight is None:
            return
        if flight.told:
            self._events.append(events.Late(frame, None, flight.sent_at, flight.bytes_up, size, self._now))
        else:
            self._fail(frame, reason, flight.bytes_up)

    def _drop(self, frame: int, reason: str) -> None:
        self.counts[reason] += 1
        self._events.append(events.Dropped(frame, reason))

    def _fail(self, frame: int, reason: str, bytes_up: int = 0) -> None:
        self.counts[reason.partition(":")[0]] += 1
        self._events.append(events.Failed(frame, reason, bytes_up))

    def _close(self, reason: str, *, say: bool = False) -> None:
        if self._state == "away":
            return
        if self._waiting is not None:
            self._fail(self._waiting.frame, "connection lost")
            self._waiting = None
        for flight in self._places.close():
            self._fail(flight.frame, "connection lost", flight.bytes_up)
        kept = [d for d in self._out if d[3] == Kind.RECORD] if say else []
        self._out = [*kept, encode(Header(Kind.BYE), messages.refusal(None, reason))] if say else []
        self._state, self.welcome = "away", None
        self.counts["closed"] += 1
        self._events.append(events.Closed(reason))
