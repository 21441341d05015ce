"""What goes wrong and when, from one seed: a pure function, so that a seed is a bug report.

A schedule has three parts. In the first, `trouble`, a publisher releases versions and rolls them out while a handful of faults
come and go. Then everything heals, and a quiet time follows in which all must come to rest. Each fault is one line of the
table KINDS: what it is called, how often it is drawn, whom it may befall and how long it lasts.

It does not know the disk's or the network's inner workings: `edgewise.node.faults.world` does to them what stands here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

SERVER = "server"
Bad = Literal["", "quality", "slow", "load", "crash"]
Deed = Literal["publish", "adopt", "rollout", "pause", "resume", "revert"]


class Sort(Struct, frozen=True):
    """A kind of fault: weight in the draw, whether it may befall the server, and the shortest and longest time it lasts (s)."""

    weight: float
    server: bool
    shortest: float = 0.0
    longest: float = 0.0


KINDS: dict[str, Sort] = {
    "kill": Sort(3, True, 0.1, 4.0),  # the process dies; what it had written is in the system's cache, and it starts again
    "power cut": Sort(2, True, 0.5, 5.0),  # what was not synced is lost or torn, sector by sector
    "torn write": Sort(3, True, 0.5, 5.0),  # power goes at one of the next writes
    "partition": Sort(2, True, 0.5, 15.0),  # nothing passes, either way
    "mute up": Sort(1, True, 0.5, 10.0),  # nothing passes to the server
    "mute down": Sort(1, True, 0.5, 10.0),  # nothing passes from the server
    "loss": Sort(1, True, 1.0, 8.0),  # a share of messages is lost within living connections
    "delay": Sort(1, True, 1.0, 8.0),
    "reorder": Sort(1, True, 1.0, 8.0),
    "duplicate": Sort(1, True, 1.0, 8.0),
    "corrupt": Sort(1, True, 1.0, 8.0),  # a share of messages and pieces of files has a flipped bit
    "disk full": Sort(2, True, 1.0, 12.0),
    "read-only": Sort(1, True, 1.0, 10.0),
    "clock 1970": Sort(1, True, 1.0, 20.0),
    "clock ahead": Sort(1, True, 1.0, 20.0),
    "clock back": Sort(1, True, 1.0, 20.0),
    "forged news": Sort(1, False),
    "replayed news": Sort(1, False),
}


class Fault(Struct, frozen=True):
    """From `at` for `seconds`, `kind` befalls `node`; `amount` in 0..1 says how badly, as the kind understands it."""

    at: float
    kind: str
    node: str
    seconds: float
    amount: float

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        return f"{self.at:8.3f}  {self.node}: {self.kind}{lasts} ({self.amount:.3f})"


class Act(Struct, frozen=True):
    """What the publisher does at `at`; `bad` says what is wrong with the version, `canary` and `window` how it goes out."""

    at: float
    deed: Deed
    version: int = 0
    bad: Bad = ""
    canary: float = 0.5
    window: float = 3.0

    def __str__(self) -> str:
        what = f" version {self.version}" if self.version else ""
        how = f", canary {self.canary:.0%}, window {self.window:.1f} s" if self.deed == "rollout" else ""
        return f"{self.at:8.3f}  publisher: {self.deed}{what}{f' (bad: {self.bad})' if self.bad else ''}{how}"


class Schedule(Struct, frozen=True):
    """Everything that a seed decides. Times in s from the beginning; trouble ends at `trouble`, the run at `trouble + quiet`."""

    seed: int
    devices: tuple[str, ...]
    trouble: float
    quiet: float
    faults: tuple[Fault, ...]
    acts: tuple[Act, ...]

    @property
    def until(self) -> float:
        return self.trouble + self.quiet

    def __str__(self) -> str:
        head = f"seed {self.seed}: {len(self.devices)} devices, trouble for {self.trouble:.1f} s, then {self.quiet:g} s of quiet"
        return "\n".join([head, *(f"  {it}" for it in sorted([*_events(self)], key=lambda event: event.at))])


def _events(plan: Schedule) -> Iterator[Fault | Act]:
    yield from plan.faults
    yield from plan.acts


QUIET = 90.0  # s: longer than every back-off, silence and window that the machines under test have


def schedule(seed: int) -> Schedule:
    """The schedule of `seed`.

    >>> schedule(7) == schedule(7), schedule(7) == schedule(8)
    (True, False)
    """
    draw = random.Random(f"edgewise schedule {seed}")
    devices = tuple(f"device-{i}" for i in range(1, draw.choice((2, 2, 3)) + 1))
    trouble = draw.uniform(15.0, 40.0)
    acts = _acts(draw, trouble)
    faults = tuple(sorted((_fault(draw, devices, trouble, acts) for _ in range(draw.randint(2, 8))), key=lambda f: f.at))
    return Schedule(seed, devices, trouble, QUIET, faults, acts)


def _fault(draw: random.Random, devices: tuple[str, ...], trouble: float, acts: tuple[Act, ...]) -> Fault:
    """Half of them come while a version is on its way: just before, or in the seconds after a rollout begins."""
    kind = draw.choices(list(KINDS), [k.weight for k in KINDS.values()])[0]
    sort = KINDS[kind]
    node = SERVER if sort.server and draw.random() < 0.3 else draw.choice(devices)
    at = draw.uniform(0.0, 0.95 * trouble)
    begun = [a.at for a in acts if a.deed == "rollout"]
    if draw.random() < 0.5 and begun:
        at = min(draw.choice(begun) + draw.uniform(-0.5, 3.0), 0.95 * trouble)
    seconds = min(draw.uniform(sort.shortest, sort.longest), trouble - at) if sort.longest else 0.0
    return Fault(at, kind, node, seconds, draw.random())


def _acts(draw: random.Random, trouble: float) -> tuple[Act, ...]:
    """One to three versions, each published and rolled out; now and then paused and resumed, or reverted."""
    acts: list[Act] = [Act(0.3, "publish", 1)]
    if draw.random() < 0.9:  # else only when the first rollout is refused for that
        acts.append(Act(0.4, "adopt", 1))
    count = draw.choice((1, 1, 2, 2, 3))
    wrong: tuple[Bad, ...] = ("", "", "", "", "quality", "slow", "load", "crash")
    bad = [draw.choice(wrong) for _ in range(count)]
    for i in range(count):
        at = draw.uniform(0.5, 0.9 * trouble * (i + 1) / count)
        version = i + 2
        acts.append(Act(at, "publish", version, bad[i]))
        begin = at + draw.uniform(0.1, 2.0)
        acts.append(Act(begin, "rollout", version, canary=draw.choice((0.1, 0.4, 0.7, 1.0)), window=draw.uniform(1.5, 5.0)))
        if draw.random() < 0.2:
            acts.append(Act(begin + draw.uniform(0.5, 4.0), "pause"))
            acts.append(Act(begin + draw.uniform(4.0, 8.0), "resume"))
        if draw.random() < 0.2:
            acts.append(Act(begin + draw.uniform(0.5, 10.0), "revert"))
    kept = [a for a in acts if a.at < trouble or a.deed == "resume"]
    return tuple(sorted(kept, key=lambda a: a.at))
