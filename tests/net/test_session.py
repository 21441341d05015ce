"""The session's rules, one by one, in virtual time."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import Answer
from edgewise.core.errors import FrameError
from edgewise.net import messages
from edgewise.net.allowance import Allowance
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.messages import Hello, Reply, Stream, pack
from edgewise.net.session import (
    Answered,
    Arrived,
    Cancelled,
    Closed,
    DeviceSession,
    Dropped,
    EdgeSession,
    Event,
    Failed,
    Late,
    Limits,
    Opened,
    Pong,
    Renewed,
    Warned,
)

GOOD, WRONG = "a" * 64, "b" * 64
STREAMS = (
    Stream(1, GOOD, "s8", "affine", 8, (1, 2, 2, 2), "float32"),
    Stream(2, WRONG, "s8", "affine", 8, (1, 2, 2, 2), "float32"),
)
HELLO = Hello("cam", "0.1", STREAMS)
LIMITS = Limits(credit=2, max_payload=100, max_streams=3, garbage_burst=3.0)
E = TypeVar("E", bound=Event)


def admit(stream: Stream) -> str | None:
    return None if stream.address == GOOD else f"no model {stream.address[:8]} here; allowed: {GOOD[:8]}."


def pair(limits: Limits = LIMITS, hello: Hello = HELLO) -> tuple[DeviceSession, EdgeSession]:
    device, edge = DeviceSession(hello), EdgeSession(limits, node="cam", admit=admit)
    device.connected(0.0)
    edge.connected(0.0)
    flow(device, edge, 0.0)
    return device, edge


def flow(device: DeviceSession, edge: EdgeSession, now: float) -> None:
    """Everything that either side has to say, until both are silent."""
    while (up := device.outgoing(now)) or (down := edge.outgoing(now)):
        for data in up:
            edge.receive(data, now)
        for data in [] if up else down:
            device.receive(data, now)


def only(events: list[Event], kind: type[E]) -> list[E]:
    return [e for e in events if isinstance(e, kind)]


def data(frame: int, stream: int = 1, payload: bytes = b"x") -> bytes:
    return encode(Header(Kind.DATA, frame, stream, 500_000), payload)


def refusals(edge: EdgeSession) -> list[messages.Refusal]:
    frames = [decode(d, 1 << 20) for d in edge.outgoing()]
    return [messages.unpack(messages.Refusal, payload) for header, payload in frames if header.kind is Kind.REFUSE]


# What the edge refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "key", "frame", "word"),
    [
        ([data(5), data(5)], "duplicate", None, "twice"),
        ([data(5), data(4)], "out of order", 4, "order"),
        ([data(5, stream=9)], "unknown stream", 5, "unknown"),
        ([data(5, stream=2)], "refused stream", 5, "no model bbbbbbbb"),
        ([data(5, payload=bytes(101))], "oversized", 5, "oversized"),
        ([data(1), data(2), data(3)], "over credit", 3, "in flight"),
        ([data(5)[:-1]], "unreadable", None, "truncated"),
        ([data(5)[:-1] + b"!"], "unreadable", None, "damaged"),
        ([encode(Header(Kind.HELLO), pack(HELLO))], "unreadable", None, "HELLO"),
        ([encode(Header(Kind.WELCOME))], "unreadable", None, "WELCOME"),
        ([encode(Header(Kind.ITEM), b"\xff")], "unreadable", None, "no outbox"),
    ],
)
def test_a_refusal_is_a_sentence_counted_and_the_next_frame_is_taken(
    sent: list[bytes], key: str, frame: int | None, word: str
) -> None:
    _device, edge = pair()
    edge.events()
    before = edge.counts[key]
    for message in sent:
        edge.receive(message, 0.1)
    [refusal] = refusals(edge)
    assert refusal.frame == frame
    assert word in refusal.sentence
    assert edge.counts[key] == before + 1
    for event in only(edge.events(), Arrived):
        edge.answer(event.frame, Reply(Answer()), 0.1)
    edge.receive(data(50), 0.2)
    assert [e.frame for e in only(edge.events(), Arrived)] == [50]


def test_a_refused_frame_fails_at_the_device_with_that_sentence() -> None:
    device, edge = pair()
    device.events()
    device.offer(1, 1, b"x", 1.0, 0.0)
    for message in device.outgoing(0.0):
        edge.receive(message, 0.0)
    edge.refuse(1, "features hold 3 NaN.", 0.01)
    flow(device, edge, 0.02)
    assert only(device.events(), Failed) == [Failed(1, "refused: features hold 3 NaN.", 25)]


def test_what_the_server_would_refuse_does_not_leave_the_device() -> None:
    device, _edge = pair()
    [opened] = only(device.events(), Opened)
    assert list(opened.welcome.refused) == [2]
    for frame, (stream, size) in enumerate([(2, 1), (7, 1), (1, 101)]):
        device.offer(frame, stream, bytes(size), 1.0, 0.0)
    assert device.outgoing(0.0) == []
    reasons = [e.reason for e in only(device.events(), Failed)]
    assert all(r.startswith("refused: ") for r in reasons)
    assert ["no model" in reasons[0], "not agreed" in reasons[1], "oversized" in reasons[2]] == [True] * 3


@pytest.mark.parametrize(
    ("hello", "word"),
    [
        (Hello("another", "0.1", STREAMS), "another name"),
        (Hello("cam", "0.1", (STREAMS[0],) * 2), "twice"),
        (Hello("cam", "0.1", tuple(Stream(i, GOOD, "p", "jpeg", 1, (1,), "uint8") for i in range(4))), "too many"),
    ],
)
def test_a_hello_that_cannot_stand_closes_with_its_sentence(hello: Hello, word: str) -> None:
    device, edge = pair(hello=hello)
    assert word in only(edge.events(), Closed)[0].reason
    assert word in only(device.events(), Closed)[0].reason
    assert edge.counts["refused hello"] == 1


@given(st.binary(max_size=60))
def test_any_payload_of_a_hello_opens_or_closes(payload: bytes) -> None:
    edge = EdgeSession(LIMITS)
    edge.receive(encode(Header(Kind.HELLO), payload), 0.0)
    assert edge.open or edge.closed


def test_garbage_is_told_until_it_is_too_much() -> None:
    device, edge = pair()
    edge.outgoing()
    for _ in range(3):
        edge.receive(b"garbage", 0.1)
    assert edge.open
    edge.receive(b"garbage", 0.1)
    assert "cannot be read" in only(edge.events(), Closed)[0].reason
    for message in edge.outgoing():
        device.receive(message, 0.1)
    assert only(device.events(), Warned)
    assert not device.open


# Time ----------------------------------------------------------------------------------------------------------------


def test_a_device_that_says_nothing_is_closed_and_so_is_a_silent_server() -> None:
    edge = EdgeSession(LIMITS)
    edge.connected(0.0)
    assert edge.next_wake() == LIMITS.handshake
    edge.tick(LIMITS.handshake)
    assert "HELLO" in only(edge.events(), Closed)[0].reason
    device = DeviceSession(HELLO)
    device.connected(0.0)
    device.tick(5.0)
    assert "welcome" in only(device.events(), Closed)[0].reason
    device, edge = pair()
    device.tick(2.99)
    assert device.open
    device.tick(3.0)
    assert "silent" in only(device.events(), Closed)[0].reason
    edge.tick(LIMITS.silence)
    assert "silent" in only(edge.events(), Closed)[0].reason


def test_an_uplink_that_is_full_is_not_silence() -> None:
    """Nothing of the device arrives for 9 s; the server's PINGs do."""
    device, edge = pair()
    for tenth in range(90):
        now = tenth / 10
        for message in edge.outgoing(now):
            device.receive(message, now)
        device.outgoing(now)
    assert device.open
    assert edge.open


