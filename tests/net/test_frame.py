"""The header: round trips, and nothing but a FrameError for bytes that are no frame."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.errors import FrameError
from edgewise.core.learning import Sample
from edgewise.net import items, messages
from edgewise.net.frame import HEADER_SIZE, NO_DEADLINE, Header, Kind, budget_us, decode, encode

MAX = 1 << 16
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
HEADERS = st.builds(Header, st.sampled_from(Kind), U32, U16, U32, U16)


@given(HEADERS, st.binary(max_size=300))
def test_a_frame_comes_back_as_it_was(header: Header, payload: bytes) -> None:
    data = encode(header, payload)
    assert HEADER_SIZE <= 32
    assert len(data) == HEADER_SIZE + len(payload)
    back, view = decode(data, MAX)
    assert (back, bytes(view)) == (header, payload)


@given(HEADERS, st.binary(max_size=100), st.data())
def test_every_flipped_bit_is_found(header: Header, payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode(header, payload))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        decode(bytes(frame), MAX)


@given(HEADERS, st.binary(max_size=100), st.data())
def test_truncated_and_overlong_frames_are_refused(header: Header, payload: bytes, data: st.DataObject) -> None:
    frame = encode(header, payload)
    with pytest.raises(FrameError):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))], MAX)
    with pytest.raises(FrameError):
        decode(frame + data.draw(st.binary(min_size=1, max_size=9)), MAX)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        decode(data, MAX)
    assert str(caught.value).endswith((".", "?"))


def test_an_oversized_payload_is_refused_and_a_number_too_large_for_its_field() -> None:
    with pytest.raises(FrameError, match="oversized"):
        decode(encode(Header(Kind.DATA), bytes(11)), 10)
    for header in (Header(Kind.DATA, frame=1 << 32), Header(Kind.DATA, stream=1 << 16), Header(Kind.DATA, frame=-1)):
        with pytest.raises(FrameError, match="does not fit"):
            encode(header)


@given(st.floats(-1e9, 1e12), st.floats(0, 1e9))
def test_a_budget_never_promises_more_time_than_there_is(deadline: float, now: float) -> None:
    left = budget_us(deadline, now)
    assert 0 <= left <= NO_DEADLINE
    assert left == NO_DEADLINE or left == 0 or left / 1e6 <= deadline - now + 1e-6
    assert budget_us(float("inf"), now) == NO_DEADLINE


MESSAGES = (
    messages.Hello,
    messages.Welcome,
    messages.Refusal,
    messages.Reply,
    messages.Credit,
    messages.Stream,
    messages.Learn,
    messages.Piece,
    Sample,
)


@given(st.sampled_from(MESSAGES), st.binary(max_size=200))
def test_arbitrary_payloads_are_a_message_or_a_frame_error(kind: type, payload: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert isinstance(messages.unpack(kind, payload), kind)
    with contextlib.suppress(FrameError):
        messages.unpack_records(payload)
    with contextlib.suppress(FrameError):
        assert items.unpack_items(payload)


@given(
    st.sampled_from(MESSAGES),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=80) | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=12,
    ),
)
def test_well_formed_msgpack_of_the_wrong_shape_too(kind: type, value: object) -> None:
    import msgspec

    payload = msgspec.msgpack.encode(value)
    with contextlib.suppress(FrameError):
        assert isinstance(messages.unpack(kind, payload), kind)
    with contextlib.suppress(FrameError):
        assert items.unpack_items(payload)


RECORD = FrameRecord(
    "cam", 3, 1.5, "answered", "split", "s4", "why", latency=0.05, parts={"head": 0.01}, answer=Answer((), 2, 4, b"x")
)


def test_records_travel_without_names_and_come_back() -> None:
    records = [RECORD, FrameRecord("cam", 4, 2.0, "dropped", "drop", "drop", "still", "superseded")]
    payload = messages.pack_records(records)
    assert list(messages.unpack_records(payload)) == records
    assert b"latency" not in payload


def test_a_record_or_answer_that_lies_is_refused() -> None:
    import msgspec

    nan = msgspec.structs.replace(RECORD, energy=float("nan"))
    grid = msgspec.structs.replace(RECORD, answer=Answer((), 9999, 9999, b"x"))
    for record in (nan, grid):
        with pytest.raises(FrameError):
            messages.unpack_records(messages.pack_records([record]))
    with pytest.raises(FrameError, match="not a number"):
        messages.unpack(messages.Reply, messages.pack(messages.Reply(Answer((Box(0.0, 0.0, float("nan"), 1.0, 0.5, "car"),)))))
    with pytest.raises(FrameError, match="Reply"):
        messages.unpack(messages.Reply, messages.pack(messages.Reply(Answer(), wait=float("nan"))))


def test_a_sentence_too_long_for_the_wire_is_cut_not_refused() -> None:
    back = messages.unpack(messages.Refusal, messages.refusal(7, "x" * 2000))
    assert back.frame == 7
    assert back.sentence.endswith("…")
