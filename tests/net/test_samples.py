"""Samples over a session: wanted or not, piece by piece, never beside a frame, at most once; old and new sides together."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from edgewise.core.answer import Answer
from edgewise.core.errors import FrameError
from edgewise.core.learning import AUDIT, CARRIED, DROPPED, Learning, Sample
from edgewise.net import teaching
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.messages import LARGEST_SAMPLE, Hello, Learn, Piece, Reply, Stream, Welcome, pack, unpack
from edgewise.net.sampling import MOST, PATIENCE
from edgewise.net.session import (
    Arrived,
    Closed,
    DeviceSession,
    EdgeSession,
    Event,
    Limits,
    Opened,
    Sampled,
    Uploaded,
    Wanted,
    Warned,
)

STREAM = Stream(1, "a", "jpeg-75", "jpeg", 75, (8, 8, 3), "uint8")
HELLO = Hello("cam", "0.1", (STREAM,))
WISH = Learning(samples=2.0, bytes=50_000.0)


def sample(frame: int = 0, size: int = 5_000, flags: int = 0) -> Sample:
    return Sample(frame, 1.5, bytes(range(256)) * (size // 256) + b"x", flags, 0.25, "a")


class Pair:
    """A device that learns and a server that wants something, joined by hand."""

    def __init__(self, wish: Learning | None = WISH, learns: bool = True, budget: float = 1e9) -> None:
        self.device = DeviceSession(HELLO, learns=learns)
        self.wish, self.left = wish, budget
        self.told: list[Event] = []
        self.came: list[Sample] = []
        self.arrived: list[Arrived] = []
        self.now = 0.0
        self.connect()

    def connect(self) -> None:
        self.edge = EdgeSession(Limits(), node="cam", wants=lambda node: self.wish, allows=self.allows)
        self.device.connected(self.now)
        self.edge.connected(self.now)
        self.flow()

    def allows(self, node: str, size: int, now: float) -> bool:
        self.left -= size
        return self.left >= 0

    def flow(self, step: float = 0.001) -> None:
        while (up := self.device.outgoing(self.now)) or (down := self.edge.outgoing(self.now)):
            self.now += step
            for data in up:
                self.edge.receive(data, self.now)
            for data in [] if up else down:
                self.device.receive(data, self.now)
        self.hear()

    def hear(self) -> None:
        self.told += self.device.events()
        for event in self.edge.events():
            if isinstance(event, Sampled):
                self.came.append(event.sample)
            elif isinstance(event, Arrived):
                self.arrived.append(event)


def test_a_device_hears_what_is_wanted_and_its_samples_arrive_as_they_were() -> None:
    pair = Pair()
    assert [e.learning for e in pair.told if isinstance(e, Wanted)] == [WISH]
    sent = [sample(i, size) for i, size in enumerate((1, 5_000, 200_000))]
    numbers = [pair.device.sample(s) for s in sent]
    pair.flow()
    assert pair.came == sent
    assert [e for e in pair.told if isinstance(e, Uploaded)] == [Uploaded(n) for n in numbers if n is not None]
    assert pair.device.samples == 0


def test_what_is_wanted_changes_on_an_open_session_and_waiting_samples_are_given_up_when_nothing_is() -> None:
    pair = Pair()
    other = Learning(samples=0.0, audit=0.5)
    pair.edge.learn(other, pair.now)
    pair.flow()
    assert pair.device.learning == other
    pair.device.reserved = True
    assert pair.device.sample(sample()) == 1
    pair.edge.learn(None, pair.now)
    pair.flow()
    assert pair.told[-2:] == [Wanted(None), Uploaded(1, "not wanted")]
    assert pair.device.sample(sample()) is None
    assert pair.device.counts["samples not wanted"] == 2


def test_nothing_of_learning_goes_while_a_frame_waits_is_under_way_or_is_made() -> None:
    pair = Pair()
    pair.device.reserved = True
    pair.device.sample(sample())
    assert pair.device.outgoing(pair.now) == []
    pair.device.offer(1, 1, b"picture", pair.now + 1.0, pair.now)
    pair.device.reserved = False
    kinds = [decode(d, 1 << 20)[0].kind for d in pair.device.outgoing(pair.now)]
    assert kinds == [Kind.DATA]
    assert pair.device.outgoing(pair.now) == [], "the frame is under way"


def test_a_frame_that_comes_between_two_pieces_waits_for_no_more_than_one() -> None:
    pair = Pair()
    pair.device.sample(sample(size=100_000))
    up = pair.device.outgoing(pair.now)
    assert len(up) == 1 and len(up[0]) < MOST
    pair.device.offer(1, 1, b"picture", pair.now + 1.0, pair.now)
    assert [decode(d, 1 << 20)[0].kind for d in pair.device.outgoing(pair.now)] == [Kind.DATA]


@pytest.mark.parametrize("rate", [3e4, 1e6])
def test_pieces_fit_the_link(rate: float) -> None:
    """A piece takes the link for about WORTH s, between its bounds."""
    pair = Pair()
    pair.device.sample(sample(size=300_000))
    sizes = []
    while up := pair.device.outgoing(pair.now):
        sizes.append(len(up[0]))
        pair.now += len(up[0]) / rate
        pair.edge.receive(up[0], pair.now)
        for data in pair.edge.outgoing(pair.now):
            pair.device.receive(data, pair.now)
    longest = max(sizes[10:-1])
    assert longest / rate < 0.05
    assert longest > 0.005 * rate


def test_samples_are_given_up_with_their_connection_and_none_arrives_twice() -> None:
    pair = Pair()
    pair.device.sample(sample(0, 10))
    pair.device.sample(sample(1, 5_000))
    [whole] = pair.device.outgoing(pair.now)  # all of the first: the device cannot know whether it arrives
    pair.edge.receive(whole, pair.now)
    pair.hear()
    pair.device.lost(pair.now)
    pair.hear()
    assert [e for e in pair.told if isinstance(e, Uploaded)] == [Uploaded(n, "connection lost") for n in (1, 2)]
    pair.connect()
    pair.device.sample(sample(2))
    pair.flow()
    assert [s.frame for s in pair.came] == [0, 2]


def test_a_confirmation_that_is_lost_costs_time_and_counts_no_sample_twice() -> None:
    pair = Pair()
    pair.device.sample(sample(0, 10))
    pair.edge.receive(pair.device.outgoing(pair.now)[0], pair.now)
    pair.edge.outgoing(pair.now)  # lost
    for _ in range(12):  # the heart goes on
        pair.now += PATIENCE / 10
        pair.device.tick(pair.now)
        pair.edge.tick(pair.now)
        pair.flow()
    assert len(pair.came) == 1 and Uploaded(1) in pair.told
    assert pair.device.counts["samples begun again"] == 1


def test_the_queue_is_bounded() -> None:
    pair = Pair()
    pair.device.reserved = True
    taken = [pair.device.sample(sample(i, 300_000)) for i in range(10)]
    assert [t is not None for t in taken] == [True] * 3 + [False] * 7
    assert pair.device.counts["samples without room"] == 7


# What a server refuses -------------------------------------------------------------------------------------------------


def piece(offset: int, total: int, body: bytes, number: int = 1) -> bytes:
    return encode(Header(Kind.SAMPLE, number), pack(Piece(offset, total, body)))


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ([piece(5, 10, b"12345")], "follows nothing"),
        ([piece(0, 10, b"12345"), piece(4, 10, b"1")], "follows nothing"),
        ([piece(0, 10, b"12345"), piece(5, 11, b"1")], "follows nothing"),
        ([piece(0, 3, b"12345")], "too long"),
        ([piece(0, 3, b"123")], "cannot be read"),
        ([encode(Header(Kind.SAMPLE, 1), b"\xff")], "cannot be read"),
        ([encode(Header(Kind.SAMPLE, 1), msgspec.msgpack.encode([0, LARGEST_SAMPLE + 1, b"x"]))], "cannot be read"),
    ],
)
def test_what_is_no_sample_is_refused_with_a_sentence_and_the_next_is_taken(sent: list[bytes], word: str) -> None:
    pair = Pair()
    for message in sent:
        pair.edge.receive(message, pair.now)
    for data in pair.edge.outgoing(pair.now):
        pair.device.receive(data, pair.now)
    pair.hear()
    assert any(isinstance(e, Warned) and word in e.sentence for e in pair.told)
    pair.edge.receive(piece(0, len(pack(sample())), pack(sample()), 2), pair.now)
    pair.hear()
    assert pair.came == [sample()]


def test_a_device_that_uploads_without_end_is_refused_counted_and_in_the_end_sent_away() -> None:
    pair = Pair(budget=20_000)
    body = pack(sample(0, 5_000))
    for number in range(1, 100):
        pair.edge.receive(piece(0, len(body), body, number), pair.now)
    events = pair.edge.events()
    assert sum(isinstance(e, Sampled) for e in events) == 20_000 // len(body)
    assert pair.edge.counts["samples over budget"] > 10
    assert pair.edge.closed
    assert [e.reason.split(":")[0] for e in events if isinstance(e, Closed)] == ["too many samples"]


def test_samples_that_nobody_asked_for_are_refused_and_those_that_were_on_their_way_forgiven() -> None:
    pair = Pair(wish=None)
    body = pack(sample())
    pair.edge.receive(piece(0, len(body), body), pair.now)
    pair.hear()
    assert pair.edge.counts["samples not asked for"] == 1 and not pair.came
    pair = Pair()
    pair.edge.learn(None, pair.now)
    pair.edge.receive(piece(0, len(body), body), pair.now + 0.1)
    assert pair.edge.counts["samples too late"] == 1
    assert pair.edge.counts["samples not asked for"] == 0


# Old and new -----------------------------------------------------------------------------------------------------------


class OldWelcome(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """As it was before learning."""

    session: str
    credit: int
    max_payload: int
    item_window: int
    refused: Annotated[dict[int, str], Meta(max_length=64)] = {}


def greeting(learns: bool, wish: Learning | None) -> tuple[Header, memoryview]:
    edge = EdgeSession(Limits(), node="cam", wants=lambda node: wish)
    edge.connected(0.0)
    edge.receive(encode(Header(Kind.HELLO, 1, flags=teaching.LEARNS * learns), pack(HELLO)), 0.0)
    edge.learn(Learning(samples=9.0) if wish is not None else None, 0.1)
    first, *others = (decode(data, 1 << 20) for data in edge.outgoing(0.1))
    told = [header for header, _ in others if header.kind is Kind.LEARN]
    assert bool(told) == (learns and wish is not None), "a device that does not know LEARN is sent none"
    return first


def test_an_older_device_is_welcomed_in_the_words_that_it_knows() -> None:
    _, payload = greeting(learns=False, wish=WISH)
    assert len(msgspec.msgpack.decode(payload)) == 5
    msgspec.msgpack.decode(payload, type=OldWelcome)
    _, payload = greeting(learns=True, wish=WISH)
    assert unpack(Welcome, payload).learning == WISH
    _, payload = greeting(learns=True, wish=None)
    msgspec.msgpack.decode(payload, type=OldWelcome)


def test_an_older_server_is_understood_and_sent_no_sample() -> None:
    device = DeviceSession(HELLO, learns=True)
    device.connected(0.0)
    [hello] = device.outgoing(0.0)
    assert unpack(Hello, decode(hello, 1 << 20)[1]) == HELLO, "its payload is that of any device"
    old = msgspec.msgpack.encode(OldWelcome("s", 4, 1 << 20, 1 << 14))
    device.receive(encode(Header(Kind.WELCOME, 1), old), 0.1)
    assert device.open and device.learning is None
    assert device.sample(sample()) is None
    assert {decode(d, 1 << 20)[0].kind for d in device.outgoing(0.2)} == {Kind.PING}
    assert any(isinstance(e, Opened) for e in device.events())


@pytest.mark.parametrize(
    "wrong", [Learning(floor=0.5, ceiling=0.4), Learning(samples=float("nan")), Learning(bytes=float("inf"))]
)
def test_a_wish_that_cannot_be_meant_is_refused(wrong: Learning) -> None:
    with pytest.raises(FrameError):
        unpack(Learn, pack(Learn(wrong)))
    with pytest.raises(FrameError):
        unpack(Welcome, pack(Welcome("s", 4, 1 << 20, 1 << 14, {}, wrong)))


def test_a_sample_with_figures_that_are_none_is_refused() -> None:
    for wrong in (Sample(0, float("inf"), b"x"), Sample(0, 1.0, b"x", doubt=float("nan"))):
        with pytest.raises(FrameError):
            unpack(Sample, pack(wrong))


TRUE = (
    (Kind.LEARN, pack(Learn(WISH))),
    (Kind.LEARN, pack(Learn(None))),
    (Kind.WELCOME, pack(Welcome("s", 4, 1 << 20, 1 << 14, {}, WISH))),
    (Kind.SAMPLE, pack(Piece(0, 9, b"123456789"))),
    (Kind.SAMPLE, pack(Piece(0, len(pack(sample(0, 1))), pack(sample(0, 1))))),
)


@settings(deadline=None)
@given(st.sampled_from(TRUE), st.integers(0, 3), st.integers(0, 200), st.integers(1, 255), st.integers(0, 0xFFFF))
def test_a_byte_that_is_another_ends_neither_side(true: tuple[Kind, bytes], frame: int, at: int, flip: int, flags: int) -> None:
    kind, payload = true
    bent = bytearray(payload)
    bent[at % len(bent)] ^= flip
    pair = Pair()
    message = encode(Header(kind, frame, flags=flags), bytes(bent))
    pair.device.receive(message, pair.now)
    pair.edge.receive(message, pair.now)
    pair.flow()
    assert pair.device.open and pair.edge.open
    learning = pair.device.learning
    assert learning is None or all(0 <= f < math.inf for f in (learning.samples, learning.bytes, learning.audit))
    assert all(s.captured >= 0 and 0 <= (s.doubt or 0) <= 1 for s in pair.came)


@given(st.booleans(), st.booleans(), st.none() | st.floats(0, 1))
def test_flags_of_a_frame_say_what_they_were_told(audit: bool, dropped: bool, doubt: float | None) -> None:
    flags = teaching.told(audit, dropped, doubt)
    assert 0 <= flags <= 0xFFFF
    found = teaching.learned(flags)
    assert found is not None
    assert found[0] == CARRIED | AUDIT * audit | DROPPED * dropped
    assert found[1] is None if doubt is None else abs((found[1] or 0.0) - doubt) <= 0.5 / 254 + 1e-9
    assert teaching.learned(flags & ~1) is None


def test_a_frame_brings_its_flags() -> None:
    pair = Pair()
    flags = teaching.told(doubt=0.5)
    pair.device.offer(7, 1, b"picture", pair.now + 1.0, pair.now, flags)
    pair.flow()
    assert [(e.frame, e.flags) for e in pair.arrived] == [(7, flags)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), st.integers(1, 9_000)),
        st.tuples(st.just("frame"), st.integers(1, 100)),
        st.tuples(st.sampled_from(["up", "down", "answer", "lose", "wish", "no wish", "wait", "bytes"]), st.integers(0, 400)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_sample_that_is_taken_in_arrives_once_or_is_lost_once(steps: list[tuple[str, int]]) -> None:
    pair = Pair()
    up: list[bytes] = []
    down: list[bytes] = []
    frame = 0
    taken: list[int] = []
    for what, n in steps:
        if what == "sample" and (number := pair.device.sample(sample(len(taken), n))) is not None:
            taken.append(number)
        elif what == "frame":
            frame += 1
            pair.device.offer(frame, 1, bytes(n), pair.now + 5.0, pair.now)
        elif what == "up":
            up += pair.device.outgoing(pair.now)
            for data in up:
                pair.edge.receive(data, pair.now)
            up = []
        elif what == "down":
            down += pair.edge.outgoing(pair.now)
            for data in down:
                pair.device.receive(data, pair.now)
            down = []
        elif what == "answer":
            for event in pair.arrived:
                pair.edge.answer(event.frame, Reply(Answer()), pair.now)
            pair.arrived = []
        elif what == "lose":
            pair.device.lost(pair.now)
            pair.edge.lost(pair.now)
            pair.arrived, up, down = [], [], []
            pair.connect()
        elif what in ("wish", "no wish"):
            pair.wish = WISH if what == "wish" else None
            pair.edge.learn(pair.wish, pair.now)
        elif what == "bytes":  # hostile ones
            pair.edge.receive(piece(n, 400, bytes([n % 256]), n), pair.now)
            pair.device.receive(encode(Header(Kind.SAMPLE, n)), pair.now)
            pair.device.receive(encode(Header(Kind.LEARN), bytes([n % 256])), pair.now)
        else:
            pair.now += n / 100
            pair.device.tick(pair.now)
            pair.edge.tick(pair.now)
        pair.hear()
    if not pair.device.open:
        pair.device.lost(pair.now)
        pair.connect()
    for _ in range(40):
        for event in pair.arrived:
            pair.edge.answer(event.frame, Reply(Answer()), pair.now)
        pair.arrived = []
        pair.now += 0.5
        pair.device.tick(pair.now)
        pair.edge.tick(pair.now)
        pair.flow()
    ends = [e.number for e in pair.told if isinstance(e, Uploaded)]
    assert sorted(ends) == sorted(taken)
    assert len({s.frame for s in pair.came}) == len(pair.came), "none twice"
