"""The server's side of a session with one device: a state machine without I/O. See `edgewise.net.session` for the rules.

What a device may not do is refused with a sentence and counted, and the session stays; only an unacceptable HELLO, silence
and too much garbage end it. A sentence is owed for every frame: ANSWER, REFUSE or CANCEL is the last word on it.

It does not know models: `admit` says of a stream why it cannot be served (or None), and answers are handed in from outside. It
does not know a store: items are handed on as they come, and acknowledged when somebody says that their effect is durable, and not
faster than `item_rate`: so a device that has too much to say is slowed, and loses nothing. Samples are taken as far as `allows`
lets them, a piece at a time; what it does not, or what nobody asked for, is refused, and too much of that ends the session.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from edgewise.core.errors import FrameError
from edgewise.core.learning import Learning
from edgewise.net import events, messages, teaching
from edgewise.net.assembly import Assembly
from edgewise.net.end import End
from edgewise.net.frame import NO_DEADLINE, Header, Kind, decode
from edgewise.net.items import LARGEST_BODY, unpack_items
from edgewise.net.messages import Hello, Reply, Stream, Welcome, pack, unpack


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one device may ask of a server. Times in s, sizes in bytes, rates in bytes/s."""

    credit: int = 4
    max_payload: int = 4 << 20
    max_streams: int = 16
    item_window: int = 16 << 10
    item_rate: float = float(128 << 10)
    garbage_per_second: float = 1.0
    garbage_burst: float = 16.0
    handshake: float = 5.0
    heartbeat: float = 1.0
    silence: float = 10.0


BURST = 2.0  # s of its rate that a device may use at once
GRACE = 2.0  # s in which samples still come that are not wanted any more
Wants = Callable[[str], Learning | None]
"""What is to be learned from a node's frames now."""
Allows = Callable[[str, int, float], bool]
"""Whether a node may send so many bytes of samples at that time (s); they count as sent then."""


def admit_all(stream: Stream) -> str | None:
    return None


def wants_nothing(node: str) -> Learning | None:
    return None


def allows_all(node: str, size: int, now: float) -> bool:
    return True


