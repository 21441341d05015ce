"""The person of a schedule: publishes versions, begins rollouts, pauses, resumes, reverts, and tries again what failed.

What the server refuses with a sentence is refused: a person reads it and goes on. What fails for a server that is not there, dies
meanwhile, or whose disk takes nothing, is tried again, as a person would.
"""

from __future__ import annotations

from edgewise.core.errors import ConfigError, EdgewiseError, StoreError
from edgewise.core.rollout import Plan
from edgewise.node.delivery.guard import parse
from edgewise.node.faults.clock import Timeline
from edgewise.node.faults.publisher import CHANNEL, Publisher
from edgewise.node.faults.schedule import Act
from edgewise.node.faults.server import Server
from edgewise.node.faults.trace import Trace

GUARD = parse("quality>-2pt p95<120ms failed<40%")
AGAIN = 1.0  # s
PATIENCE = 20.0  # s for which a rollout waits until the one before is over
NAME = "operator"


class Operator:
    """`until` is when nothing is tried again any more (s)."""

    def __init__(self, timeline: Timeline, trace: Trace, publisher: Publisher, server: Server, until: float) -> None:
        self.refused = 0
        self._timeline, self._trace, self._publisher, self._server = timeline, trace, publisher, server
        self._until = until

    def do(self, act: Act) -> None:
        """Do it as soon as it can be done."""
        done: list[bool] = []
        self._server.guarded(lambda: done.append(self._try(act)))
        if done != [True] and self._timeline.now + AGAIN < self._until:
            self._timeline.at(self._timeline.now + AGAIN, lambda: self.do(act))

    def _try(self, act: Act) -> bool:
        """Whether it need not be tried again."""
        try:
            self._act(act)
        except StoreError as error:
            self._trace.say(NAME, f"could not {act.deed}: {error.what}")
            return False
        except EdgewiseError as error:
            self.refused += 1
            self._trace.say(NAME, f"may not {act.deed}: {error}")
            return not (act.deed == "rollout" and self._timeline.now < act.at + PATIENCE) or self._began(act)
        self._trace.say(NAME, f"did {act.deed} {act.version or ''}".strip())
        return True

    def _act(self, act: Act) -> None:
        rollouts, now = self._server.rollouts, self._server.clock.now()
        if act.deed == "pause":
            rollouts.pause(CHANNEL, NAME, now)
        elif act.deed == "resume":
            rollouts.resume(CHANNEL, NAME, now)
        elif act.deed == "revert":
            rollouts.revert(CHANNEL, NAME, now)
        else:
            self._about(act, now)

    def _began(self, act: Act) -> bool:
        """Whether the rollout is there: the server died after it had begun it, and before it could say so."""
        version = self._publisher.numbers[act.version]
        return any(rollout.plan.release == version.digest for rollout in self._server.rollouts.rollouts(CHANNEL))

    def _about(self, act: Act, now: float) -> None:
        """What has to do with one version."""
        version, rollouts = self._publisher.numbers.get(act.version), self._server.rollouts
        if version is None:
            version = self._publisher.make(act.version, act.bad)
        if act.deed == "publish":
            for data in version.blobs.values():
                self._server.blobs.put(data)
            rollouts.publish(version.envelope, NAME, now)
        elif act.deed == "adopt":
            rollouts.adopt(CHANNEL, version.digest, NAME, now)
        else:
            plan = Plan(CHANNEL, version.digest, act.canary, act.window, GUARD)
            try:
                rollouts.start(plan, NAME, now)
            except ConfigError as error:
                if "no way back" not in error.what:
                    raise
                rollouts.adopt(CHANNEL, self._publisher.numbers[1].digest, NAME, now)  # as the sentence says
                rollouts.start(plan, NAME, now)
