"""Power goes at every single write of an update, one run for each: what is in use afterwards is the old version or the new.

The plan is quiet but for that: one device is given a version by its files and then one by a delta, both are tried and kept. A
first run counts the operations that change the disk of one machine from the first rollout until all is at rest; the n-th run
cuts the power at the n-th of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgewise.node.faults.report import Outcome
from edgewise.node.faults.schedule import SERVER, Act, Schedule
from edgewise.node.faults.world import World

BEGIN, REST = 2.0, 12.0  # s: from where to where operations are counted
DEVICE = "device-1"
SEED = 16  # its version 2 comes by its files, and its version 3 by a delta
DOWN = 1.0  # s without power


def plan() -> Schedule:
    """Version 2 at 2 s and version 3 at 7 s, each by all nodes at once, with a window of a second."""
    acts = [Act(0.3, "publish", 1), Act(0.4, "adopt", 1)]
    for version, at in ((2, BEGIN), (3, 7.0)):
        acts += [Act(at, "publish", version), Act(at + 0.1, "rollout", version, canary=1.0, window=1.0)]
    return Schedule(SEED, (DEVICE,), REST, 30.0, (), tuple(acts))


def operations(machine: str = DEVICE) -> int:
    """How many operations change the disk of `machine` (DEVICE or SERVER) during the update."""
    world = World(plan())
    seen: list[int] = []
    for time in (BEGIN, REST):
        world.timeline.at(time, lambda: seen.append(world.machines[machine].disk.operations))
    world.run()
    return seen[1] - seen[0]


def cut_at(n: int, machine: str = DEVICE) -> Outcome:
    """Power goes at operation `n` of the update (1 is the first)."""
    world = World(plan())
    world.machines[machine].down_for = DOWN
    world.timeline.at(BEGIN, lambda: world.machines[machine].disk.cut_at(n))
    return world.run()


def sweep(machine: str = DEVICE, every: int = 1, most: int | None = None) -> Iterator[Outcome]:
    """An outcome for each `every`-th operation."""
    count = operations(machine)
    for n in range(1, (count if most is None else min(count, most)) + 1, every):
        yield cut_at(n, machine)


__all__ = ["DEVICE", "SERVER", "cut_at", "operations", "plan", "sweep"]
