"""Answers on the wire: what an older edgewise wrote is read, and what is new comes back as it was."""

from __future__ import annotations

import msgspec
import pytest

from edgewise.core.answer import Answer, Box, Class


def test_an_answer_of_before_is_read_with_what_is_new_left_empty() -> None:
    old = [[[0.1, 0.2, 0.3, 0.4, 0.9, "car"]], 2, 3, b"\xfc"]
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Answer)
    assert found == Answer(boxes=(Box(0.1, 0.2, 0.3, 0.4, 0.9, "car"),), rows=2, columns=3, cells=b"\xfc")
    assert (found.classes, found.regions, found.raw, found.boxes[0].points, found.boxes[0].mask) == ((), b"", b"", (), b"")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(boxes=(Box(0.0, 0.0, 1.0, 1.0, 0.5, "x", (0.1, 0.2), b"\x80"),)),
        Answer(classes=(Class("cat", 0.75), Class("dog", 0.25))),
        Answer(rows=2, columns=2, regions=b"abc", raw=b"def"),
    ],
)
def test_every_kind_of_answer_comes_back(answer: Answer) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Answer) == answer
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


def test_an_empty_answer_stays_small() -> None:
    assert len(msgspec.msgpack.encode(Answer())) <= 12