def test_the_round_trip_is_measured_and_leaves_the_server_less_time() -> None:
    device, edge = pair()
    for second in range(1, 10):
        device.events(), edge.events()
        for message in edge.outgoing(second):
            device.receive(message, second + 0.02)
        for message in device.outgoing(second + 0.02):
            edge.receive(message, second + 0.04)
        for message in edge.outgoing(second + 0.04):
            device.receive(message, second + 0.06)
    assert only(device.events(), Pong)[0].rtt == pytest.approx(0.04)
    assert [edge.rtt, device.rtt] == pytest.approx([0.04, 0.04])
    device.offer(1, 1, b"x", 9.5, 9.1)
    for message in device.outgoing(9.1):
        edge.receive(message, 9.12)
    [arrived] = only(edge.events(), Arrived)
    assert arrived.deadline_by == pytest.approx(9.12 + 0.4 - 0.04)
    assert arrived.stream == STREAMS[0]


def test_the_newest_wins_and_what_waits_too_long_expires() -> None:
    device, _ = pair()
    device.events()
    device.window = 0  # nothing may leave
    for frame in (1, 2, 3):
        device.offer(frame, 1, b"x", 1.0, 0.0)
    device.offer(4, 1, b"x", 0.0, 0.0)
    assert device.next_wake() == 1.0
    device.tick(1.0)
    ends = [(e.frame, e.reason) for e in only(device.events(), Dropped)]
    assert ends == [(1, "superseded"), (2, "superseded"), (4, "expired"), (3, "expired")]


