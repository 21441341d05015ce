"""A filter before everything: what it leaves out costs no byte, the sums hold, and a drawn share of it is tried all the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.artifact import Filter
from edgewise.core.cost import Budget
from edgewise.core.link import Link, Trace
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.plan.online import OnlinePolicy

INTERVAL, DEADLINE = 0.1, 0.2
FOUND = Answer((Box(0.1, 0.1, 0.2, 0.2, 0.9, "vehicle"),))


def worth(value: float) -> dict[str, Quality]:
    return {"all": Quality(value, value, value, 1)}


LOCAL = OperatingPoint("local", "local", device_time=0.01, quality=worth(0.6))
SPLIT = OperatingPoint("split", "split", "rans", 0, bytes_up=2_500, device_time=0.008, edge_time=0.006, quality=worth(0.85))
IMAGE = OperatingPoint("jpeg-75", "image", "jpeg", 75, bytes_up=28_000, device_time=0.003, edge_time=0.01, quality=worth(0.9))


def filtering(learn: float, of: str = "vehicle") -> Filter:
    return Filter(threshold=0.5, recall=0.95, confidence=0.95, n=200, of=of, learn=learn)


def run(
    link: Link,
    sees: list[float],
    learn: float = 0.0,
    points: tuple[OperatingPoint, ...] = (LOCAL, SPLIT, IMAGE),
    there: frozenset[int] = frozenset(),
    budget: str = "",
    seed: int = 1,
) -> SimulatedDevice:
    """A device whose filter says `sees`, frame by frame; the server finds something in the frames of `there`."""
    world = World()
    says = lambda job: FOUND if job.frame in there else Answer()  # noqa: E731
    server = SimulatedEdge(world, Edge(lambda s: None, lambda s: s.point), lambda r: 0.006, says)
    policy = OnlinePolicy(points, INTERVAL, Budget.parse(budget), seed=seed)
    agent = camera("camera", points, policy, EnergyModel(2.0, 5.0), DEADLINE, filter=filtering(learn))
    device = SimulatedDevice(
        world,
        server,
        agent,
        link,
        INTERVAL,
        len(sees),
        size=lambda w: round(w.point.bytes_up),
        seconds=lambda w: w.point.device_time,
        sees=lambda frame: sees[frame],
        looks=0.002,
    )
    world.run(len(sees) * INTERVAL + 2.0)
    agent.close(world.now, "stopped")
    device.records.extend(agent.records())
    return device


def left_out(record: FrameRecord) -> bool:
    return (record.outcome, record.reason) == ("dropped", "filter")


GOOD = Link("good", rate_up=2e7, rate_down=2e7, delay=0.005)
RATES = st.lists(st.sampled_from([0.0, 3e5, 5e6]), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.49, 0.5, 1.0]), min_size=1, max_size=50), RATES, st.sampled_from([0.0, 0.3, 1.0]))
def test_the_books_close_whatever_filter_and_link_do(sees: list[float], rates: list[float], learn: float) -> None:
    trace = Trace(tuple(float(i) for i in range(len(rates))), tuple(rates), float(len(rates)))
    device = run(Link("random", trace_up=trace, rate_down=2e7, delay=0.01), sees, learn)
    table = device.agent.ledger.table()
    assert sorted(r.frame for r in device.records) == list(range(len(sees)))
    assert table.balanced
    assert table.dropped.get("filter", 0) == sum(left_out(r) for r in device.records)
    for r in device.records:
        if left_out(r):
            assert sees[r.frame] < 0.5 and not r.learn
            assert (r.bytes_up, r.answer, r.mode) == (0, Answer(), "drop")
            assert "link" not in r.parts and r.energy > 0
        elif r.learn:
            assert sees[r.frame] < 0.5, "only what the filter leaves out is tried"
    assert table.tried == sum(r.learn and r.outcome == "answered" for r in device.records)


@pytest.mark.parametrize("points", [(LOCAL,), (LOCAL, SPLIT), (LOCAL, IMAGE), (SPLIT,)])
def test_the_filter_guards_every_way_to_answer(points: tuple[OperatingPoint, ...]) -> None:
    sees = [1.0, 0.0] * 40
    device = run(GOOD, sees, points=points)
    assert all(left_out(r) == (sees[r.frame] < 0.5) for r in device.records if r.frame > 2)


def test_without_anything_to_see_nothing_but_the_beat_goes_up() -> None:
    quiet = run(GOOD, [0.0] * 100)
    assert quiet.agent.ledger.table().bytes_up == 0
    assert quiet.agent.session.counts["offered"] == 0


def test_the_share_that_is_tried_is_near_what_was_said_and_tells_what_the_filter_misses() -> None:
    draw = random.Random(5)
    there = frozenset(i for i in range(3000) if draw.random() < 0.1)
    device = run(GOOD, [0.0] * 3000, learn=0.1, there=there)
    tried = [r for r in device.records if r.learn]
    assert abs(len(tried) - 300) < 4 * (3000 * 0.1 * 0.9) ** 0.5
    assert all(r.outcome == "answered" and r.bytes_up > 0 for r in tried)
    table = device.agent.ledger.table()
    assert table.missed == sum(r.missed for r in device.records) == sum(r.frame in there for r in tried) > 0
    assert table.tried == len(tried)
    assert len(tried) + table.dropped["filter"] == 3000
    assert [r.frame for r in run(GOOD, [0.0] * 300, 0.1).records if r.learn] == [
        r.frame for r in run(GOOD, [0.0] * 300, 0.1).records if r.learn
    ], "drawn by the seed"


def test_what_is_tried_goes_up_even_where_frames_are_answered_here() -> None:
    slow = Link("slow", rate_up=6e4, rate_down=2e7, delay=0.005)  # a split takes 0.33 s of it: too long, so local answers
    device = run(slow, [1.0] * 40 + [0.0] * 60, learn=1.0, points=(LOCAL, SPLIT))
    assert all(r.mode == "local" for r in device.records if 20 < r.frame < 40)
    late = [r for r in device.records if r.learn]
    assert late and all(r.bytes_up > 0 or r.outcome != "answered" for r in late)


def test_with_no_server_nothing_is_tried() -> None:
    device = run(Link("dead", rate_up=0.0, rate_down=0.0), [0.0] * 50, learn=1.0)
    assert all(left_out(r) for r in device.records)


def test_a_budget_over_time_counts_what_passes_and_what_is_tried() -> None:
    """20 KB/s pays for 8 splits a second, not for 10: with half of the frames left out it does; not if all those are tried."""
    half = [1.0, 0.0] * 150
    most = 20_000
    free = run(GOOD, half, points=(LOCAL, SPLIT), budget=f"bytes_up<={most}B/s")
    assert {r.mode for r in free.records if half[r.frame] == 1.0 and r.frame > 100} == {"split"}
    tried = run(GOOD, half, learn=1.0, points=(LOCAL, SPLIT), budget=f"bytes_up<={most}B/s")
    settled = [r for r in tried.records if r.frame >= 100]
    assert sum(r.bytes_up for r in settled) / (len(settled) * INTERVAL) < 1.1 * most
    assert any(r.learn for r in settled) and any(r.mode == "local" for r in settled)


def test_a_filter_that_leaves_everything_out_does_not_look_like_models_that_hang() -> None:
    device = run(GOOD, [0.0] * 200)
    health = device.agent.health(device.world.now)
    assert (health.frames, health.failed) == (200, 0)
