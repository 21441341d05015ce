"""One direction of a packet link, in virtual time: nothing appears, nothing is out of order, nothing is faster than the link."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.link import Link, Trace
from edgewise.net.links.lane import SMALLEST_QUEUE, Lane
from edgewise.net.links.virtual import VirtualLink

ENDLESS = 1 << 40
LINKS = st.one_of(
    st.builds(Link, st.just("l"), st.floats(1e3, 1e8), st.just(math.inf), st.floats(0, 1)),
    st.builds(lambda d: Link("t", delay=d, trace_up=Trace((0.0, 0.3, 0.5), (8e4, 0.0, 1e6), 0.7)), st.floats(0, 1)),
)
SENDS = st.lists(st.tuples(st.integers(20, 1500), st.floats(0, 0.5)), min_size=1, max_size=30)


def numbered(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") + bytes(size - 4)


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(p[:4], "big") for p in packets]


@given(LINKS, SENDS)
def test_a_packet_arrives_exactly_when_the_virtual_link_says(link: Link, sends: list[tuple[int, float]]) -> None:
    lane, virtual, now = Lane(link, True, Random(0), 0.0, ENDLESS), VirtualLink(link), 0.0
    due = []
    for number, (size, gap) in enumerate(sends):
        now += gap
        assert lane.put(numbered(number, size), now)
        due.append(virtual.send(size, now))
    for number, arrival in enumerate(due):
        assert number not in numbers(lane.take(arrival - 1e-6))
        lane_says = lane.next_wake()
        assert lane_says == pytest.approx(arrival, rel=1e-6, abs=1e-5)
        assert numbers(lane.take(max(arrival, lane_says)))[0] == number
        if number + 1 < len(due) and due[number + 1] - arrival < 1e-4:
            return  # two at one moment: told apart no more
    assert lane.next_wake() == math.inf


@given(LINKS, SENDS, st.floats(0, 0.9), st.integers(1500, 6000))
def test_every_packet_is_taken_lost_or_overflowed(link: Link, sends: list[tuple[int, float]], loss: float, queue: int) -> None:
    import msgspec

    lossy = msgspec.structs.replace(link, loss=loss)
    lane, now, taken, refused = Lane(lossy, True, Random(1), 0.0, queue), 0.0, list[bytes](), 0
    for number, (size, gap) in enumerate(sends):
        now += gap
        taken += lane.take(now)
        refused += not lane.put(numbered(number, size), now)
    while (wake := lane.next_wake()) < math.inf:
        taken += lane.take(wake)
    assert len(taken) + lane.counts["lost"] + refused == len(sends)
    assert refused == lane.counts["overflowed"]
    assert all(a < b for a, b in pairwise(numbers(taken)))


def test_the_loss_is_the_wanted_one() -> None:
    lane = Lane(Link("l", loss=0.1), True, Random(3), 0.0, ENDLESS)
    for number in range(10_000):
        lane.put(numbered(number, 100), float(number))
    assert len(lane.take(1e9)) == pytest.approx(9000, abs=150)  # five deviations


def test_a_new_link_carries_the_rest_of_the_packet_under_way() -> None:
    lane = Lane(Link("l", rate_up=8000.0), True, Random(0), 0.0)
    lane.put(numbered(0, 1000), 0.0)  # 1 s
    lane.set_link(Link("l", rate_up=16000.0), 0.5)
    assert lane.next_wake() == pytest.approx(0.75)
    lane.set_link(Link("l", rate_up=0.0), 0.6)
    assert lane.next_wake() == math.inf
    lane.set_link(Link("l", delay=1.0), 2.0)
    assert lane.next_wake() == pytest.approx(3.0)


def test_a_shorter_delay_lets_nobody_overtake() -> None:
    lane = Lane(Link("l", delay=1.0), True, Random(0), 0.0)
    lane.put(numbered(0, 100), 0.0)
    lane.set_link(Link("l"), 0.1)
    lane.put(numbered(1, 100), 0.2)
    assert lane.take(0.9) == []
    assert numbers(lane.take(1.0)) == [0, 1]


def test_a_full_queue_drops_what_comes_last() -> None:
    lane = Lane(Link("l", rate_up=8000.0), True, Random(0), 0.0)
    kept = [n for n in range(100) if lane.put(numbered(n, 1500), 0.0)]
    assert kept == list(range(SMALLEST_QUEUE // 1500))
