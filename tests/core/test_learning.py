"""What a server wants to learn from: rows on the wire, bounds where they are read, sentences where a person is wrong."""

from __future__ import annotations

import math

import msgspec
import pytest
from msgspec.structs import replace

from edgewise.core.errors import ConfigError
from edgewise.core.learning import AUDIT, DROPPED, Learning, Sample, checked

ROUND = msgspec.msgpack.encode


@pytest.mark.parametrize(
    "value",
    [
        Learning(),
        Learning(0.0, 5e3, 1.0, "window", 0.0, 1.0, 0.05, 0.33, False, 95),
        Sample(7, 1.5, b"jpeg", AUDIT, 0.3, "ab", b"s"),
    ],
)
def test_both_travel_without_field_names(value: Learning | Sample) -> None:
    packed = ROUND(value)
    assert msgspec.msgpack.decode(packed, type=type(value)) == value
    assert b"statistics" not in packed


def test_a_row_of_before_a_field_was_there_reads_as_its_default() -> None:
    assert msgspec.msgpack.decode(ROUND([2.0]), type=Learning) == Learning(samples=2.0)


@pytest.mark.parametrize(
    "wrong", [[math.nan], [math.inf], [-1.0], [1.0, 1.0, 1.5], [1.0, 1.0, 0.1, "best"], [*[1.0] * 3, "random", 2]]
)
def test_the_wire_refuses_what_is_no_rate_or_share(wrong: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(ROUND(wrong), type=Learning)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"samples": math.nan}, "budget"),
        ({"bytes": -1.0}, "budget"),
        ({"cascade": 1.5}, "share"),
        ({"audit": math.nan}, "share"),
        ({"floor": 0.4}, "floor and ceiling"),
        ({"level": 0}, "JPEG"),
        ({"selection": "best"}, "best"),
    ],
)
def test_a_wrong_wish_is_a_sentence(wrong: dict[str, object], word: str) -> None:
    assert checked(Learning()) == Learning()
    with pytest.raises(ConfigError, match=word):
        checked(replace(Learning(), **wrong))


def test_flags_say_what_a_sample_is() -> None:
    assert Sample(1, 0.0, b"x", AUDIT).audit and not Sample(1, 0.0, b"x", DROPPED).audit
    assert Sample(1, 0.0, b"x", AUDIT | DROPPED).dropped
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(ROUND([1, 0.0, b""]), type=Sample)  # no picture, nothing to learn from
