"""What the simulated network does to messages, and what it must not do where nothing is wrong."""

from __future__ import annotations

import random

from edgewise.node.faults.clock import Timeline
from edgewise.node.faults.network import Direction, Lane, Way, flipped


def carried(prepare: object, count: int = 200, seed: int = 1) -> tuple[list[bytes], Direction]:
    timeline = Timeline()
    direction = Direction(timeline, random.Random(seed))
    prepare(direction)  # type: ignore[operator]
    got: list[bytes] = []
    lane = Lane()
    for i in range(count):
        timeline.at(i * 0.01, lambda i=i: direction.carry(lane, b"%06d" % i, got.append))  # type: ignore[misc]
    timeline.run(count * 0.01 + 5.0)
    return got, direction


SENT = [b"%06d" % i for i in range(200)]


def test_a_whole_network_delivers_everything_once_and_in_order() -> None:
    assert carried(lambda d: None)[0] == SENT


def test_delay_keeps_the_order() -> None:
    assert carried(lambda d: setattr(d, "delay", 0.5))[0] == SENT


def test_reordering_changes_the_order_and_nothing_else() -> None:
    got, _ = carried(lambda d: setattr(d, "shuffle", 0.3))
    assert got != SENT and sorted(got) == SENT


def test_duplicates_and_losses_are_what_they_say() -> None:
    twice, _ = carried(lambda d: setattr(d, "duplicate", 0.3))
    assert len(twice) > 200 and sorted(set(twice)) == SENT
    fewer, _ = carried(lambda d: setattr(d, "loss", 0.3))
    assert 100 < len(fewer) < 180 and set(fewer) < set(SENT)


def test_corruption_flips_one_bit() -> None:
    got, _ = carried(lambda d: setattr(d, "corrupt", 1.0))
    assert len(got) == 200
    for before, after in zip(SENT, got):
        assert sum((a ^ b).bit_count() for a, b in zip(before, after)) == 1
    assert len(flipped(b"\0", random.Random(0))) == 1


def test_a_cut_that_holds_delivers_afterwards_and_one_that_loses_does_not() -> None:
    for holds in (True, False):
        timeline = Timeline()
        way = Way(timeline, random.Random(1))
        got: list[bytes] = []
        lane = Lane()
        way.up.sever(holds)
        assert not way.whole
        way.up.carry(lane, b"a", got.append)
        timeline.run(1.0)
        assert got == []
        way.up.join()
        way.up.carry(lane, b"b", got.append)
        timeline.run(2.0)
        assert got == ([b"a", b"b"] if holds else [b"b"]) and way.whole


def test_two_cuts_need_two_ends() -> None:
    way = Way(Timeline(), random.Random(1))
    way.up.sever(True)
    way.up.sever(True)
    way.up.join()
    assert not way.whole
    way.up.join()
    assert way.whole