def test_a_frame_past_its_deadline_is_cancelled_and_holds_its_place_until_the_last_word() -> None:
    device, edge = pair()
    device.events(), edge.events()
    for frame in (1, 2, 3):
        device.offer(frame, 1, b"x", 0.1 * frame, 0.0)
        up = device.outgoing(0.0)
        if frame < 3:
            for message in up:
                edge.receive(message, 0.0)
    assert device.in_flight == 2
    device.tick(0.1)
    assert only(device.events(), Failed) == [Failed(1, "deadline", 25)]
    up = device.outgoing(0.1)
    assert [decode(m, 100)[0].kind for m in up] == [Kind.CANCEL]
    assert device.in_flight == 2  # and frame 3 waits still
    edge.answer(1, Reply(Answer(), wait=0.05), 0.1)  # crosses the CANCEL
    for message in up:
        edge.receive(message, 0.1)
    assert only(edge.events(), Cancelled) == []
    for message in edge.outgoing():
        device.receive(message, 0.15)
    [late] = only(device.events(), Late)
    assert (late.frame, late.sent_at, late.now) == (1, 0.0, 0.15)
    assert late.reply is not None
    assert device.in_flight == 1
    assert [decode(m, 100)[0].frame for m in device.outgoing(0.15)] == [3]
    device.tick(0.2)
    for message in device.outgoing(0.2):
        edge.receive(message, 0.2)
    assert only(edge.events(), Cancelled) == [Cancelled(2)]
    assert not edge.answer(2, Reply(Answer()), 0.2)
    assert edge.counts["words too late"] == 1
    device.events()
    for message in edge.outgoing():
        device.receive(message, 0.25)
    assert [(e.frame, e.reply) for e in only(device.events(), Late)] == [(2, None)]


def test_an_answer_at_the_deadline_is_too_late() -> None:
    device, edge = pair()
    device.events()
    device.offer(1, 1, b"x", 0.1, 0.0)
    for message in device.outgoing(0.0):
        edge.receive(message, 0.0)
    edge.answer(1, Reply(Answer()), 0.05)
    [down] = [m for m in edge.outgoing() if decode(m, 1000)[0].kind is Kind.ANSWER]
    device.receive(down, 0.1)
    assert [type(e) for e in device.events() if isinstance(e, Answered | Failed | Late)] == [Failed, Late]


