"""A way's seconds and joules are those of the planner's model: lines, mixtures of what crosses and stays, boards as ratios."""

from __future__ import annotations

import pytest

from bench.rates.boards import ANCHORS, Effort, board
from bench.rates.timing import Size, Timed
from bench.rates.ways import ANSWER, Way, cost, line, link
from edgewise.core.wire import FRAME_HEADER, socket_bytes
from edgewise.plan.break_even import break_even
from edgewise.profiles.load import load_device
from edgewise.runtime.timing import Timing


def timed(seconds: float) -> Timed:
    return Timed(Timing(seconds, seconds, seconds, seconds, 1), Size(1, 1.0))


HERE = {name: timed(s) for name, s in zip(ANCHORS, (0.035, 0.046, 0.004), strict=True)}
SPLIT = Way("split", "split", 300.0, Effort(0.001, 0.002), Effort(0.003, 0.004))
PICTURE = Way("picture", "image", 1200.0, Effort(0.0, 0.0001), Effort(0.002, 0.0001))
LOCAL = Way("local", "local", 0.0, Effort(0.5))


def test_latency_is_seconds_of_both_sides_bits_over_the_rate_and_the_round_trip() -> None:
    this = board("this", {})
    carried = 8 * (socket_bytes(300 - FRAME_HEADER) + ANSWER)
    for rate in (50e3, 1e6):
        wanted = 0.010 + carried / rate + 0.030
        assert cost(SPLIT, this, this, link(rate, 0.030)).latency == pytest.approx(wanted)
        assert line(SPLIT, this, this, 0.030).latency(rate) == pytest.approx(wanted)
    assert cost(LOCAL, this, this, link(1e3, 9.0)).latency == 0.5, "what stays on the device knows no link"


def test_at_the_break_even_rate_two_ways_take_equally_long() -> None:
    this = board("this", {})
    even = break_even(line(SPLIT, this, this, 0.005), line(PICTURE, this, this, 0.005))
    assert even.rate is not None and even.above == "picture"
    at, above = (link(factor * even.rate, 0.005) for factor in (1.0, 1.5))
    assert cost(SPLIT, this, this, at).latency == pytest.approx(cost(PICTURE, this, this, at).latency)
    assert cost(SPLIT, this, this, above).latency > cost(PICTURE, this, this, above).latency


def test_a_way_that_crosses_for_some_pictures_is_between_crossing_and_staying() -> None:
    this, at = board("this", {}), link(1e5, 0.005)
    some = Way("exit", "split", 300.0, SPLIT.device, SPLIT.edge, crosses=0.25, stays=Effort(0.002))
    whole, alone = cost(SPLIT, this, this, at).latency, 0.002
    assert cost(some, this, this, at).latency == pytest.approx(0.25 * whole + 0.75 * alone)
    assert line(some, this, this, 0.005).latency(1e5) == pytest.approx(cost(some, this, this, at).latency)


@pytest.mark.parametrize(
    ("name", "model", "runtime"), [("pi4", "ResNet-50", "ArmNN"), ("agx_orin", "ResNet-50", "ONNX Runtime CPU")]
)
def test_an_anchor_takes_on_a_board_what_its_profile_quotes(name: str, model: str, runtime: str) -> None:
    here = board(name, HERE)
    middle, low, high = here.seconds(Effort(HERE[model].seconds.busy))
    assert middle == pytest.approx(load_device(name).run(model, runtime).latency.value)
    assert low <= middle <= high


def test_a_slower_host_makes_no_board_slower() -> None:
    twice = {name: timed(2 * one.seconds.busy) for name, one in HERE.items()}
    for name in ("pi4", "jetson_nano", "agx_orin", "rtx4090_pc"):
        a = board(name, HERE).seconds(Effort(0.035))[0]
        assert board(name, twice).seconds(Effort(0.070))[0] == pytest.approx(a)


def test_mean_power_lies_between_idle_and_active_with_the_radio_on() -> None:
    here, server = board("pi4", HERE), board("this", {})
    assert here.device.idle is not None and here.device.active is not None
    idle, active = here.device.idle.value, here.device.active.value
    alone = cost(LOCAL, here, server, link(1e6, 0.005))
    assert alone.power == pytest.approx(active)
    sent = cost(SPLIT, here, server, link(1e5, 0.5))
    assert sent.power is not None and idle < sent.power < active
    assert sent.energy == pytest.approx(sent.power * sent.latency)


def test_a_board_whose_idle_power_no_source_states_has_no_joules() -> None:
    found = cost(SPLIT, board("agx_orin", HERE), board("this", {}), link(1e6, 0.005))
    assert found.energy is None and found.power is None
