"""A machine: a disk that stays, a wall clock, and a process that comes and goes.

Whatever a process asked to be done later is done only while that same process lives. A power cut arrives from the disk, in the
middle of a write, and ends the process there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from edgewise.node.faults.clock import Timeline, WallClock
from edgewise.node.faults.invariants import Witness
from edgewise.node.faults.trace import Trace
from edgewise.node.store.simulated import PowerCut, SimulatedDisk


class Machine:
    """Give `start` and `stop`; `life` numbers the processes. Subclasses keep what dies with the process in `born`."""

    def __init__(self, name: str, timeline: Timeline, trace: Trace, draw: random.Random, witness: Witness) -> None:
        self.name, self.timeline, self.trace, self.draw, self.witness = name, timeline, trace, draw, witness
        self.clock = WallClock(timeline)
        self.disk = SimulatedDisk(draw)
        self.life = self.deaths = 0
        self.alive = False
        self.down_for = 1.0  # s until it is switched on again after the next power cut

    def say(self, what: str) -> None:
        self.trace.say(self.name, what)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do it after `seconds`, if this process still lives then."""
        self.at(self.timeline.now + seconds, call)

    def at(self, time: float, call: Callable[[], None]) -> None:
        life = self.life
        self.timeline.at(time, lambda: self.guarded(call, life))

    def guarded(self, call: Callable[[], None], life: int | None = None) -> None:
        """Run a piece of the process's work; power that goes meanwhile ends it."""
        if not self.alive or (life is not None and life != self.life):
            return
        try:
            call()
        except PowerCut:
            self.power_cut()
        except (
            Exception
        ) as error:  # the border of a process: what it does not catch ends it, and is a fault of the code under test
            self.witness.crashed(self.name, error)
            self.kill(again_after=1.0)

    def start(self) -> None:
        """Switch on: a new process on the disk as it is."""
        if self.alive:
            return
        self.life += 1
        self.alive = True
        self.say(f"starts (life {self.life})")
        self.guarded(self.born)

    def kill(self, again_after: float) -> None:
        """The process dies where it stands; the disk keeps what was written, synced or not."""
        if not self.alive:
            return
        self.say("is killed")
        self._end(cut=False, again_after=again_after)

    def power_cut(self) -> None:
        """Power is gone: what was not synced is lost or torn."""
        if not self.alive:
            return
        self.say("loses power")
        self._end(cut=True, again_after=self.down_for)

    def _end(self, cut: bool, again_after: float) -> None:
        self.alive = False
        self.deaths += 1
        self.died(cut)
        if cut:
            self.disk.cut()
        else:
            self.disk.kill()
        life = self.life
        self.timeline.at(self.timeline.now + again_after, lambda: self.start() if self.life == life else None)

    def born(self) -> None:
        """The process begins."""
        raise NotImplementedError

    def died(self, cut: bool) -> None:
        """The process is gone; unless power was cut, its system closes what it had open."""
        raise NotImplementedError
