"""Frames in layers: cut at their turn to what passes in time, decoded by the server however they were cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edgewise.apps.vision.bundles import find
from edgewise.codec.fitted import coding_for
from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.artifact import Coding
from edgewise.core.link import Link, Trace
from edgewise.core.placement import Decision, OperatingPoint, Quality
from edgewise.data.junction import Junction
from edgewise.meter.energy import EnergyModel
from edgewise.net.frame import HEADER_SIZE
from edgewise.node.edge import Edge
from edgewise.node.heads import Heads
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.node.tails import Tails
from edgewise.plan.online import OnlinePolicy, Situation
from edgewise.runtime.bundle import Bundle, bundle_files

ENDS = (600, 1_400, 2_600, 4_400, 7_000)
INTERVAL, DEADLINE = 0.1, 0.2
WORTH = {"all": Quality(0.9, 0.9, 0.9, 1)}
POINT = OperatingPoint("split", "split", "rans", 0, bytes_up=7_000.0, device_time=0.008, edge_time=0.006, quality=WORTH)


class Always(OnlinePolicy):
    """Sends whatever the link is like."""

    def decide(self, situation: Situation) -> Decision:
        return Decision("split", "always")


def run(link: Link, frames: int, whole: bool) -> list[FrameRecord]:
    """A device that sends every frame, in layers or `whole`, and has nothing that stands by."""
    world = World()
    server = SimulatedEdge(world, Edge(lambda s: None, lambda s: s.point), lambda r: 0.006)
    agent = camera("camera", (POINT,), Always((POINT,), INTERVAL), EnergyModel(2.0, 5.0), DEADLINE, insured=False)
    size = (lambda w: ENDS[-1]) if whole else (lambda w: ENDS)
    device = SimulatedDevice(world, server, agent, link, INTERVAL, frames, size=size, seconds=lambda w: 0.008)
    world.run(frames * INTERVAL + 2.0)
    agent.close(world.now, "stopped")
    assert agent.ledger.table().balanced
    assert agent.ledger.table().cut == sum(r.cut > 0 for r in [*device.records, *agent.records()])
    return device.records


def in_time(records: list[FrameRecord]) -> float:
    return sum(r.outcome == "answered" and not r.late for r in records) / len(records)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e5, 4e5, 2e6, 2e7]), min_size=1, max_size=6))
def test_what_a_record_says_of_layers_is_what_went(rates: list[float]) -> None:
    trace = Trace(tuple(2.0 * i for i in range(len(rates))), tuple(rates), 2.0 * len(rates))
    for r in run(Link("any", trace_up=trace, rate_down=2e7, delay=0.01), 60, whole=False):
        if r.bytes_up == 0:
            assert (r.layers, r.cut) == (0, 0)
        else:
            assert 1 <= r.layers <= 5 and r.layers + r.cut == 5
            assert r.bytes_up in (ENDS[r.layers - 1], ENDS[r.layers - 1] + HEADER_SIZE)


def test_a_quick_link_cuts_nothing_and_a_slow_one_what_does_not_fit() -> None:
    quick = run(Link("quick", rate_up=2e7, rate_down=2e7, delay=0.005), 60, whole=False)
    assert {r.layers for r in quick if r.frame > 5} == {5}
    slow = run(Link("slow", rate_up=1.2e5, rate_down=2e7, delay=0.005), 60, whole=False)
    settled = [r for r in slow if r.frame >= 20]
    assert {r.layers for r in settled if r.bytes_up} <= {1, 2, 3}
    assert in_time(settled) > 0.9


def test_on_a_link_that_steps_fewer_frames_in_layers_are_late_than_whole_ones() -> None:
    steps = Trace((0.0, 5.0, 10.0, 15.0), (2e6, 1.5e5, 5e6, 3e5), 20.0)
    link = Link("steps", trace_up=steps, rate_down=2e7, delay=0.01)
    layered, whole = run(link, 400, whole=False), run(link, 400, whole=True)
    assert in_time(layered) > in_time(whole) + 0.1


def test_the_policy_sends_no_less_over_a_faster_link_or_with_more_time() -> None:
    def layers(rate: float, left: float) -> int:
        policy = OnlinePolicy((POINT,), INTERVAL)
        for i in range(20):
            policy.link.observe(5_000, 40_000 / rate, i / 10)
        return policy.layers("split", ENDS, Situation(2.0, left, True))

    by_rate = [layers(rate, 0.15) for rate in (3e4, 1e5, 2e5, 4e5, 1e6, 5e6)]
    by_time = [layers(3e5, left) for left in (-0.1, 0.0, 0.03, 0.08, 0.2, 1.0)]
    for row in (by_rate, by_time):
        assert row[0] == 1 and row[-1] == 5
        assert all(a <= b for a, b in pairwise(row))


# The real coder, head and tail


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The shipped vehicles with a point in four layers, and the same with a byte guard."""
    plain = Bundle.open(find("vehicles"))
    heads, bottleneck = Heads(plain), plain.manifest.crossing
    scene = Junction(300)
    pictures = [scene.frame(i / 2)[0] for i in range(8)]
    part = plain.manifest.parts["head"]
    seen = [heads._parts.run("head", heads._parts.sample("head", p))[part.outputs[0].name] for p in pictures]
    order = np.argsort([-x.std() for x in np.moveaxis(np.concatenate(seen), 1, 0)]).tolist()
    coding = coding_for(bottleneck, seen, [16] * 8, order, layers=4)
    points = (POINT, replace(POINT, name="guarded"))
    codings: dict[str, Coding] = {"split": coding, "guarded": replace(coding, most=1_200)}
    manifest = replace(plain.manifest, points=(*plain.manifest.points, *points), codings=codings)
    files = bundle_files(find("vehicles"))
    by_hash = {part.sha256: files[part.file] for part in manifest.parts.values()}
    return Bundle.load(manifest.canonical, by_hash.__getitem__)


