"""Two hundred schedules of faults, and that a seed is one run whoever runs it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from edgewise.node.faults.report import outcomes, story, summary, until_broken
from edgewise.node.faults.schedule import schedule
from edgewise.node.faults.world import World

ROOT = Path(__file__).parents[3]
SCHEDULES = 200


@pytest.mark.timeout(600)
def test_two_hundred_schedules_keep_every_law() -> None:
    found = summary(outcomes(range(SCHEDULES), processes=2))
    assert found.well, f"look at one: edgewise faults --seed {found.failing[0]}; all: {found.failing}"
    assert found.schedules == found.converged == SCHEDULES
    assert found.lost == found.torn == found.double == 0
    assert found.items > 100 * SCHEDULES  # and something was at stake
    assert min(found.swaps, found.deaths, found.dropped, found.refused, found.faults) > SCHEDULES / 2


def test_a_seed_is_the_same_run_in_another_process_with_another_order_of_sets() -> None:
    seeds = (3, 24, 35)
    words = (
        "from edgewise.node.faults.world import World; from edgewise.node.faults.schedule import schedule;"
        f" print(*(World(schedule(s)).run().digest for s in {seeds}))"
    )
    here = [World(schedule(seed)).run().digest for seed in seeds]
    for order in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": order}
        done = subprocess.run(
            [sys.executable, "-c", words], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == here
    assert len(set(here)) == len(seeds)


def test_a_story_tells_the_plan_and_what_happened() -> None:
    outcome, plan, lines = story(24)
    assert not outcome.broken and outcome.lines == len(lines)
    assert plan.startswith("seed 24:") and "publisher: publish" in plan
    assert any("uses version" in line for line in lines)
    assert until_broken(outcome, lines) == lines[-60:]
    assert outcome.digest == World(schedule(24)).run().digest  # reading it changes nothing


def test_a_world_that_has_run_is_let_go() -> None:
    world = World(schedule(5))
    world.run()
    gone = [weakref.ref(machine.disk) for machine in world.machines.values()]
    del world
    gc.collect()
    assert all(disk() is None for disk in gone)
