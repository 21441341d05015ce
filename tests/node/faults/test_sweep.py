"""A power cut at some writes of an update; `./dev bench faults` does it at every one."""

from __future__ import annotations

import pytest

from edgewise.node.faults import sweep
from edgewise.node.faults.publisher import Publisher
from edgewise.node.faults.world import World


def test_the_update_is_one_by_files_and_one_by_a_delta() -> None:
    publisher = Publisher(sweep.SEED)
    assert [len(publisher.make(version, "").release.routes) for version in (2, 3)] == [0, 1]
    outcome = World(sweep.plan()).run()
    assert outcome.swaps == 2 and not outcome.broken and not outcome.deaths


@pytest.mark.parametrize("machine", [sweep.DEVICE, sweep.SERVER])
def test_a_power_cut_leaves_the_old_version_or_the_new(machine: str) -> None:
    count = sweep.operations(machine)
    assert count > 100
    for n in range(1, count + 1, count // 12):
        outcome = sweep.cut_at(n, machine)
        assert outcome.deaths == 1, f"operation {n} of {count} was never reached"
        assert not outcome.broken, (n, outcome.broken)