def frames(bundle: Bundle, point: str, count: int) -> list[tuple]:
    """Stream, payload and where it may be cut, of `count` pictures."""
    heads, scene = Heads(bundle), Junction(301)
    stream = next(s for s in heads.streams() if s.point == point)
    made = [heads.prepare(scene.frame(i / 2)[0], bundle.manifest.point(point)) for i in range(count)]
    return [(stream, memoryview(m.payload), m) for m in made]


def test_the_server_answers_a_frame_however_it_was_cut(bundle: Bundle) -> None:
    tails = Tails([bundle])
    ((stream, payload, made),) = frames(bundle, "split", 1)
    assert tails.accept(stream) is None
    assert len(made.ends) == 4 and made.ends[-1] == len(payload) and made.guarded == 0
    assert all(isinstance(a, Answer) for a in tails.run([(stream, payload[:end]) for end in made.ends]))
    (said,) = tails.run([(stream, payload[: made.ends[1] - 1])])
    assert isinstance(said, str), "cut elsewhere it is refused"


def test_a_broken_frame_of_a_batch_is_refused_alone_and_the_others_are_answered_as_by_themselves(bundle: Bundle) -> None:
    tails = Tails([bundle])
    made = [(s, p) for s, p, _ in frames(bundle, "split", 3)]
    affine = [(s, p) for s, p, _ in frames(bundle, "split-4", 2)]
    broken = bytearray(made[1][1])
    broken[len(broken) // 2] ^= 0x40
    together = tails.run([made[0], affine[0], (made[1][0], memoryview(bytes(broken))), made[2], affine[1]])
    assert isinstance(together[2], str)
    alone = [tails.run([frame])[0] for frame in (made[0], affine[0], made[2], affine[1])]
    for one, other in zip([together[i] for i in (0, 1, 3, 4)], alone, strict=True):
        assert isinstance(one, Answer) and isinstance(other, Answer)
        assert len(one.boxes) == len(other.boxes)
        for a, b in zip(one.boxes, other.boxes, strict=True):
            assert np.allclose([a.x0, a.y0, a.x1, a.y1, a.score], [b.x0, b.y0, b.x1, b.y1, b.score], atol=2e-3)


def test_a_guarded_frame_keeps_its_bound_and_says_what_it_left_out(bundle: Bundle) -> None:
    heads = Heads(bundle)
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    made = heads.prepare(noise, bundle.manifest.point("guarded"))
    assert len(made.payload) <= 1_200
    assert made.guarded == 4 - len(made.ends) > 0
    stream = next(s for s in heads.streams() if s.point == "guarded")
    assert isinstance(Tails([bundle]).run([(stream, memoryview(made.payload))])[0], Answer)
