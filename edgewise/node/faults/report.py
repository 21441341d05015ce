"""What came of schedules: an Outcome of each, a Summary of many, and the story of one that went against a law.

The story of a broken schedule is the schedule, what broke first, and what happened up to then: `edgewise faults --seed N`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.node.faults.invariants import LAWS, Broken
from edgewise.node.faults.schedule import schedule

CHUNK = 10  # schedules that a process is given at once
EMPTIED = 8  # worlds between two collections
STORY = 60  # lines before the break that a person reads first


class Outcome(Struct, frozen=True):
    """One schedule: what broke (nothing, if all is well), the hash of its trace, and how much happened in it."""

    seed: int
    broken: tuple[Broken, ...]
    digest: str
    lines: int
    items: int = 0
    effects: int = 0
    frames: int = 0
    swaps: int = 0
    deaths: int = 0
    dropped: int = 0
    refused: int = 0
    faults: int = 0
    seconds: float = 0.0  # of virtual time


class Summary(Struct, frozen=True):
    """Many schedules. `lost`, `torn` and `double` count breaches of these laws, `converged` the schedules that came to rest.

    `failing` are the seeds to look at. The other figures say that something was tried at all.
    """

    schedules: int
    lost: int
    torn: int
    double: int
    converged: int
    failing: tuple[int, ...]
    items: int
    effects: int
    frames: int
    swaps: int
    deaths: int
    dropped: int
    refused: int
    faults: int
    virtual_seconds: float

    @property
    def well(self) -> bool:
        return not self.failing


def summary(outcomes: Iterable[Outcome]) -> Summary:
    """The sums, with failing seeds in order."""
    them = list(outcomes)
    laws = {law: sum(b.law == law for o in them for b in o.broken) for law in LAWS}
    return Summary(
        schedules=len(them),
        lost=laws["lost"],
        torn=laws["torn"],
        double=laws["double"],
        converged=sum(all(b.law != "converged" for b in o.broken) for o in them),
        failing=tuple(sorted(o.seed for o in them if o.broken)),
        items=sum(o.items for o in them),
        effects=sum(o.effects for o in them),
        frames=sum(o.frames for o in them),
        swaps=sum(o.swaps for o in them),
        deaths=sum(o.deaths for o in them),
        dropped=sum(o.dropped for o in them),
        refused=sum(o.refused for o in them),
        faults=sum(o.faults for o in them),
        virtual_seconds=round(sum(o.seconds for o in them), 1),
    )


def outcomes(seeds: Sequence[int], processes: int = 1) -> Iterator[Outcome]:
    """Run the schedules of `seeds`, in their order, in this process or in several."""
    if processes < 1:
        raise ConfigError("schedules need a process", got=processes, allowed="1 or more")
    chunks = [tuple(seeds[i : i + CHUNK]) for i in range(0, len(seeds), CHUNK)]
    if processes == 1 or len(chunks) == 1:
        for seed in seeds:
            yield _run(seed)
        return
    with ProcessPoolExecutor(min(processes, len(chunks)), get_context("spawn")) as pool:
        for done in pool.map(_chunk, chunks):
            yield from done


def _chunk(seeds: tuple[int, ...]) -> list[Outcome]:
    return [_run(seed) for seed in seeds]


def _run(seed: int) -> Outcome:
    from edgewise.node.faults.world import World

    outcome = World(schedule(seed)).run()
    if seed % EMPTIED == 0:
        gc.collect()  # a world is one large knot of references, and bytes are not what the collector counts
    return outcome


def story(seed: int) -> tuple[Outcome, str, list[str]]:
    """Run `seed` and tell it: its outcome, the schedule as text, and every line of its trace."""
    from edgewise.node.faults.world import World

    world = World(schedule(seed), keep=True)
    outcome = world.run()
    return outcome, str(world.schedule), world.trace.lines


def until_broken(outcome: Outcome, lines: Sequence[str], most: int = STORY) -> list[str]:
    """The last lines up to the first break; the end of the trace where nothing broke."""
    if not outcome.broken:
        return list(lines[-most:])
    at = next(i for i, line in enumerate(lines) if line[11:].startswith("witness"))
    return list(lines[max(0, at + 1 - most) : at + 1])