def test_an_answer_that_cannot_be_read_fails_its_frame() -> None:
    device, _edge = pair()
    device.events()
    device.offer(1, 1, b"x", 1.0, 0.0)
    device.outgoing(0.0)
    device.receive(encode(Header(Kind.ANSWER, 1), b"\xc1"), 0.1)
    assert only(device.events(), Failed)[0].reason.startswith("refused: a Reply cannot be read")
    assert device.counts["unreadable"] == 1
    assert device.in_flight == 0


def test_the_window_follows_the_server() -> None:
    device, edge = pair()
    edge.events()
    edge.grant(1, 0.0)
    flow(device, edge, 0.0)
    for frame in range(3):
        device.offer(frame, 1, b"x", 9.0, 0.0)
        flow(device, edge, 0.0)
    assert device.in_flight == 1
    edge.grant(3, 0.0)
    flow(device, edge, 0.0)
    assert device.in_flight == 2
    assert edge.counts["over credit"] == 0


def test_frames_are_numbered_upwards() -> None:
    device, _ = pair()
    device.offer(5, 1, b"x", 1.0, 0.0)
    for number in (5, 4, 1 << 32, -1):
        with pytest.raises(FrameError, match="out of order"):
            device.offer(number, 1, b"x", 1.0, 0.0)
    assert device.counts["offered"] == 1


def test_a_lost_connection_ends_all_and_the_next_one_starts_clean() -> None:
    device, edge = pair()
    for frame in range(3):
        device.offer(frame, 1, b"x", 9.0, 0.0)
        device.outgoing(0.0)
    device.offer(3, 1, b"x", 9.0, 0.0)
    device.lost(0.1)
    device.offer(4, 1, b"x", 9.0, 0.1)
    ends = {e.frame: e.reason for e in only(device.events(), Failed)}
    assert ends == {0: "connection lost", 1: "connection lost", 3: "connection lost", 4: "not connected"}
    assert device.next_wake() is None
    edge = EdgeSession(LIMITS, node="cam", admit=admit)
    device.connected(1.0)
    device.offer(5, 1, b"x", 9.0, 1.0)  # waits for the welcome
    flow(device, edge, 1.0)
    assert [e.frame for e in only(edge.events(), Arrived)] == [5]


# Renewal -------------------------------------------------------------------------------------------------------------

NEXT = Hello(
    "cam", "0.1", (Stream(11, GOOD, "s4", "affine", 4, (1, 2, 2, 2), "float32"), Stream(12, WRONG, "x", "jpeg", 1, (1,), "u"))
)


def test_streams_are_renewed_on_the_open_session_and_old_frames_are_answered() -> None:
    device, edge = pair()
    device.events(), edge.events()
    device.offer(1, 1, b"old", 1.0, 0.0)
    flow(device, edge, 0.0)
    device.renew(NEXT, 0.1)
    assert device.renewing
    device.offer(2, 1, b"old", 1.0, 0.1)  # before the server knows
    flow(device, edge, 0.1)
    [here], [there] = only(device.events(), Renewed), only(edge.events(), Renewed)
    assert (here, device.renewing) == (there, False)
    assert list(here.welcome.refused) == [12]
    for frame in (1, 2):
        edge.answer(frame, Reply(Answer()), 0.15)
    flow(device, edge, 0.15)
    assert [e.frame for e in only(device.events(), Answered)] == [1, 2]
    for frame, stream in ((3, 11), (4, 1), (5, 12)):  # the new one, one of those before, one that is refused
        device.offer(frame, stream, b"x", 1.0, 0.2)
        flow(device, edge, 0.2)
    assert [e.stream.id for e in only(edge.events(), Arrived)] == [11, 1]
    assert [e.frame for e in only(device.events(), Failed)] == [5]


