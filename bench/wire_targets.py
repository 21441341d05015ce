"""Fuzzed: frames, the messages in them, and the two sessions that read both."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

import msgspec

from bench.mutation import mutated
from bench.targets import Plain
from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.errors import EdgewiseError
from edgewise.core.rollout import Health, Report
from edgewise.net.frame import HEADER_SIZE, Header, Kind, decode, encode
from edgewise.net.items import Item, pack_items, unpack_items
from edgewise.net.messages import Credit, Hello, Refusal, Reply, Stream, Welcome, pack, pack_records, unpack, unpack_records
from edgewise.net.session import Arrived, DeviceSession, EdgeSession, Posted
from edgewise.node.delivery.news import News, pack_news, unpack_news
from edgewise.node.delivery.words import pack_report, unpack_report

STEP = 0.02  # s between two messages
STREAM = Stream(1, "ab" * 32, "split-4", "affine", 4, (1, 3, 10, 20), "float32")
ANSWER = Answer((Box(0.1, 0.2, 0.3, 0.4, 0.9, "vehicle"),), 4, 8, b"\xff" * 4)
RECORD = FrameRecord(
    node="n",
    frame=3,
    captured=1.5,
    outcome="answered",
    mode="split",
    point="split-4",
    why="it fits",
    reason="",
    latency=0.05,
    deadline=0.1,
    late=False,
    bytes_up=900,
    bytes_down=80,
    energy=0.02,
    provenance="modelled",
    link_rate=4e6,
    answer=ANSWER,
    parts={"head": 0.01, "link": 0.03},
)
REPORT = Report("n", 1e9, "good", "vehicles", 2, "ab" * 32, "cd" * 32, 3, "well.", Health(60.0, 600, 2, 0.08))
HELLO = pack(Hello("n", "0", (STREAM,), "ab" * 32, "epoch"))
WELCOME = pack(Welcome("s", 4, 1 << 20, 1 << 16, {7: "another model."}))
ITEMS = pack_items([Item(0, 1, "rows", pack_records([RECORD])), Item(1, 2, "report", pack_report(REPORT))])
PAYLOADS = {
    Kind.HELLO: HELLO,
    Kind.WELCOME: WELCOME,
    Kind.DATA: bytes(range(200)),
    Kind.ANSWER: pack(Reply(ANSWER, 0.01, 0.02, 2, 1)),
    Kind.REFUSE: pack(Refusal(1, "too late.")),
    Kind.CREDIT: pack(Credit(4)),
    Kind.ITEM: ITEMS,
    Kind.BYE: pack(Refusal(None, "good bye.")),
    Kind.NEWS: b"opaque",
}
FRAMES = tuple(encode(Header(kind, 1, 1, 50_000), PAYLOADS.get(kind, b"")) for kind in Kind)


def sealed(data: bytes) -> bytes:
    """The same frame with a length and a check sum that fit."""
    if len(data) < HEADER_SIZE:
        return data
    head = data[:16] + struct.pack(">I", len(data) - HEADER_SIZE)
    return head + struct.pack(">I", zlib.crc32(data[HEADER_SIZE:], zlib.crc32(head))) + data[HEADER_SIZE:]


class Frames(Plain):
    def draw(self, random: Random) -> tuple[int, bytes]:
        data = mutated(random, FRAMES)
        return 0, sealed(data) if random.random() < 0.5 else data

    def feed(self, which: int, data: bytes) -> bool:
        decode(data, 1 << 20)
        return True


class Messages(Plain):
    """Each reader with its own valid bytes, and now and then with another's."""

    def __init__(self) -> None:
        def reader(kind: type[msgspec.Struct]) -> Callable[[bytes], object]:
            return lambda data: unpack(kind, data)

        self._readers: tuple[tuple[Callable[[bytes], object], bytes], ...] = (
            (reader(Hello), HELLO),
            (reader(Welcome), WELCOME),
            (reader(Refusal), PAYLOADS[Kind.REFUSE]),
            (reader(Reply), PAYLOADS[Kind.ANSWER]),
            (reader(Credit), PAYLOADS[Kind.CREDIT]),
            (unpack_items, ITEMS),
            (unpack_records, pack_records([RECORD, RECORD])),
            (unpack_report, pack_report(REPORT)),
            (unpack_news, pack_news(News(b"a", (b"r", b"s"), b"t"))),
        )
        self._seeds = tuple(seed for _, seed in self._readers)

    def draw(self, random: Random) -> tuple[int, bytes]:
        which = random.randrange(len(self._readers))
        return which, mutated(random, (self._seeds[which],) if random.random() < 0.9 else self._seeds)

    def feed(self, which: int, data: bytes) -> bool:
        self._readers[which][0](data)
        return True


class _Box:
    """An outbox that always has the same two items."""

    epoch = "epoch"
    items = (Item(0, 1, "rows", b"x" * 100), Item(1, 2, "report", b"y"))

    def waiting(self, after: int, limit_bytes: int) -> list[Item]:
        return [item for item in self.items if item.seq > after]

    def acked(self, seq: int) -> None: ...


class Sessions(Plain):
    """Messages into two open sessions, and what comes of them is acted upon. `receive` never raises: whatever does is a crash."""

    def begin(self) -> None:
        self._now = 0.0
        self._open_device()
        self._open_edge()

    def draw(self, random: Random) -> tuple[int, bytes]:
        data = mutated(random, FRAMES)
        return random.randrange(2), sealed(data) if random.random() < 0.9 else data

    def feed(self, which: int, data: bytes) -> bool:
        self._now += STEP
        try:
            return self._to_device(data) if which == 0 else self._to_edge(data)
        except EdgewiseError as error:
            raise AssertionError(f"a session raised: {error}") from error

    def _open_device(self) -> None:
        self._device = DeviceSession(Hello("n", "0", (STREAM,)), outbox=_Box())
        self._device.connected(self._now)
        self._device.receive(encode(Header(Kind.WELCOME), WELCOME), self._now)
        self._frame = 0

    def _open_edge(self) -> None:
        self._edge = EdgeSession(node="n")
        self._edge.connected(self._now)
        self._edge.receive(encode(Header(Kind.HELLO), HELLO), self._now)

    def _to_device(self, data: bytes) -> bool:
        session, before = self._device, self._device.counts["unreadable"]
        session.offer(self._frame, 1, b"payload", self._now + 0.2, self._now)
        self._frame += 1
        session.receive(data, self._now)
        session.outgoing(self._now)
        session.events()
        session.next_wake()
        if not session.open:
            self._open_device()
        return session.counts["unreadable"] == before

    def _to_edge(self, data: bytes) -> bool:
        session, before = self._edge, self._edge.counts["unreadable"]
        session.receive(data, self._now)
        for event in session.events():
            if isinstance(event, Arrived):
                session.answer(event.frame, Reply(ANSWER), self._now)
            elif isinstance(event, Posted):
                session.ack(event.item.seq, self._now)
        session.outgoing(self._now)
        session.next_wake()
        if session.closed or not session.open:
            self._open_edge()
        return session.counts["unreadable"] == before
