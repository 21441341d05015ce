"""The device's side of a session: a state machine without I/O. See `edgewise.net.session` for the rules.

`offer` puts a frame in the one waiting slot, where a newer frame may replace it until the rim asks for `outgoing()`; from then
on it holds a place in the window. At that moment (`due`) it may be shortened, by whoever knows where. Items of the outbox go when
no frame waits, samples when nothing else is under way. `renew` agrees on other streams while the session is open. It does not
know sockets, clocks or what a payload is.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
from msgspec import Struct

from edgewise.core.errors import FrameError, StoreError
from edgewise.core.learning import Learning, Sample
from edgewise.net import events, messages, teaching
from edgewise.net.end import End
from edgewise.net.frame import Header, Kind, budget_us, decode, encode
from edgewise.net.items import Outbox
from edgewise.net.messages import Hello, Welcome, pack, unpack
from edgewise.net.posting import Posting
from edgewise.net.sampling import Sampling
from edgewise.net.window import Flight, Window

MAX_DOWN = 1 << 20


class Waiting(Struct):
    frame: int
    stream: int
    payload: bytes | memoryview
    deadline: float
    flags: int = 0


class DeviceSession(End):
    """`outbox` holds what is to go up as items; `window` bounds the frames in flight from this side as well.

    `learns`: the server may say what it wants to learn from. `reserved` is for who makes frames to say: one will want the link at
    once, so that no sample is begun.
    """

    def __init__(
        self,
        hello: Hello,
        outbox: Outbox | None = None,
        *,
        window: int = 1024,
        heartbeat: float = 1.0,
        silence: float = 3.0,
        handshake: float = 5.0,
        learns: bool = False,
    ) -> None:
        super().__init__(heartbeat, silence)
        self._posting = Posting(outbox, self.counts)
        self._sampling = Sampling(self.counts)
        self.learns, self.reserved = learns, False
        self.learning: Learning | None = None
        self.hello, self.window = self._with_epoch(hello), window
        self.welcome: Welcome | None = None
        self._streams = {stream.id for stream in hello.streams}
        self._refused: dict[int, str] = {}
        self._renewing: Hello | None = None
        self._greeting = 0  # number of the last HELLO; its WELCOME carries it
        self._state: Literal["away", "greeting", "open"] = "away"
        self._handshake = handshake
        self._greeted = -math.inf
        self._last = -1
        self._waiting: Waiting | None = None
        self._places = Window()

    @property
    def open(self) -> bool:
        """Whether both sides have greeted each other."""
        return self._state == "open"

    @property
    def refused(self) -> dict[int, str]:
        """Streams that the server does not take, each with its sentence."""
        return self._refused

    @property
    def in_flight(self) -> int:
        """Places of the window in use, those of frames that failed already among them."""
        return len(self._places)

    @property
    def unacknowledged(self) -> int:
        """Items that were sent and are not acknowledged."""
        return self._posting.unacknowledged

    @property
    def samples(self) -> int:
        """Samples that wait or are on their way."""
        return len(self._sampling)

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample that are on the link now."""
        return self._sampling.under

    @property
    def last(self) -> int:
        """The number of the frame that was offered last."""
        return self._last

    @property
    def renewing(self) -> bool:
        """Whether new streams were asked for and the server has not said which of them it takes."""
        return self._renewing is not None

    def stir(self) -> None:
        """Something new waits in the outbox; without this word it is found within a second or so."""
        self._posting.stir()

    def outgoing(self, now: float | None = None) -> list[bytes]:
        """What goes on the wire, in order. Call it when the wire is free: only then is the waiting frame committed."""
        if now is not None:
            self._advance(now)
        if self._state == "open":
            if (waiting := self._turn()) is not None:
                self._send(waiting)
                self._waiting = None
            if self._waiting is None:
                self._send_items()
                self._send_sample()
        return self._drained()

    def due(self, now: float) -> int | None:
        """The frame that goes with the next `outgoing`, None where none does: the last moment to `shorten` it."""
        self._advance(now)
        waiting = self._turn()
        return waiting.frame if waiting is not None else None

    def shorten(self, size: int) -> None:
        """Of the frame that waits, send the first `size` bytes of its payload alone."""
        if self._waiting is not None:
            self._waiting.payload = self._waiting.payload[:size]

    def withdraw(self, frame: int) -> None:
        """The frame is not wanted any more: it does not go, if it waits still, and no event speaks of it."""
        if self._waiting is not None and self._waiting.frame == frame:
            self._waiting = None
            self.counts["withdrawn"] += 1

    def next_wake(self) -> float | None:
        """When (s) `tick` has something to do, if nothing else happens before; None where there is nothing to wait for."""
        if self._state == "away":
            return None
        times = [self._heart.wake()] if self._state == "open" else []
        if self._state == "greeting" or self._renewing is not None:
            times.append(self._greeted + self._handshake)
        if self._waiting is not None:
            times.append(self._waiting.deadline)
        elif self._state == "open":
            times.append(self._posting.wake(self._now, len(self._places) > 0))
        if self._state == "open":
            times.append(self._sampling.wake())
        times.extend(self._places.deadlines())
        return min(times)

    def connected(self, now: float) -> None:
        """A connection stands: greet the server."""
        if self._state != "away":
            self.lost(now)
        self._now = max(self._now, now)
        self._state, self._greeted, self.welcome = "greeting", self._now, None
        self._begin(self._now)
        self._out = []
        self._greet(self.hello)

    def lost(self, now: float) -> None:
        """The connection is gone."""
        self._now = max(self._now, now)
        self._close("connection lost")

    def bye(self, reason: str, now: float) -> None:
        """Go, with a word; items that are not acknowledged stay in the outbox."""
        self._advance(now)
        self._close(reason, say=True)

    def renew(self, hello: Hello, now: float) -> None:
        """Agree on other streams, with other numbers than those of now, which stand until the renewal after this one.

        Renewed tells when the server has answered. Where the session is not open, the next greeting says `hello`.
        """
        self._advance(now)
        hello = self._with_epoch(hello)
        if self._renewing is not None:
            raise FrameError("streams are being renewed already", hint="Wait for Renewed, or for the end of the connection.")
        if self._state == "open":
            self._renewing, self._greeted = hello, self._now
            self._greet(hello)
            return
        if self._state == "greeting":
            self._close("it greets anew", say=True)
        self._adopt(hello)

    def offer(self, frame: int, stream: int, payload: bytes | memoryview, deadline: float, now: float, flags: int = 0) -> None:
        """Hand over one frame, numbered higher than all before it (else FrameError); its end comes as an event.

        `flags` are those of its header (`edgewise.net.teaching`).
        """
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
            self._waiting = Waiting(frame, stream, payload, deadline, flags)

    def sample(self, sample: Sample) -> int | None:
        """Hand over a sample, whose number is returned: Uploaded tells when it has gone or is lost. None where it cannot wait."""
        if self.learning is None or self._state != "open":
            self.counts["samples not wanted"] += 1
            return None
        return self._sampling.offer(pack(sample))

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
            self._tell(events.Warned(str(error)))
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
            self._say(Kind.CANCEL, flight.frame)
        if (self._state == "greeting" or self._renewing is not None) and now >= self._greeted + self._handshake:
            self._close(f"no welcome within {self._handshake:g} s")
        elif self._state == "greeting":
            pass
        elif self._heart.silent(now):
            self._close(f"the server was silent for {self._silence:g} s")
        else:
            self._posting.advance(now)
            self._sampling.advance(now)
            if (number := self._heart.due(now)) is not None:
                self._say(Kind.PING, number)

    def _obstacle(self, stream: int, size: int) -> str | None:
        """Why the server would refuse this, as far as that is known."""
        if stream not in self._streams:
            return f"stream {stream} was not agreed; allowed: {sorted(self._streams)}."
        if self.welcome is None:
            return None
        if stream in self._refused:
            return self._refused[stream]
        if size > self.welcome.max_payload:
            return f"a frame of {size} bytes is oversized; allowed: {self.welcome.max_payload}."
        return None

    def _turn(self) -> Waiting | None:
        """The waiting frame, if its turn has come."""
        free = self._state == "open" and len(self._places) < min(self._places.credit, self.window)
        return self._waiting if free else None

    def _send(self, waiting: Waiting) -> None:
        header = Header(Kind.DATA, waiting.frame, waiting.stream, budget_us(waiting.deadline, self._now), waiting.flags)
        data = encode(header, waiting.payload)
        self._places.add(Flight(waiting.frame, waiting.deadline, self._now, len(data)))
        self.counts["sent"] += 1
        self._out.append(data)

    def _send_items(self) -> None:
        """What may go of the outbox: one message while frames are in flight, else as much as the window takes."""
        busy = len(self._places) > 0
        try:
            while (payload := self._posting.take(self._now, busy)) is not None:
                self._say(Kind.ITEM, self._posting.number, payload)
                if busy:
                    return
        except StoreError as error:
            self._tell(events.Warned(str(error)))

    def _send_sample(self) -> None:
        """The next piece of a sample, if the link has nothing else to do."""
        if self.learning is None or self.reserved or len(self._places) or self._out:
            return
        if (piece := self._sampling.take(self._now)) is not None:
            self._say(Kind.SAMPLE, *piece)

    def _greet(self, hello: Hello) -> None:
        self._greeting += 1
        self._say(Kind.HELLO, self._greeting, pack(hello), teaching.LEARNS * self.learns)

    def _with_epoch(self, hello: Hello) -> Hello:
        return msgspec.structs.replace(hello, outbox=self._posting.epoch)

    def _handle(self, header: Header, payload: memoryview, size: int) -> None:
        kind, frame = header.kind, header.frame
        if kind is Kind.BYE:
            sentence = unpack(messages.Refusal, payload).sentence
            self._close(f"the server closed: {sentence}")
        elif self._state == "greeting":
            if kind is not Kind.WELCOME or frame != self._greeting:
                raise FrameError("the server speaks before its welcome", got=kind.name, allowed="WELCOME or BYE")
            self._open(unpack(Welcome, payload))
        elif kind is Kind.ANSWER:
            self._answered(frame, payload, size)
        elif kind is Kind.ACK:
            self._acknowledged(frame)
        elif kind is Kind.REFUSE:
            refusal = unpack(messages.Refusal, payload)
            if refusal.frame is None or refusal.frame not in self._places:
                self.counts["warned"] += 1
                self._tell(events.Warned(refusal.sentence))
            else:
                self._last_word(refusal.frame, f"refused: {refusal.sentence}", size)
        elif kind is Kind.CANCEL:
            self._last_word(frame, "refused: the server gave it up", size)
        elif kind is Kind.CREDIT:
            self._places.credit = unpack(messages.Credit, payload).credit
        elif kind is Kind.NEWS:
            self.counts["news"] += 1
            self._tell(events.News(bytes(payload)))
        elif kind is Kind.LEARN:
            self._learn(unpack(messages.Learn, payload).learning)
        elif kind is Kind.SAMPLE:
            if self._sampling.confirmed(frame, self._now, self._heart.rtt):
                self._tell(events.Uploaded(frame))
        elif kind is Kind.WELCOME and self._renewing is not None and frame == self._greeting:
            self._renewed(unpack(Welcome, payload))
        elif not self._beats(header):
            raise FrameError("a frame is of a kind that a server does not send now", got=kind.name)

    def _open(self, welcome: Welcome) -> None:
        self._state, self.welcome, self._places.credit = "open", welcome, welcome.credit
        self._refused = dict(welcome.refused)
        self._posting.open(welcome.item_window)
        self._tell(events.Opened(self.hello, welcome))
        self._learn(welcome.learning)
        if self._waiting is not None and (sentence := self._obstacle(self._waiting.stream, len(self._waiting.payload))):
            self._fail(self._waiting.frame, f"refused: {sentence}")
            self._waiting = None

    def _renewed(self, welcome: Welcome) -> None:
        """The new streams stand beside those that they follow; older ones are forgotten."""
        assert self._renewing is not None
        before = {s.id for s in self.hello.streams}
        hello, refused = self._renewing, {n: s for n, s in self._refused.items() if n in before}
        self._adopt(hello)
        self._streams |= before
        self._refused, self.welcome = refused | welcome.refused, welcome
        self._tell(events.Renewed(hello, welcome))
        self._learn(welcome.learning)

    def _learn(self, learning: Learning | None) -> None:
        """The server wants this from now on; a device that has no use for it says so in its HELLO, and is not asked."""
        if not self.learns or learning == self.learning:
            return
        self.learning = learning
        self.counts["wishes to learn"] += 1
        self._tell(events.Wanted(learning))
        if learning is None:
            self._give_up(self._sampling.drop("not wanted"), "not wanted")

    def _give_up(self, samples: list[int], why: str) -> None:
        for number in samples:
            self._tell(events.Uploaded(number, why))

    def _adopt(self, hello: Hello) -> None:
        self.hello, self._renewing, self._streams = hello, None, {s.id for s in hello.streams}

    def _acknowledged(self, seq: int) -> None:
        try:
            if self._posting.acked(seq, self._now):
                self._tell(events.Acked(seq))
        except StoreError as error:
            self._tell(events.Warned(str(error)))

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
        self._tell(word(frame, reply, flight.sent_at, flight.bytes_up, size, self._now))

    def _last_word(self, frame: int, reason: str, size: int) -> None:
        flight = self._places.pop(frame)
        if flight is None:
            return
        if flight.told:
            self._tell(events.Late(frame, None, flight.sent_at, flight.bytes_up, size, self._now))
        else:
            self._fail(frame, reason, flight.bytes_up)

    def _drop(self, frame: int, reason: str) -> None:
        self.counts[reason] += 1
        self._tell(events.Dropped(frame, reason))

    def _fail(self, frame: int, reason: str, bytes_up: int = 0) -> None:
        self.counts[reason.partition(":")[0]] += 1
        self._tell(events.Failed(frame, reason, bytes_up))

    def _close(self, reason: str, *, say: bool = False) -> None:
        if self._state == "away":
            return
        if self._waiting is not None:
            self._fail(self._waiting.frame, "connection lost")
            self._waiting = None
        for flight in self._places.close():
            self._fail(flight.frame, "connection lost", flight.bytes_up)
        self._out = []
        if say:
            self._say_bye(reason)
        self._posting.close()
        self._give_up(self._sampling.drop("lost"), "connection lost")
        if self._renewing is not None:  # the next greeting is the new one
            self._adopt(self._renewing)
        self._streams = {s.id for s in self.hello.streams}
        self._state, self.welcome, self._refused = "away", None, {}
        self.counts["closed"] += 1
        self._tell(events.Closed(reason))
