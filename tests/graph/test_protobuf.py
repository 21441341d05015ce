"""What is written is read; bytes that do not fill their message are refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgewise.core.errors import ModelError
from edgewise.graph.protobuf import BYTES, FIXED32, VARINT, fields, number, piece, single, text, varint, words


@given(some.integers(1, 1000), some.integers(0, 2**64 - 1))
def test_numbers_come_back(field: int, value: int) -> None:
    message = number(field, value)
    ((found, wire, start, stop),) = fields(message)
    assert (found, wire, varint(message, start, stop)) == (field, VARINT, (value, len(message)))


def test_a_number_below_zero_is_64_bits() -> None:
    message = number(3, -1)
    ((_, _, start, stop),) = fields(message)
    assert varint(message, start, stop)[0] == 2**64 - 1


def test_several_fields_come_back_in_their_order() -> None:
    message = text(8, "müde") + single(2, 0.5) + piece(5, b"\x00\x01")
    found = list(fields(message))
    assert [(field, wire) for field, wire, _, _ in found] == [(8, BYTES), (2, FIXED32), (5, BYTES)]
    assert words(message, *found[0][2:]) == "müde"
    assert struct.unpack_from("<f", message, found[1][2]) == (0.5,)
    assert message[slice(*found[2][2:])] == b"\x00\x01"


@pytest.mark.parametrize("broken", [b"\x0a\x05ab", b"\x0b", b"\x80", b"\x00\x00", b"\xff" * 11])
def test_what_is_no_message_is_refused(broken: bytes) -> None:
    with pytest.raises(ModelError):
        list(fields(broken))
    with pytest.raises(ModelError, match="no text"):
        words(b"\xff\xfe", 0, 2)
