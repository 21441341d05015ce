"""The steps of a device's update, each one transaction with its report: complete, spoilt, stuck, unfit, given up.

The updater says when; here is what follows from what lies on the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from edgewise.core.errors import InputError
from edgewise.core.release import FileEntry, Release
from edgewise.node.delivery.courier import Courier
from edgewise.node.delivery.slots import Goal, Slot, Slots
from edgewise.node.delivery.switch import Switch
from edgewise.node.delivery.ways import Way
from edgewise.node.delivery.words import Words
from edgewise.node.store.database import Database

Loadable = Callable[[Release], str | None]


class Steps:
    """`loadable` says why a version is unfit; `inline`: a delta is applied here, and not by the rim."""

    def __init__(
        self, database: Database, slots: Slots, words: Words, switch: Switch, courier: Courier, loadable: Loadable, inline: bool
    ) -> None:
        self._database, self._slots, self._words, self._switch, self._courier = database, slots, words, switch, courier
        self._loadable, self._inline = loadable, inline

    def go_on(self, goal: Goal, now: float) -> FileEntry | None:
        """Whatever can be done with what is here; a file that is another one, and must be asked for again later."""
        way = self._courier.way(goal)
        for entry in way.files:
            try:
                if not self._courier.close(entry):
                    return None
            except InputError as error:
                return entry if self.wrong(goal, way, entry, str(error), now) else None
        if way.base:
            self._apply(goal, way.base, now)
        if self._courier.whole(goal.release.files):
            self._complete(goal, now)
        return None

    def _apply(self, goal: Goal, base: str, now: float) -> None:
        work = self._courier.rebuild(goal, base) if self._inline else None
        if work is None:
            return
        try:
            self._courier.store(goal.release.files, work.run())
        except InputError as error:
            self.spoil(goal, base, str(error), now)

    def _complete(self, goal: Goal, now: float) -> None:
        release = goal.release
        sentence = self._loadable(release)
        if sentence is not None:
            self.unfit(goal, sentence, now)
            return
        with self._database.transaction():
            self._slots.aim(replace(goal, state="ready", sentence="", told=False))
            self._words.say("ready", release.name, release.version, goal.digest, now, sequence=goal.sequence)

    def wrong(self, goal: Goal, way: Way, entry: FileEntry, sentence: str, now: float) -> bool:
        """A file came whole and is another one, or has no end; whether the very same must be asked for again."""
        if way.base and entry == way.files[0]:
            self.spoil(goal, way.base, sentence, now)
            return False
        with self._database.transaction():
            self._slots.count("wrong file")
            self.stuck(goal, now, sentence)
        return True

    def spoil(self, goal: Goal, base: str, sentence: str, now: float) -> None:
        """A delta is no good: the next shortest way."""
        with self._database.transaction():
            self._slots.aim(replace(goal, spoilt=(*goal.spoilt, base), sentence=sentence, told=False))
            self._slots.count("delta given up")
            said = f"A delta is of no use, another way is taken: {sentence}"
            self._words.say("fetching", goal.release.name, goal.release.version, goal.digest, now, said, sequence=goal.sequence)

    def stuck(self, goal: Goal, now: float, sentence: str) -> None:
        """Tell the server once why a version does not come."""
        if not goal.told:
            self._slots.aim(replace(goal, sentence=sentence, told=True))
            release = goal.release
            self._words.say("fetching", release.name, release.version, goal.digest, now, sentence, sequence=goal.sequence)

    def unfit(self, goal: Goal, sentence: str, now: float) -> None:
        """A version that is all here does not load: for good, unless files of it are not what they were."""
        damaged = self._courier.damaged(goal.release.files)
        if not damaged:
            self._switch.bar(goal, now, sentence)
            return
        with self._database.transaction():
            self._slots.count("damaged")
            said = f"Damaged on the disk and fetched again: {', '.join(damaged)}. {sentence}"
            self.stuck(replace(goal, state="fetching", told=False), now, said)

    def give_up(self, slot: Slot, now: float, sentence: str) -> None:
        """The version in use cannot go on."""
        damaged = self._courier.damaged(slot.files)
        standby = self._slots.slot(slot.model, "standby")
        if standby is not None and self._courier.damaged(standby.files):
            standby = None
        said = f"{sentence} Damaged on the disk: {', '.join(damaged)}." if damaged else sentence
        self._switch.back(slot, standby, now, said, again=bool(damaged))
