"""The real agent, sessions and server on simulated links: every frame has one fate, and the insurance pays."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.link import Link, Trace
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.core.power import RADIOS
from edgewise.meter.energy import EnergyModel
from edgewise.node.edge import Edge
from edgewise.node.simulate import SimulatedDevice, SimulatedEdge, World, camera
from edgewise.plan.online import OnlinePolicy

INTERVAL, DEADLINE = 0.1, 0.2


def quality(value: float) -> dict[str, Quality]:
    return {"all": Quality(value, value, value, 1)}


POINTS = (
    OperatingPoint("local", "local", device_time=0.01, quality=quality(0.6)),
    OperatingPoint("split-4", "split", "affine", 4, bytes_up=2_500, device_time=0.008, edge_time=0.006, quality=quality(0.85)),
    OperatingPoint("jpeg-75", "image", "jpeg", 75, bytes_up=28_000, device_time=0.003, edge_time=0.01, quality=quality(0.9)),
)


def run(link: Link, frames: int, points: tuple[OperatingPoint, ...] = POINTS, devices: int = 1) -> list[SimulatedDevice]:
    world = World()
    server = SimulatedEdge(world, Edge(lambda s: None, lambda s: s.point), lambda r: 0.006 + 0.001 * len(r.items))
    made = []
    for i in range(devices):
        agent = camera(f"camera-{i}", points, OnlinePolicy(points, INTERVAL), EnergyModel(2.65, 5.6, RADIOS["lte"]), DEADLINE)
        made.append(
            SimulatedDevice(
                world,
                server,
                agent,
                link,
                INTERVAL,
                frames,
                size=lambda w: round(w.point.bytes_up),
                seconds=lambda w: 0.01 if w.task == "local" else w.point.device_time,
                seed=i,
            )
        )
    world.run(frames * INTERVAL + 2.0)
    for device in made:
        device.agent.close(world.now, "stopped")
        device.records.extend(device.agent.records())
    return made


RATES = st.lists(st.sampled_from([0.0, 3e4, 3e5, 1e6, 5e6, 2e7]), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(RATES, st.floats(0.001, 0.2), st.integers(1, 3))
def test_every_frame_has_one_fate_whatever_the_link_does(rates: list[float], delay: float, devices: int) -> None:
    trace = Trace(tuple(float(i) for i in range(len(rates))), tuple(rates), float(len(rates)))
    for device in run(Link("random", trace_up=trace, trace_down=trace, delay=delay), 60, devices=devices):
        assert sorted(r.frame for r in device.records) == list(range(60))
        table = device.agent.ledger.table()
        assert table.balanced
        assert Counter(r.outcome for r in device.records)["answered"] == table.answered


def test_with_no_link_at_all_the_device_answers_every_frame_alone() -> None:
    (device,) = run(Link("dead", rate_up=0.0, rate_down=0.0), 100)
    assert {(r.outcome, r.mode, r.late) for r in device.records} == {("answered", "local", False)}


def test_a_link_that_dies_costs_quality_but_no_frame() -> None:
    dies = Trace((0.0, 5.0), (2e7, 0.0), 1e6)
    (device,) = run(Link("dies", trace_up=dies, rate_down=2e7, delay=0.01), 150)
    assert all(r.outcome == "answered" and not r.late for r in device.records)
    assert {r.mode for r in device.records if 1.0 < r.captured < 4.9} == {"image"}
    assert {r.mode for r in device.records if r.captured > 5.5} == {"local"}


@pytest.mark.parametrize(("rate", "mode"), [(2e7, "image"), (1e6, "split"), (2e4, "local")])
def test_the_mode_follows_the_rate_of_the_link(rate: float, mode: str) -> None:
    (device,) = run(Link("steady", rate_up=rate, rate_down=2e7, delay=0.005), 200)
    settled = [r for r in device.records if r.frame >= 20]
    assert Counter(r.mode for r in settled).most_common(1)[0][0] == mode
    assert sum(r.outcome == "answered" and not r.late for r in settled) / len(settled) > 0.98


def test_a_better_link_is_noticed_while_answering_alone() -> None:
    better = Trace((0.0, 5.0), (2e4, 2e7), 1e6)
    (device,) = run(Link("better", trace_up=better, rate_down=2e7, delay=0.005), 150)
    assert {r.mode for r in device.records if r.captured > 7.0} == {"image"}


def test_without_a_local_model_a_failure_is_a_failure_with_a_reason() -> None:
    (device,) = run(Link("dead", rate_up=0.0, rate_down=2e7), 50, points=POINTS[1:])
    assert all(r.outcome != "answered" and r.reason for r in device.records)


def test_devices_share_runs_of_the_tail() -> None:
    devices = run(Link("good", rate_up=2e7, rate_down=2e7, delay=0.002), 50, devices=6)
    assert all(r.outcome == "answered" for d in devices for r in d.records)
