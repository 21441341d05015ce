"""A short calibration gives a profile that can be kept, read back and asked."""

from itertools import islice

import msgspec
import numpy as np
import pytest

from edgewise.core.device import Device
from edgewise.graph.count import graph_of
from edgewise.graph.load import load
from edgewise.runtime.calibrate import UNIT, block_size, calibrate, unit_session, unit_work
from edgewise.runtime.probes import ROUND, probes
from edgewise.runtime.session import Session
from edgewise.runtime.timing import feeds_for, time_session


@pytest.fixture(scope="module")
def profile() -> Device:
    told: list[float] = []
    device = calibrate(0.5, lambda done, text: told.append(done))
    assert told == sorted(told)
    assert all(0 <= done <= 1 for done in told)
    return device


def test_the_profile_can_be_kept(profile: Device) -> None:
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Device) == profile
    assert profile.block in (1, 8, 16)
    assert profile.runs[0].model == UNIT
    assert profile.runs[0].latency.provenance == "measured"
    assert profile.runs[0].latency.value > 0


def test_every_cost_is_a_cost(profile: Device) -> None:
    known = {rate.operator for rate in profile.operators}
    assert {"session", "reduce", "vector product", "softmax"} <= known
    assert any(kind.startswith("pointwise") for kind in known)
    for rate in profile.operators:
        assert all(w >= 0 and np.isfinite(w) for w in rate.weights)
        assert rate.spread > 0
        assert rate.n > 0


def test_probes_are_the_same_for_a_seed_and_stay_below_the_limit() -> None:
    per_round = sum(times for _, times in ROUND)
    limit = 2e7
    first, again = (list(islice(probes(7, limit), per_round)) for _ in range(2))
    assert [m.SerializeToString() for m in first] == [m.SerializeToString() for m in again]
    for model in first:
        assert graph_of(load(model.SerializeToString())).flops / 2 <= 4 * limit


def test_the_unit_is_what_it_says() -> None:
    unit = unit_session()
    assert unit.run(feeds_for(unit))[unit.outputs[0].name].shape == (1, 64)
    timing = time_session(unit, 0.01)
    assert 0 < timing.low <= timing.busy <= timing.high
    assert timing.n >= 5
    assert unit_work() == 4 * 64 * 64 * 9 * 28 * 28


def test_feeds_fit_any_dtype() -> None:
    from tests.zoo import two_inputs

    session = Session.load(two_inputs().SerializeToString())
    assert set(feeds_for(session)) == {"picture", "mask"}
    assert session.run(feeds_for(session))
    assert block_size() in (1, 8, 16)