def test_the_streams_before_the_last_ones_are_forgotten_on_both_sides() -> None:
    device, edge = pair()
    for base in (10, 20):
        device.renew(Hello("cam", "0.1", (Stream(base, GOOD, "s4", "affine", 4, (1,), "float32"),)), 0.1)
        flow(device, edge, 0.1)
    device.offer(1, 1, b"x", 1.0, 0.2)
    assert "not agreed" in only(device.events(), Failed)[0].reason
    edge.receive(data(0, stream=1), 0.2)
    assert "unknown" in refusals(edge)[0].sentence
    device.offer(2, 10, b"x", 1.0, 0.2)
    edge.events()
    flow(device, edge, 0.2)
    assert [e.frame for e in only(edge.events(), Arrived)] == [2]


def test_a_connection_that_ends_while_streams_are_renewed_greets_with_the_new_ones() -> None:
    device, edge = pair()
    device.renew(NEXT, 0.1)
    with pytest.raises(FrameError, match="renewed already"):
        device.renew(NEXT, 0.1)
    device.lost(0.2)
    edge = EdgeSession(LIMITS, node="cam", admit=admit)
    edge.connected(1.0)
    device.connected(1.0)
    flow(device, edge, 1.0)
    assert only(edge.events(), Opened)[0].hello == NEXT
    device.offer(1, 11, b"x", 2.0, 1.0)
    flow(device, edge, 1.0)
    assert len(only(edge.events(), Arrived)) == 1


def test_a_renewal_without_an_answer_ends_the_connection() -> None:
    device, edge = pair()
    device.renew(NEXT, 0.1)
    device.outgoing(0.1)
    for tenth in range(2, 52):
        flow(device, edge, tenth / 10)
    assert "welcome" in only(device.events(), Closed)[0].reason


@pytest.mark.parametrize(
    ("hello", "word"),
    [
        (Hello("cam", "0.1", (Stream(1, GOOD, "s4", "affine", 4, (1,), "float32"),)), "numbers"),
        (Hello("cam", "0.1", NEXT.streams, outbox="another"), "outbox"),
        (Hello("dog", "0.1", NEXT.streams), "name"),
    ],
)
def test_a_renewal_that_cannot_stand_closes_with_its_sentence(hello: Hello, word: str) -> None:
    _device, edge = pair()
    edge.receive(encode(Header(Kind.HELLO, 9), pack(hello)), 0.1)
    assert word in only(edge.events(), Closed)[0].reason


def test_a_greeting_that_comes_twice_changes_nothing() -> None:
    device, edge = pair()
    edge.receive(encode(Header(Kind.HELLO, 1), pack(HELLO)), 0.1)
    assert "twice" in refusals(edge)[0].sentence
    assert edge.open
    device.receive(encode(Header(Kind.WELCOME, 1), b""), 0.1)
    assert device.open


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=50))
def test_an_allowance_never_gives_more_than_burst_and_rate(asks: list[tuple[float, int]]) -> None:
    allowance, now, given_out = Allowance(3.0, 4.0), 0.0, 0
    for gap, amount in asks:
        now += gap
        given_out += amount * allowance.take(amount, now)
        assert given_out <= 4.0 + 3.0 * now + 1e-9


def test_ten_thousand_frames_leave_nothing_behind() -> None:
    """Memory is flat because everything that is kept has an end."""
    device, edge = pair()
    for frame in range(10_000):
        now = frame * 0.01
        device.offer(frame, 1, b"x", now + 1, now)
        flow(device, edge, now)
        for event in only(edge.events(), Arrived):
            edge.answer(event.frame, Reply(Answer()), now)
        flow(device, edge, now)
        device.events()
    assert device.counts["answered"] == 10_000
    assert device.in_flight == edge.owed == 0
    assert len(edge._heart._asked) + len(device._heart._asked) <= 32
    assert device.rtt < math.inf
