"""What crosses the link on recorded data: real bytes, each picture once, one teacher for all."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.adapt.uplink import REPLY, Crossing, Uplink
from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer, Class
from edgewise.core.errors import InputError
from edgewise.core.learning import Sample
from edgewise.core.wire import FRAME_HEADER
from edgewise.net.messages import Reply, pack

LABELS = ("dark", "bright")


class Looking:
    """Says how bright a picture is."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def probabilities(self, pictures):
        self.seen += list(pictures)
        bright = np.array([p.mean() / 255 for p in pictures], np.float32)
        return np.stack([1 - bright, bright], axis=1)


def shown(count: int = 6, first: int = 0) -> tuple[Looking, Crossing]:
    teacher = Looking()
    crossing = Crossing(teacher.probabilities, 70)
    pictures = np.random.default_rng(first).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    crossing.show(pictures, first, np.arange(first, first + count) / 10)
    return teacher, crossing


def test_the_teacher_sees_what_arrives_and_is_asked_once_for_all():
    teacher, crossing = shown()
    one, other = Uplink(crossing, LABELS), Uplink(crossing, LABELS)
    said = one.taught([0, 2])
    np.testing.assert_array_equal(other.answered([2, 0, 5])[:2], said[::-1])
    assert len(teacher.seen) == 3
    codec = ImageCodec("jpeg", 70)
    np.testing.assert_array_equal(teacher.seen[0], codec.decode(codec.encode(crossing.pictures[0])))


def test_bytes_are_those_of_the_files_and_a_picture_is_counted_once():
    _, crossing = shown()
    link = Uplink(crossing, LABELS)
    sizes = [len(data) + FRAME_HEADER for data in link.send([0, 1])]
    link.taught([1])
    link.answered([1])
    tally = link.tally(6)
    assert (tally.uploaded, tally.answered, tally.bytes_up) == (2, 1, sum(sizes))
    crossing.show(crossing.pictures, 6, np.arange(6.0))
    link.send([1])  # another picture, in the same place of the next batch
    assert link.tally(12).uploaded == 3 and link.tally(12).uploaded_share == 0.25


def test_an_answer_takes_at_least_what_a_reply_takes():
    _, crossing = shown()
    link = Uplink(crossing, LABELS)
    best = int(link.answered([0])[0].argmax())
    real = len(pack(Reply(Answer(classes=(Class(LABELS[best], 0.4321),)), 0.0123, 0.0456, 3, 2))) + FRAME_HEADER
    assert real <= link.tally(1).bytes_down <= real + 4
    assert REPLY < 32


def test_a_sample_is_counted_with_all_that_it_says():
    _, crossing = shown()
    link = Uplink(crossing, LABELS)
    sample = Sample(3, 1.5, crossing.coded(3), version="a" * 64, statistics=b"x" * 500)
    link.sampled(3, sample)
    assert link.tally(6).bytes_up == link.weight(3, sample) > len(crossing.coded(3)) + 564


def test_statistics_deltas_and_words_are_counted_too():
    _, crossing = shown()
    link = Uplink(crossing, LABELS)
    link.upload(300)
    link.delta(1500)
    link.word()
    tally = link.tally(6)
    assert (tally.bytes_up, tally.bytes_down, tally.deltas) == (300 + FRAME_HEADER, 1500 + 2 * FRAME_HEADER, 1)


def test_what_is_no_picture_is_refused():
    _, crossing = shown()
    with pytest.raises(InputError, match="no pictures of a stream"):
        crossing.show(np.zeros((2, 4, 4, 3), np.float32), 0, np.zeros(2))
    with pytest.raises(InputError, match="a time for each"):
        crossing.show(np.zeros((2, 4, 4, 3), np.uint8), 0, np.zeros(3))
