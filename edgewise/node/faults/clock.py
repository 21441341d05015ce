"""Time of a schedule: one line of callbacks that every machine shares, and a wall clock of each machine's own that may lie.

Sessions and agents are told the time since the machine was switched on, which no fault touches (a monotonic clock). What is
signed, stored or judged by date is told the wall clock, and that one jumps. `Timeline` is `simulate.World` under a name that
leaves "world" to the whole simulation.
"""

from __future__ import annotations

from edgewise.node.simulate import World as Timeline

__all__ = ["DAY", "EPOCH", "Timeline", "WallClock"]

EPOCH = 1_800_000_000.0  # s since 1970: when a schedule begins
DAY = 86_400.0


class WallClock:
    """Seconds since 1970 as one machine believes them: the true time and what it is wrong by."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.wrong = 0.0

    @property
    def true(self) -> float:
        return EPOCH + self._timeline.now

    def now(self) -> float:
        return max(0.0, self.true + self.wrong)

    def jump(self, to: float) -> None:
        """The clock says `to` from now on, and runs on from there."""
        self.wrong = to - self.true

    def mend(self) -> None:
        """Right again (a time server was reached)."""
        self.wrong = 0.0
