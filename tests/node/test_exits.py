"""An early exit in the frame path: what it is sure of costs no byte, the rest goes as a split, and the sums hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.codec.select import codec_for
from edgewise.core.cost import Budget
from edgewise.core.errors import ModelError
from edgewise.core.link import Link, Trace
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.core.wire import FRAME_HEADER
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.heads import Heads
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.node.tails import Tails
from edgewise.plan.online import OnlinePolicy
from edgewise.runtime.bundle import Bundle
from tests.small_bundles import COLOURS, painted, shades

INTERVAL, DEADLINE = 0.1, 0.2


def worth(value: float) -> dict[str, Quality]:
    return {"all": Quality(value, value, value, 1)}


LOCAL = OperatingPoint("local", "local", device_time=0.01, quality=worth(0.6))
SPLIT = OperatingPoint("split", "split", "rans", 0, bytes_up=2_500, device_time=0.008, edge_time=0.006, quality=worth(0.85))
EXIT = OperatingPoint("exit", "exit", "rans", 0, 2_500, 0.0, 0.008, 0.006, worth(0.84), left=0.5)
GOOD = Link("good", rate_up=2e7, rate_down=2e7, delay=0.005)
DEAD = Link("dead", rate_up=0.0, rate_down=0.0)
RATES = st.lists(st.sampled_from([0.0, 3e5, 5e6]), min_size=1, max_size=5)


def run(link: Link, sure: list[bool], points: tuple[OperatingPoint, ...] = (EXIT,), budget: str = "") -> SimulatedDevice:
    world = World()
    server = SimulatedEdge(world, Edge(lambda s: None, lambda s: s.point), lambda r: 0.006)
    policy = OnlinePolicy(points, INTERVAL, Budget.parse(budget), seed=1)
    agent = camera("camera", points, policy, EnergyModel(2.0, 5.0), DEADLINE)
    device = SimulatedDevice(
        world,
        server,
        agent,
        link,
        INTERVAL,
        len(sure),
        size=lambda w: round(w.point.bytes_up),
        seconds=lambda w: w.point.device_time,
        sure=lambda frame: sure[frame],
    )
    world.run(len(sure) * INTERVAL + 2.0)
    agent.close(world.now, "stopped")
    device.records.extend(agent.records())
    return device


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=50), RATES, st.sampled_from([(EXIT,), (EXIT, LOCAL), (EXIT, SPLIT, LOCAL)]))
def test_the_books_close_whatever_exit_and_link_do(
    sure: list[bool], rates: list[float], points: tuple[OperatingPoint, ...]
) -> None:
    trace = Trace(tuple(float(i) for i in range(len(rates))), tuple(rates), float(len(rates)))
    device = run(Link("random", trace_up=trace, rate_down=2e7, delay=0.01), sure, points)
    table = device.agent.ledger.table()
    assert sorted(r.frame for r in device.records) == list(range(len(sure)))
    assert table.balanced
    for r in device.records:
        if r.mode == "exit" and r.outcome == "answered":
            assert sure[r.frame] and r.point == "exit" and "the exit is sure" in r.why
            assert r.bytes_up == 0 and "link" not in r.parts and r.energy > 0
        if r.point == "exit" and r.bytes_up:
            assert not sure[r.frame] and r.mode == "split"


def test_what_is_sure_stays_and_the_rest_goes() -> None:
    sure = [i % 3 > 0 for i in range(90)]
    records = run(GOOD, sure).records[3:]
    assert {r.outcome for r in records} == {"answered"}
    assert all((r.mode == "exit") == sure[r.frame] for r in records)


def test_without_a_server_what_is_sure_is_answered_all_the_same() -> None:
    sure = [i % 2 > 0 for i in range(60)]
    records = run(DEAD, sure).records
    assert all((r.outcome == "answered") == sure[r.frame] for r in records)


def test_the_share_that_goes_is_learned_and_a_budget_over_time_counts_it() -> None:
    """20 KB/s pay for 8 frames of 2.5 KB a second. Of 10 all go at first; later one in five."""
    sure = [False] * 60 + [i % 5 > 0 for i in range(140)]
    device = run(GOOD, sure, (EXIT, LOCAL), "bytes_up<=20000B/s")
    assert any(r.mode == "local" for r in device.records[30:60])
    assert {r.mode for r in device.records[-40:]} == {"exit", "split"}
    assert device.agent.policy.cost("exit").bytes_up == pytest.approx(0.2 * (2_500 + FRAME_HEADER), rel=0.5)


def test_a_link_too_slow_for_a_frame_prefers_the_exit_to_the_split() -> None:
    slow = Link("slow", rate_up=6e4, rate_down=2e7, delay=0.005)  # 0.33 s for a frame
    policy = OnlinePolicy((EXIT, SPLIT), INTERVAL)
    assert policy.cost("exit", 6e4).latency < policy.cost("split", 6e4).latency  # type: ignore[operator]
    records = run(slow, [True] * 40, (EXIT, SPLIT)).records
    assert all(r.mode == "exit" for r in records[10:])


def test_bytes_and_latency_of_the_point_are_means() -> None:
    assert EXIT.frame_up == 0.5 * (2_500 + FRAME_HEADER) and SPLIT.frame_up == 2_500 + FRAME_HEADER and LOCAL.frame_up == 0
    here, there = EXIT.latency(1e12, 1e12), SPLIT.latency(1e12, 1e12, delay=0.1)
    assert EXIT.latency(1e12, 1e12, delay=0.1) == pytest.approx((here - 0.003) * 0.5 + there * 0.5 + 0.0015, abs=5e-3)


@pytest.fixture(scope="module")
def shaded(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("shades")
    shades(folder)
    return Bundle.open(folder / "exit")


def test_head_and_tail_say_the_same_with_an_exit_between(shaded: Bundle) -> None:
    heads, tails = Heads(shaded), Tails([shaded])
    heads.warm()
    streams = {s.point: s for s in heads.streams()}
    assert set(streams) == {"split", "jpeg-90", "exit"}
    assert [tails.accept(s) for s in streams.values()] == [None] * 3
    points = {p.name: p for p in shaded.manifest.points}
    for colour in range(3):
        for value, sure in ((250, True), (120, False)):
            picture = painted(colour, value)
            tried = heads.attempt(picture)
            assert tried.sure == sure and tried.answer.classes[0].label == COLOURS[colour]
            assert tried.doubt == pytest.approx(1 - value / 255, abs=0.01)
            on, off = (heads.prepare(picture, points["exit"], given) for given in (tried, None))
            assert on.payload == off.payload == heads.prepare(picture, points["split"]).payload
            assert "exit" in off.parts and "exit" not in on.parts
            (far,) = tails.run([(streams["exit"], memoryview(on.payload))])
            assert far.classes[0].label == COLOURS[colour]  # type: ignore[union-attr]
            codec = codec_for(points["jpeg-90"], shaded.manifest)
            (seen,) = tails.run([(streams["jpeg-90"], memoryview(codec.encode(picture)))])
            assert seen.classes[0].label == COLOURS[colour]  # type: ignore[union-attr]


def test_an_exit_that_gives_no_number_is_never_sure(shaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = Heads(shaded)
    run = heads._parts.run

    def broken(part, batch):  # type: ignore[no-untyped-def]
        return {n: np.full_like(v, np.nan) if n == "scores" else v for n, v in run(part, batch).items()}

    monkeypatch.setattr(heads._parts, "run", broken)
    assert not heads.attempt(painted(0, 250)).sure


def test_a_bundle_without_an_exit_has_none_to_ask(shaded: Bundle, tmp_path: Path) -> None:
    shades(tmp_path)
    with pytest.raises(ModelError, match="no exit"):
        Heads(Bundle.open(tmp_path / "plain")).attempt(painted(0, 250))
