"""The A/B switch of a device: each move changes slots and goal and posts its report, in one transaction.

    forward    the version on its way comes into use, on trial; the last proved one stands by
    back       the version that stands by comes into use: as assigned, or because the one in use is no good
    proved     the trial is over, and there is no way back below the version's floor

Only a proved version stands by. A version that goes back without having been proved is given up: its files go, and it is not
tried again until the server has named another one in between (else a bad version would come and go for ever).
"""

from __future__ import annotations

from msgspec.structs import replace

from edgewise.core.errors import IdentityError
from edgewise.core.rollout import Health
from edgewise.net.signing import Verifier
from edgewise.node.delivery.slots import Goal, Slot, Slots
from edgewise.node.delivery.words import Words
from edgewise.node.store.database import Database


class Switch:
    """The moves."""

    def __init__(self, database: Database, slots: Slots, words: Words, verifier: Verifier) -> None:
        self._database, self._slots, self._words, self._verifier = database, slots, words, verifier

    def candidate(self, goal: Goal) -> Slot:
        """The slot that a goal will be: the one that stands by, where its bytes are the same; forward it is on trial again."""
        release = goal.release
        active, standby = self._slots.slot(release.name, "active"), self._slots.slot(release.name, "standby")
        if standby is not None and standby.address == release.address:
            back = active is None or release.version < active.version
            new = replace(standby, digest=goal.digest, version=release.version, sequence=goal.sequence)
            return replace(new, proved=new.proved and back, boots=0)
        return Slot(release.name, release.version, release.address, release.files, goal.digest, sequence=goal.sequence)

    def over(self, goal: Goal, now: float) -> Slot:
        """Bring a ready goal into use."""
        model = goal.release.name
        new = replace(self.candidate(goal), since=now)
        with self._database.transaction():
            active, standby = self._slots.slot(model, "active"), self._slots.slot(model, "standby")
            self._slots.fill("active", new)
            if active is not None and active.proved:
                self._slots.fill("standby", active)
            elif standby is not None and standby.address == new.address:
                self._slots.clear(model, "standby")
            self._slots.aim(replace(goal, state="reached", sentence="", told=False))
            if new.proved and active is not None:
                sentence = f"Version {active.version} made way for {new.version}, as assigned."
                self._tell("reverted", active, now, sentence, goal.sequence)
            elif new.proved:
                self._tell("good", new, now, "It was good here before.", goal.sequence)
            else:
                before = f", after version {active.version}" if active is not None else ""
                self._tell("trial", new, now, f"In use{before}.", goal.sequence)
        return new

    def same(self, goal: Goal, active: Slot, kept: bool, now: float) -> None:
        """The goal names the very bytes that are in use."""
        with self._database.transaction():
            if active.digest != goal.digest:
                active = replace(active, digest=goal.digest, version=goal.release.version)
            self._slots.aim(replace(goal, state="reached", sentence="", told=False))
            self._slots.fill("active", replace(active, sequence=goal.sequence))
            if active.proved:
                self._tell("good", active, now, "It was in use already.", goal.sequence)
            elif kept:
                self.prove(replace(active, sequence=goal.sequence), now, None, "The server kept it.")
            else:
                self._tell("trial", active, now, "It was in use already, on trial.", goal.sequence)

    def prove(self, slot: Slot, now: float, health: Health | None, sentence: str) -> None:
        """End a trial well."""
        with self._database.transaction():
            self._slots.fill("active", replace(slot, proved=True, boots=0))
            envelope = self._slots.envelope(slot.digest)
            if envelope is not None:
                try:
                    self._verifier.taken(envelope)
                except IdentityError:  # its key is trusted no more: such a key sets no floor
                    self._slots.count("floor not taken")
            self._tell("good", slot, now, sentence, slot.sequence, health)

    def back(
        self, active: Slot, standby: Slot | None, now: float, sentence: str, *, again: bool = False, health: Health | None = None
    ) -> None:
        """Give up the version in use for the one that stands by (None: for none); `again`: its files may be fetched anew."""
        model = active.model
        with self._database.transaction():
            goal = self._slots.goal(model)
            self._slots.clear(model, "active")
            self._slots.clear(model, "standby")
            if standby is not None:
                self._slots.fill("active", replace(standby, since=now))
            if goal is not None and goal.digest == active.digest:
                state, told = ("fetching", False) if again else ("barred", True)
                self._slots.aim(replace(goal, state=state, sentence=sentence, told=told))
            self._slots.count("went back")
            self._tell("reverted", active, now, sentence, active.sequence, health)

    def bar(self, goal: Goal, now: float, sentence: str) -> None:
        """A version that cannot be used here never comes into use."""
        with self._database.transaction():
            self._slots.aim(replace(goal, state="barred", sentence=sentence, told=True))
            self._slots.count("failed")
            release = goal.release
            self._words.say("failed", release.name, release.version, goal.digest, now, sentence, sequence=goal.sequence)

    def _tell(self, step: str, slot: Slot, now: float, sentence: str, sequence: int, health: Health | None = None) -> None:
        release = slot.digest or slot.address
        self._words.say(step, slot.model, slot.version, release, now, sentence, sequence=sequence, health=health)  # type: ignore[arg-type]
