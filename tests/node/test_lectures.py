"""Pictures that wait for a teacher: answered in time, or handed back while the tail can still answer; and a server's intake."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import StoreError
from edgewise.core.learning import AUDIT, CARRIED, LARGEST_PICTURE, Learning, Sample
from edgewise.net import teaching
from edgewise.net.frame import Header, Kind, encode
from edgewise.net.messages import Hello, Piece, Stream, pack
from edgewise.node.batch import Item
from edgewise.node.edge import Edge
from edgewise.node.lectures import MARGIN, REST, SPARE, Lectures
from edgewise.node.samples import HOLD, SLACK, Samples

JPEG = Stream(1, "m", "jpeg-75", "jpeg", 75, (8, 8, 3), "uint8")
WEBP = Stream(2, "m", "webp-75", "webp", 75, (8, 8, 3), "uint8")


def item(name: str, deadline: float, now: float = 0.0) -> Item[str]:
    return Item("key", deadline, now, name)


def test_what_a_lecture_takes_is_learned_and_what_would_be_late_is_not_taken() -> None:
    lectures: Lectures[str] = Lectures()
    assert lectures.add(item("a", 1.0), 0.0)
    [first], others = lectures.next(0.0)
    assert (first.value, others) == ("a", ())
    lectures.finished("key", 0.4, 0.4)
    assert not lectures.add(item("b", 0.9, 0.4), 0.4), "0.5 s are left of the 0.6 that it wants"
    assert lectures.add(item("c", 1.1, 0.4), 0.4)


def test_a_teacher_that_was_slow_once_is_tried_again() -> None:
    lectures: Lectures[str] = Lectures()
    lectures.add(item("a", 1.0), 0.0)
    lectures.next(0.0)
    lectures.finished("key", 2.0, 2.0)
    tries = next(n for n in range(1000) if lectures.add(item("b", 10.2 + n, 10.0 + n), 10.0 + n))
    assert 20 < tries < 200


def test_a_teacher_that_failed_rests() -> None:
    lectures: Lectures[str] = Lectures()
    lectures.add(item("a", 1.0), 0.0)
    lectures.next(0.0)
    lectures.finished("key", 0.0, 0.5)
    assert not lectures.add(item("b", 9.0, 0.6), 0.6)
    assert lectures.add(item("c", 9.0, 0.6 + REST), 0.6 + REST)


def test_what_waits_too_long_goes_to_the_tail_while_that_can_answer() -> None:
    lectures: Lectures[str] = Lectures(1, tail=lambda key: 0.1)
    lectures.add(item("first", 9.0), -1.0)
    lectures.next(-1.0)
    assert not lectures.add(item("?", 9.0), -1.0), "nobody knows how long the first takes"
    lectures.finished("key", 0.2, 0.0)
    assert lectures.add(item("a", 1.0), 0.0) and lectures.add(item("b", 0.9), 0.0)
    [b], _ = lectures.next(0.0)
    assert b.value == "b", "the earliest deadline first"
    assert lectures.due == pytest.approx(SPARE * 0.2), "the run should be over then"
    assert lectures.next(lectures.due - 1e-6) == ((), ())
    items, [late] = lectures.next(lectures.due)
    assert items == () and late.value == "a"
    assert lectures.due == math.inf
    lectures.finished("key", 0.2, 0.0)
    assert lectures.add(item("c", 2.0), 1.0)
    assert lectures.due == pytest.approx(2.0 - SPARE * 0.1 - MARGIN)


STEPS = st.lists(st.tuples(st.sampled_from(["add", "next", "done", "drop", "wait"]), st.floats(0.01, 1.0)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_picture_leaves_once(steps: list[tuple[str, float]]) -> None:
    lectures: Lectures[int] = Lectures(2, tail=lambda key: 0.05)
    now, number, inside, out, running = 0.0, 0, 0, list[int](), False
    for what, amount in steps:
        if what == "add":
            number += 1
            inside += lectures.add(Item("key", now + amount, now, number), now)
        elif what == "next":
            items, others = lectures.next(now)
            assert not (items and running)
            running = running or bool(items)
            out += [i.value for i in (*items, *others)]
            assert all(i.deadline > now for i in items)
        elif what == "done" and running:
            lectures.finished("key", amount, now)
            running = False
        elif what == "drop":
            out += [i.value for i in lectures.drop(lambda value: value % 3 == 0)]
        now += amount / 10
    assert len(out) == len(set(out)) and len(out) + len(lectures) == inside


# A server's intake ---------------------------------------------------------------------------------------------------


class Desk:
    def __init__(self, wish: Learning | None, failing: bool = False) -> None:
        self.came: list[tuple[str, Sample]] = []
        self.failing = failing
        self.samples = Samples(lambda node: wish, self.take)

    def take(self, node: str, several: list[Sample]) -> None:
        if self.failing:
            raise StoreError("the disk is full")
        self.came += [(node, sample) for sample in several]


@pytest.mark.parametrize("rate", [100.0, 1e6])
def test_no_device_brings_more_than_its_wish_however_it_tries(rate: float) -> None:
    desk, taken, seconds = Desk(Learning(bytes=rate)), 0.0, 600
    for tenth in range(10 * seconds):
        while desk.samples.allows("cam", 50_000, tenth / 10):
            taken += 50_000
    most = max(HOLD * SLACK * rate, 2 * LARGEST_PICTURE)
    assert 0.9 * SLACK * rate * seconds < taken + 50_000 <= SLACK * rate * seconds + most + 50_000
    assert desk.samples.allows("another", 50_000, float(seconds)), "others do not suffer"


def test_nothing_is_allowed_where_nothing_is_wanted_or_nobody_takes_it() -> None:
    assert not Desk(None).samples.allows("cam", 1, 0.0)
    assert Samples(lambda node: Learning()).wants("cam") is None
    assert not Samples(lambda node: Learning()).allows("cam", 1, 0.0)


def test_a_frame_that_says_so_is_learned_from_once_and_others_are_not() -> None:
    desk = Desk(Learning())
    flags = teaching.told(audit=True, doubt=0.5)
    desk.samples.carried("cam", 7, JPEG, memoryview(b"picture"), flags, 0.0)
    [(node, sample)] = desk.came
    assert (node, sample.frame, sample.picture, sample.flags, sample.version) == ("cam", 7, b"picture", CARRIED | AUDIT, "m")
    assert sample.doubt == pytest.approx(0.5, abs=0.01)
    desk.samples.carried("cam", 8, JPEG, memoryview(b"picture"), flags & ~1, 0.0)
    desk.samples.carried("cam", 9, WEBP, memoryview(b"picture"), flags, 0.0)
    desk.samples.carried("cam", 10, JPEG, memoryview(bytes(LARGEST_PICTURE + 1)), flags, 0.0)
    assert len(desk.came) == 1 and desk.samples.counts["frames that cannot be learned from"] == 2
    for frame in range(11, 400):
        desk.samples.carried("cam", frame, JPEG, memoryview(bytes(100_000)), flags, 0.0)
    assert desk.samples.counts["frames not learned from"] > 300
    assert len(desk.came) == desk.samples.counts["frames learned from"] < 30


def test_a_disk_that_is_full_costs_the_sample_and_is_counted() -> None:
    desk = Desk(Learning(), failing=True)
    desk.samples.came("cam", Sample(1, 0.0, b"x"))
    assert desk.came == [] and desk.samples.counts["samples that failed"] == 1


def test_a_device_that_uploads_without_end_gains_nothing_by_coming_again_and_hurts_nobody() -> None:
    desk = Desk(Learning(bytes=1_000.0))
    edge = Edge(lambda s: None, lambda s: s.point, samples=desk.samples)
    body = pack(Sample(0, 1.0, bytes(100_000)))
    hello = encode(Header(Kind.HELLO, 1, flags=teaching.LEARNS), pack(Hello("flood", "0", (JPEG,))))
    closed = now = 0.0
    for _ in range(40):
        connection = edge.connected("flood", now)
        edge.receive(connection, hello, now)
        for number in range(1, 60):
            edge.receive(connection, encode(Header(Kind.SAMPLE, number), pack(Piece(0, len(body), body))), now)
        closed += edge.closed(connection)
        edge.lost(connection, now)
        now += 0.1
    taken = sum(len(sample.picture) for _, sample in desk.came)
    assert taken <= 2 * LARGEST_PICTURE + 10_000 and closed >= 39
    assert edge.totals()["samples over budget"] > 400
    honest = edge.connected("honest", now)
    edge.receive(honest, encode(Header(Kind.HELLO, 1, flags=teaching.LEARNS), pack(Hello("honest", "0", (JPEG,)))), now)
    edge.receive(honest, encode(Header(Kind.SAMPLE, 1), pack(Piece(0, len(body), body))), now)
    assert desk.came[-1][0] == "honest" and not edge.closed(honest)
