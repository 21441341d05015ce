"""The parts of the wire benchmark measure what they say: real sockets under a small load, and arithmetic on known cases."""

from pathlib import Path

import numpy as np
import pytest

from bench import standin
from bench.agents import AgentsResult, Ended
from bench.fleet import FleetResult
from bench.footprint import weigh
from bench.load import Case, load, memory_slope, streams
from bench.processes import Child
from bench.restart import account
from bench.servers import EDGE, ServerJob
from edgewise.codec.tensor import TensorCodec
from edgewise.core.errors import LinkError
from edgewise.net.identity import issue, make_authority
from edgewise.node.tails import Tails


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("keys")
    make_authority(folder)
    issue(folder, EDGE, "edge")
    return str(folder)


@pytest.mark.parametrize(("kind", "rate"), [("echo", 0.0), ("edge", 0.0), ("edge", 100.0)])
def test_a_fleet_on_real_sockets_loses_no_frame(keys: str, kind: str, rate: float) -> None:
    case = load(ServerJob(kind, keys), devices=4, seconds=0.5, rate=rate, warm=0.1)  # type: ignore[arg-type]
    fleet = case.fleet
    assert fleet.sent == fleet.answered + fleet.refused + fleet.unanswered
    assert (fleet.refused, fleet.unanswered, fleet.lost, fleet.sentence) == (0, 0, 0, "")
    assert 0 < fleet.frames <= fleet.answered
    assert 0 < fleet.p50 <= fleet.p99
    assert case.cpu > 0


def test_the_stand_in_costs_nothing_but_is_decoded_as_the_real_thing() -> None:
    model = Tails([standin.bundle()])
    (stream,) = streams()
    assert model.accept(stream) is None
    frames = [(stream, memoryview(p)) for p in standin.payloads(3)]
    answered = model.run([*frames, (stream, memoryview(b"no tensor at all"))])
    assert [len(a.boxes) for a in answered[:3]] == [standin.VEHICLES] * 3  # type: ignore[union-attr]
    assert isinstance(answered[3], str)
    sizes = [len(p) for p in standin.payloads()]
    assert max(abs(s - standin.PAYLOAD) for s in sizes) < 0.02 * standin.PAYLOAD
    back = TensorCodec(standin.bottleneck(), standin.BITS).decode(standin.payloads(1)[0])
    assert np.abs(back - standin.features(0)).max() <= 0.5 * 8 / (2**standin.BITS - 1) + 1e-6


def test_a_leak_has_its_slope_and_a_flat_memory_none() -> None:
    times = [i * 0.5 for i in range(60)]
    leaking = tuple((t, 100e6 + 2000 * t) for t in times)
    warming = tuple((t, 100e6 + min(t, 10) * 1e6) for t in times)
    slope, low, high = memory_slope(case(leaking))
    assert low <= 2000 <= high
    assert slope == pytest.approx(2000, rel=1e-6)
    assert memory_slope(case(warming))[0] == pytest.approx(0, abs=1)


def case(memory: tuple[tuple[float, float], ...]) -> Case:
    return Case(FleetResult(30.0, 1, 1, 1, 0, 0, 0, 1e-3, 1e-3, 1e-3, 1e-3, 1.0, ""), 1.0, memory)


def test_the_gap_is_accounted_for_from_the_agents_own_records() -> None:
    ended = [
        Ended(9.9, "answered", "split", 0.01),
        Ended(10.5, "answered", "local", 0.02),
        Ended(11.0, "failed", "split", 0.2),
        Ended(12.5, "answered", "split", 0.01),
    ]
    result = AgentsResult(1.0, 4, 5, 3, 0, 1, {"a": [1.0, 12.3], "b": [1.0]}, {}, ended)
    it = account(result, ("a", "b"), killed=10.0, listening=12.0)
    assert it.reconnects == pytest.approx((0.3,))
    assert (it.missing, it.in_gap, it.alone) == (1, 2, 1)
    assert it.unaccounted == 2  # one frame has no end, in the sum and among the records


def test_tools_and_caches_weigh_nothing(tmp_path: Path) -> None:
    for name, size in (
        ("numpy/a.py", 10),
        ("numpy/__pycache__/a.pyc", 99),
        ("pip/b.py", 99),
        ("setuptools-80.dist-info/c", 99),
        ("one.py", 5),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert weigh(tmp_path) == (15, {"numpy": 10, "one.py": 5})


def test_a_child_that_fails_is_a_sentence_and_not_a_wait() -> None:
    one = Child("bench.servers", {"kind": "no such kind"})
    try:
        with pytest.raises(LinkError, match=r"process of the benchmark ended.*bench\.servers"):
            one.hear(dict, 30)
    finally:
        one.close()
    assert one.process.poll() is not None
