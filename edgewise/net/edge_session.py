"""The server's side of a session with one device: a state machine without I/O. See `edgewise.net.session` for the rules.

What a device may not do is refused with a sentence and counted, and the session stays; only an unacceptable HELLO, silence
and too much garbage end it. A sentence is owed for every frame: ANSWER, REFUSE or CANCEL is the last word on it.

It does not know models: `admit` says of a stream why it cannot be served (or None), and answers are handed in from outside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from edgewise.core.errors import FrameError
from edgewise.net import events, messages
from edgewise.net.allowance import Allowance
from edgewise.net.frame import NO_DEADLINE, Header, Kind, decode, encode
from edgewise.net.heartbeat import Heartbeat
from edgewise.net.messages import Hello, Reply, Stream, Welcome, pack, unpack


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one device may ask of a server. Times in s, sizes in bytes."""

    credit: int = 4
    max_payload: int = 4 << 20
    max_streams: int = 16
    records_per_second: float = 200.0
    garbage_per_second: float = 1.0
    garbage_burst: float = 16.0
    handshake: float = 5.0
    heartbeat: float = 1.0
    silence: float = 10.0


def admit_all(stream: Stream) -> str | None:
    return None


class EdgeSession:
    """`node` is the name on the peer's certificate; a HELLO of another name is refused ("" where there is no certificate)."""

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        session: str = "session",
        node: str = "",
        admit: Callable[[Stream], str | None] = admit_all,
    ) -> None:
        self.limits, self.session, self.node = limits, session, node
        self.hello: Hello | None = None
        self.counts: Counter[str] = Counter()
        self._admit = admit
        self._state: Literal["new", "greeting", "open", "closed"] = "new"
        self._streams: dict[int, Stream] = {}
        self._refused: dict[int, str] = {}
        self._garbage = Allowance(limits.garbage_per_second, limits.garbage_burst)
        self._records = Allowance(limits.records_per_second, 2 * limits.records_per_second)
        self._heart = Heartbeat(limits.heartbeat, limits.silence, 0.0)
        self._now = self._started = -math.inf
        self._window = limits.credit
        self._live: set[int] = set()
        self._last = -1
        self._out: list[bytes] = []
        self._events: list[events.Event] = []

    @property
    def open(self) -> bool:
        return self._state == "open"

    @property
    def closed(self) -> bool:
        return self._state == "closed"

    @property
    def owed(self) -> int:
        """Frames that wait for a last word."""
        return len(self._live)

    @property
    def rtt(self) -> float:
        """The smallest recent round trip of an empty frame (s); infinite before the first."""
        return self._heart.rtt

    @property
    def speaking(self) -> bool:
        """Whether `outgoing` has anything."""
        return bool(self._out)

    def events(self) -> list[events.Event]:
        drained, self._events = self._events, []
        return drained

    def outgoing(self, now: float | None = None) -> list[bytes]:
        """What goes on the wire, in order."""
        if now is not None:
            self._advance(now)
        drained, self._out = self._out, []
        return drained

    def next_wake(self) -> float | None:
        """When (s) `tick` has something to do, if nothing else happens before."""
        if self._state == "greeting":
            return self._started + self.limits.handshake
        return self._heart.wake() if self._state == "open" else None

    def connected(self, now: float) -> None:
        """The connection stands; the device has `limits.handshake` seconds to greet."""
        self._advance(now)

    def lost(self, now: float) -> None:
        """The connection is gone; nothing more is owed."""
        self._now = max(self._now, now)
        self._close("connection lost")

    def bye(self, reason: str, now: float) -> None:
        """Tell the device why, and end."""
        self._advance(now)
        self._close(reason, say=True)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._advance(now)

    def grant(self, credit: int, now: float) -> None:
        """Change the device's window; frames within the widest window granted so far are still taken."""
        self._advance(now)
        if self._state == "open":
            self._window = max(self._window, credit)
            self._out.append(encode(Header(Kind.CREDIT), pack(messages.Credit(credit))))

    def answer(self, frame: int, reply: Reply, now: float) -> bool:
        """The last word on a frame; False where none is owed any more (cancelled, refused, or the session is over)."""
        return self._last_word(Kind.ANSWER, frame, pack(reply), "answered", now)

    def refuse(self, frame: int, sentence: str, now: float) -> bool:
        """The other last word; False as with `answer`."""
        return self._last_word(Kind.REFUSE, frame, messages.refusal(frame, sentence), "refused", now)

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Bytes of one message came in. Never raises: refused, told and counted instead."""
        self._heart.heard(now)
        self._advance(now)
        if self._state == "closed":
            return
        try:
            header, payload = decode(data, len(data))
            self._handle(header, payload)
        except FrameError as error:
            self._refuse(None, str(error), "unreadable")
            if not self._garbage.take(1.0, self._now):
                self._close(f"too much that cannot be read: {error}", say=True)

    def _advance(self, now: float) -> None:
        self._now = now = max(self._now, now)
        if self._state == "new":
            self._state, self._started = "greeting", now
        elif self._state == "greeting":
            if now >= self._started + self.limits.handshake:
                self._close(f"no HELLO within {self.limits.handshake:g} s", say=True)
        elif self._state == "open":
            if self._heart.silent(now):
                self._close(f"the device was silent for {self.limits.silence:g} s", say=True)
            elif (number := self._heart.due(now)) is not None:
                self._out.append(encode(Header(Kind.PING, number)))

    def _handle(self, header: Header, payload: memoryview) -> None:
        kind = header.kind
        if kind is Kind.BYE:
            self._close(f"the device closed: {unpack(messages.Refusal, payload).sentence}")
        elif self._state == "greeting":
            if kind is not Kind.HELLO:
                raise FrameError("a device speaks before its HELLO", got=kind.name, allowed="HELLO or BYE")
            self._greet(payload)
        elif kind is Kind.DATA:
            self._arrive(header, payload)
        elif kind is Kind.CANCEL:
            if header.frame in self._live:
                self._live.remove(header.frame)
                self.counts["cancelled"] += 1
                self._events.append(events.Cancelled(header.frame))
            # Also for a frame that is unknown or answered: it frees the device's window in every case.
            self._out.append(encode(Header(Kind.CANCEL, header.frame)))
        elif kind is Kind.RECORD:
            self._record(payload)
        elif kind is Kind.PING:
            self._out.append(encode(Header(Kind.PONG, header.frame)))
        elif kind is Kind.PONG:
            self._heart.pong(header.frame, self._now)
        else:
            raise FrameError("a frame is of a kind that a device does not send now", got=kind.name)

    def _greet(self, payload: memoryview) -> None:
        try:
            hello = unpack(Hello, payload)
            self._check(hello)
        except FrameError as error:
            self.counts["refused hello"] += 1
            self._close(str(error), say=True)
            return
        refused = {s.id: sentence[:500] for s in hello.streams if (sentence := self._admit(s)) is not None}
        self._streams = {s.id: s for s in hello.streams if s.id not in refused}
        self._refused, self.hello, self._state = refused, hello, "open"
        self.counts["refused stream"] += len(refused)
        limits = self.limits
        welcome = Welcome(self.session, limits.credit, limits.max_payload, limits.records_per_second, refused)
        self._heart = Heartbeat(limits.heartbeat, limits.silence, self._now)
        self._out.append(encode(Header(Kind.WELCOME), pack(welcome)))
        self._events.append(events.Opened(hello, welcome))

    def _check(self, hello: Hello) -> None:
        if self.node and hello.node != self.node:
            raise FrameError(
                "a device greets under another name than its certificate", got=repr(hello.node), allowed=repr(self.node)
            )
        if len(hello.streams) > self.limits.max_streams:
            raise FrameError("a HELLO names too many streams", got=len(hello.streams), allowed=self.limits.max_streams)
        if len({s.id for s in hello.streams}) != len(hello.streams):
            raise FrameError("a HELLO names a stream twice", got=[s.id for s in hello.streams])

    def _arrive(self, header: Header, payload: memoryview) -> None:
        frame, now = header.frame, self._now
        if frame in self._live:  # a REFUSE with its number would end the one that is being answered
            self._refuse(None, f"frame {frame} came twice.", "duplicate")
            return
        if frame <= self._last:
            self._refuse(frame, f"frame {frame} is out of order; allowed: above {self._last}.", "out of order")
            return
        self._last = frame
        stream = self._streams.get(header.stream)
        if stream is None:
            known = self._refused.get(header.stream)
            sentence = known or f"stream {header.stream} is unknown; allowed: {sorted(self._streams)}."
            self._refuse(frame, sentence, "refused stream" if known else "unknown stream")
        elif len(payload) > self.limits.max_payload:
            sentence = f"a payload of {len(payload)} bytes is oversized; allowed: {self.limits.max_payload}."
            self._refuse(frame, sentence, "oversized")
        elif len(self._live) >= self._window:
            self._refuse(frame, f"more than {self._window} frames are in flight.", "over credit")
        else:
            self._live.add(frame)
            self.counts["arrived"] += 1
            left = math.inf if header.budget_us == NO_DEADLINE else header.budget_us / 1e6
            # Half a round trip is gone already, and the answer needs the other half.
            by = now + left - (self._heart.rtt if self._heart.rtt < math.inf else 0.0)
            self._events.append(events.Arrived(frame, stream, payload, by, now))

    def _record(self, payload: memoryview) -> None:
        assert self.hello is not None
        if len(payload) > self.limits.max_payload:
            raise FrameError("telemetry is oversized", got=f"{len(payload)} bytes", allowed=self.limits.max_payload)
        records = messages.unpack_records(payload)
        if any(r.node != self.hello.node for r in records):
            raise FrameError("telemetry is of another node", got=records[0].node[:64], allowed=self.hello.node)
        if not self._records.take(len(records), self._now):
            sentence = f"telemetry comes too fast; allowed: {self.limits.records_per_second:g} records a second."
            self._refuse(None, sentence, "records over rate")
            return
        self.counts["records"] += len(records)
        self._events.append(events.Records(tuple(records)))

    def _last_word(self, kind: Kind, frame: int, payload: bytes, key: str, now: float) -> bool:
        self._advance(now)
        if frame not in self._live:
            self.counts["words too late"] += 1
            return False
        self._live.remove(frame)
        self.counts[key] += 1
        self._out.append(encode(Header(kind, frame), payload))
        return True

    def _refuse(self, frame: int | None, sentence: str, key: str) -> None:
        self.counts[key] += 1
        self._out.append(encode(Header(Kind.REFUSE, frame or 0), messages.refusal(frame, sentence)))

    def _close(self, reason: str, *, say: bool = False) -> None:
        if self._state == "closed":
            return
        self._state = "closed"
        self._live.clear()
        if say:
            self._out.append(encode(Header(Kind.BYE), messages.refusal(None, reason)))
        else:
            self._out.clear()
        self.counts["closed"] += 1
        self._events.append(events.Closed(reason))