class EdgeSession(End):
    """`node` is the name on the peer's certificate; a HELLO of another name is refused ("" where there is no certificate)."""

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        session: str = "session",
        node: str = "",
        admit: Callable[[Stream], str | None] = admit_all,
        wants: Wants = wants_nothing,
        allows: Allows = allows_all,
    ) -> None:
        super().__init__(limits.heartbeat, limits.silence, limits.garbage_per_second, limits.garbage_burst)
        self.limits, self.session, self.node = limits, session, node
        self.hello: Hello | None = None
        self._admit, self._wants, self._allows = admit, wants, allows
        self.learns = False  # the device understands what is wanted
        self.learning: Learning | None = None
        self._unwanted = -math.inf  # since when (s) nothing is wanted any more
        self._assembly = Assembly()
        self._state: Literal["new", "greeting", "open", "closed"] = "new"
        self._streams: dict[int, Stream] = {}
        self._refused: dict[int, str] = {}
        self._started = -math.inf
        self._greeting = -1  # number of the last HELLO
        self._window = limits.credit
        self._live: set[int] = set()
        self._last = -1
        self._owed_items: deque[tuple[int, int]] = deque()  # number and bytes of those that are not acknowledged
        self._owed_bytes = 0
        self._highest = 0  # number of an item
        self._item_messages = 0  # the highest number of a message of items
        self._acks: deque[tuple[float, int]] = deque()  # when each may go, at the device's rate
        self._paid = -math.inf  # until when the rate is used up

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

    def owes(self, frame: int) -> bool:
        """Whether this frame waits for a last word."""
        return frame in self._live

    @property
    def speaking(self) -> bool:
        """Whether `outgoing` has anything."""
        return bool(self._out)

    def outgoing(self, now: float | None = None) -> list[bytes]:
        """What goes on the wire, in order."""
        if now is not None:
            self._advance(now)
        return self._drained()

    def next_wake(self) -> float | None:
        """When (s) `tick` has something to do, if nothing else happens before."""
        if self._state == "greeting":
            return self._started + self.limits.handshake
        if self._state != "open":
            return None
        return min(self._heart.wake(), self._acks[0][0]) if self._acks else self._heart.wake()

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

    def grant(self, credit: int, now: float) -> None:
        """Change the device's window; frames within the widest window granted so far are still taken."""
        self._advance(now)
        if self._state == "open":
            self._window = max(self._window, credit)
            self._say(Kind.CREDIT, 0, pack(messages.Credit(credit)))

    def answer(self, frame: int, reply: Reply, now: float) -> bool:
        """The last word on a frame; False where none is owed any more (cancelled, refused, or the session is over)."""
        return self._last_word(Kind.ANSWER, frame, pack(reply), "answered", now)

    def refuse(self, frame: int, sentence: str, now: float) -> bool:
        """The other last word; False as with `answer`."""
        return self._last_word(Kind.REFUSE, frame, messages.refusal(frame, sentence), "refused", now)

    def ack(self, seq: int, now: float) -> None:
        """All items up to number `seq` have had their effect, durably; the device hears it when its rate allows."""
        self._advance(now)
        seq = min(seq, self._highest)  # of others the device has not spoken in this session
        if self._state != "open" or seq <= 0:
            return
        freed = 0
        while self._owed_items and self._owed_items[0][0] <= seq:
            freed += self._owed_items.popleft()[1]
        self._owed_bytes -= freed
        rate = self.limits.item_rate
        self._paid = max(self._paid, self._now - BURST) + freed / rate
        self.counts["acknowledged late"] += self._paid > self._now
        self._acks.append((self._paid, seq))
        self._send_acks()

    def learn(self, learning: Learning | None, now: float) -> None:
        """Tell the device what is to be learned from, from now on; one that would not understand it is not told."""
        self._advance(now)
        if self._state == "open" and self.learns and learning != self.learning:
            self._now_wants(learning)
            self._say(Kind.LEARN, 0, pack(messages.Learn(learning)))

    def news(self, payload: bytes, now: float) -> None:
        """Tell the device what the site has for it."""
        self._advance(now)
        if self._state == "open":
            self._say(Kind.NEWS, 0, payload)

    def warn(self, sentence: str, key: str, now: float) -> None:
        """Tell the device what was wrong with something that belongs to no frame."""
        self._advance(now)
        if self._state == "open":
            self._refuse(None, sentence, key)

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
            else:
                self._send_acks()
                if (number := self._heart.due(now)) is not None:
                    self._say(Kind.PING, number)

    def _handle(self, header: Header, payload: memoryview) -> None:
        kind = header.kind
        if kind is Kind.BYE:
            self._close(f"the device closed: {unpack(messages.Refusal, payload).sentence}")
        elif self._state == "greeting":
            if kind is not Kind.HELLO:
                raise FrameError("a device speaks before its HELLO", got=kind.name, allowed="HELLO or BYE")
            self._greet(header, payload)
        elif kind is Kind.DATA:
            self._arrive(header, payload)
        elif kind is Kind.ITEM:
            self._post(header.frame, payload)
        elif kind is Kind.SAMPLE:
            self._piece(header.frame, payload)
        elif kind is Kind.HELLO:
            if header.frame <= self._greeting:
                raise FrameError("a HELLO came twice", got=f"number {header.frame}", allowed=f"above {self._greeting}")
            self._greet(header, payload)
        elif kind is Kind.CANCEL:
            if header.frame in self._live:
                self._live.remove(header.frame)
                self.counts["cancelled"] += 1
                self._tell(events.Cancelled(header.frame))
            # Also for a frame that is unknown or answered: it frees the device's window in every case.
            self._say(Kind.CANCEL, header.frame)
        elif not self._beats(header):
            raise FrameError("a frame is of a kind that a device does not send now", got=kind.name)

    def _greet(self, header: Header, payload: memoryview) -> None:
        """The first HELLO opens; a later one brings streams that stand beside those of the one before."""
        try:
            hello = unpack(Hello, payload)
            self._check(hello)
        except FrameError as error:
            self.counts["refused hello"] += 1
            self._close(str(error), say=True)
            return
        before = {s.id for s in self.hello.streams} if self.hello is not None else set()
        refused = {s.id: sentence[:500] for s in hello.streams if (sentence := self._admit(s)) is not None}
        kept = {n: s for n, s in self._streams.items() if n in before}
        self._streams = kept | {s.id: s for s in hello.streams if s.id not in refused}
        self._refused = {n: s for n, s in self._refused.items() if n in before} | refused
        self.counts["refused stream"] += len(refused)
        limits = self.limits
        self.learns = bool(header.flags & teaching.LEARNS)
        self._now_wants(self._wants(hello.node) if self.learns else None)
        welcome = Welcome(self.session, self._window, limits.max_payload, limits.item_window, refused, self.learning)
        if self.hello is None:
            self._state = "open"
            self._begin(self._now)
        word = events.Opened if self.hello is None else events.Renewed
        self.hello, self._greeting = hello, header.frame
        self._say(Kind.WELCOME, header.frame, pack(welcome))
        self._tell(word(hello, welcome))

    def _check(self, hello: Hello) -> None:
        if self.node and hello.node != self.node:
            raise FrameError(
                "a device greets under another name than its certificate", got=repr(hello.node), allowed=repr(self.node)
            )
        if len(hello.streams) > self.limits.max_streams:
            raise FrameError("a HELLO names too many streams", got=len(hello.streams), allowed=self.limits.max_streams)
        if len({s.id for s in hello.streams}) != len(hello.streams):
            raise FrameError("a HELLO names a stream twice", got=[s.id for s in hello.streams])
        if self.hello is None:
            return
        if (hello.node, hello.outbox) != (self.hello.node, self.hello.outbox):
            raise FrameError("a HELLO renews the streams of another node or outbox", got=hello.node, allowed=self.hello.node)
        if taken := {s.id for s in hello.streams} & {s.id for s in self.hello.streams}:
            raise FrameError("a HELLO gives streams the numbers of those that stand", got=sorted(taken), allowed="other numbers")

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
            self._tell(events.Arrived(frame, stream, payload, by, now, header.flags))

    def _now_wants(self, learning: Learning | None) -> None:
        if learning is None and self.learning is not None:
            self._unwanted = self._now
        self.learning = learning

    def _piece(self, number: int, payload: memoryview) -> None:
        """A piece of a sample; it is confirmed whatever becomes of it, so that the next one may come."""
        assert self.hello is not None
        piece = unpack(messages.Piece, payload)
        self._say(Kind.SAMPLE, number)
        if self.learning is None:
            self._assembly.skip(number)
            if self._now < self._unwanted + GRACE:
                self.counts["samples too late"] += 1
            else:
                self._refuse_sample("a sample came that nobody asked for.", "samples not asked for")
        elif not self._allows(self.hello.node, len(piece.body), self._now):
            self._assembly.skip(number)
            sentence = f"more samples came than {self.learning.bytes:g} bytes a second; they are not learned from."
            self._refuse_sample(sentence, "samples over budget")
        elif (sample := self._assembly.add(number, piece)) is not None:
            self.counts["samples"] += 1
            self._tell(events.Sampled(sample))

    def _refuse_sample(self, sentence: str, key: str) -> None:
        self._refuse(None, sentence, key)
        if not self._garbage.take(1.0, self._now):
            self._close(f"too many samples: {sentence}", say=True)

    def _post(self, number: int, payload: memoryview) -> None:
        """`number` counts messages: behind one that was lost, nothing is believed to be the next item (an outbox that no server
        has heard of would begin there).
        """
        assert self.hello is not None
        if not self.hello.outbox:
            raise FrameError("items come from a device that named no outbox")
        items = unpack_items(payload)
        if number > self._item_messages + 1:
            self.counts["items missing"] += 1
            self._close("items are missing before those that came.", say=True)
            return
        self._item_messages = max(self._item_messages, number)
        for item in items:
            if item.seq > self._highest:
                self._highest = item.seq
                self._owed_items.append((item.seq, item.cost))
                self._owed_bytes += item.cost
            self.counts["items"] += 1
            self._tell(events.Posted(item))
        if self._owed_bytes > self.limits.item_window + LARGEST_BODY:
            self.counts["items over window"] += 1
            self._close(f"more than {self.limits.item_window} bytes of items came without an acknowledgement.", say=True)

    def _send_acks(self) -> None:
        """Of the acknowledgements that may go, the last one says it all."""
        seq = 0
        while self._acks and self._acks[0][0] <= self._now:
            seq = self._acks.popleft()[1]
        if seq:
            self._say(Kind.ACK, seq)

    def _last_word(self, kind: Kind, frame: int, payload: bytes, key: str, now: float) -> bool:
        self._advance(now)
        if frame not in self._live:
            self.counts["words too late"] += 1
            return False
        self._live.remove(frame)
        self.counts[key] += 1
        self._say(kind, frame, payload)
        return True

    def _refuse(self, frame: int | None, sentence: str, key: str) -> None:
        self.counts[key] += 1
        self._say(Kind.REFUSE, frame or 0, messages.refusal(frame, sentence))

    def _close(self, reason: str, *, say: bool = False) -> None:
        if self._state == "closed":
            return
        self._state = "closed"
        self._live.clear()
        if say:
            self._say_bye(reason)
        else:
            self._out.clear()
        self.counts["closed"] += 1
        self._tell(events.Closed(reason))
