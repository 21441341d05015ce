"""The local answer that stands by: a frame that went up and is not answered shortly before its deadline is answered here.

So a link that fails costs quality, never silence; with no server at all a device answers alone. Ours.

It knows when the local model has to start for a frame, and which frames wait for it; what becomes of those that it does not take
is the agent's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgewise.core.placement import OperatingPoint
from edgewise.node.open_frame import OpenFrame
from edgewise.node.uplink import MARGIN
from edgewise.plan.online import OnlinePolicy


class Insurance:
    """`local` is the point that answers here, whatever the budget says; None where the models have none.

    `insured` False: nothing stands by (a baseline).
    """

    def __init__(self, policy: OnlinePolicy, insured: bool) -> None:
        self.local: OperatingPoint | None = None
        self._policy, self._insured = policy, insured
        self._asked: list[int] = []  # frames, the first first
        self.adopt()

    def adopt(self) -> list[int]:
        """The policy has other points; frames that nobody answers here any more."""
        here = (p for p in self._policy.points.values() if p.mode == "local")
        self.local = max(here, key=lambda p: p.worth(), default=None)
        given_up, self._asked = ([], self._asked) if self.local is not None else (self._asked, [])
        return given_up

    def at(self, it: OpenFrame, remote: Iterable[str]) -> float:
        """The last moment at which the local model still makes the deadline, the worker perhaps busy for a `remote` point.

        Where an answer stands by already it takes no time.
        """
        if it.standby is not None:
            return it.deadline - MARGIN
        point = self._point()
        if point is None:
            return it.deadline
        other = max((self._policy.device_time(p) for p in remote), default=0.0)
        return it.deadline - 1.5 * self._policy.device_time(point.name) - other - MARGIN

    def ask(self, it: OpenFrame, now: float, why: str) -> None:
        """The link let this frame down: it is answered here, if there is time."""
        it.insured = True
        point = self._point()
        if point is not None and now + self._policy.device_time(point.name) <= it.deadline:
            it.why = f"{it.why}; {why}: answered here" if it.why else why
            self._asked.append(it.frame)

    def asked(self, frame: int) -> bool:
        """Whether a frame waits for the local model."""
        return frame in self._asked

    def next(self, frames: Mapping[int, OpenFrame]) -> OpenFrame | None:
        """The next of the open `frames` that waits for the local model, and then waits no more."""
        while self._asked:
            it = frames.get(self._asked.pop(0))
            if it is not None and self.local is not None:
                return it
        return None

    def _point(self) -> OperatingPoint | None:
        return self._policy.insurer() if self._insured else None
