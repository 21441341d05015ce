"""News as a device hears it: each document judged by the verifier, and what the assignment names made a goal. One transaction.

The order is the trust, then the assignment, then the releases that it names; a document that is refused stops only what hangs on
it. Missed news needs no catching up: every news stands by itself, and the newest says all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from edgewise.core.errors import ConfigError, FrameError, IdentityError
from edgewise.core.release import Assignment, Release, Trust, document, unpack
from edgewise.net.signing import Verifier
from edgewise.node.delivery.courier import Courier
from edgewise.node.delivery.news import News, unpack_news
from edgewise.node.delivery.slots import Goal, Slots
from edgewise.node.delivery.switch import Switch
from edgewise.node.delivery.words import Words, digest
from edgewise.node.store.database import Database

_LAST = "last news"
Some = TypeVar("Some", Trust, Assignment)


class Hearing:
    """`largest` bounds the bytes of a version that this device takes."""

    def __init__(
        self, database: Database, verifier: Verifier, slots: Slots, words: Words, switch: Switch, courier: Courier, largest: int
    ) -> None:
        self._database, self._verifier, self._slots, self._words = database, verifier, slots, words
        self._switch, self._courier, self._largest = switch, courier, largest
        self.models: frozenset[str] | None = None  # those that this device runs; None: any

    def hear(self, payload: bytes, now: float) -> bool:
        """Take what is signed; whether all of it was. StoreError where it cannot be written, and then nothing of it was taken."""
        name = digest(payload)
        assigned = self._verifier.assigned
        mark = " ".join((name, *sorted(self.models or ()))).encode()
        if self._slots.fact(_LAST) == mark and assigned is not None and self._verifier.time(now) < assigned.expires:
            return True  # the same again, as after each reconnect
        with self._database.transaction():
            sound = self._take(payload, name, now)
            if sound:
                self._slots.note(_LAST, mark)
        return sound

    @property
    def sequence(self) -> int:
        assigned = self._verifier.assigned
        return assigned.sequence if assigned is not None else 0

    def _take(self, payload: bytes, name: str, now: float) -> bool:
        """Whether nothing was refused."""
        try:
            news = unpack_news(payload)
        except FrameError as error:
            self._refuse(name, "news", 1, now, str(error))
            return False
        sound = True
        if news.trust:
            sound = self._judged(news.trust, "trust", now, self._verifier.trust) is not None
        assignment = self._judged(news.assignment, "assignment", now, self._verifier.assignment)
        if assignment is None:
            return False
        sent = self._sent(news)
        named = {m: r for m, r in assignment.releases.items() if self.models is None or m in self.models}
        for model, release in sorted(named.items()):
            sound = self._name(assignment, model, release, sent.get(release), now) and sound
        for goal in self._slots.goals():
            if goal.release.name not in named and goal.state in ("fetching", "ready"):
                self._slots.drop(goal.release.name)  # on its way, and no longer wanted
        return sound

    def _name(self, assignment: Assignment, model: str, release: str, envelope: bytes | None, now: float) -> bool:
        """The assignment names a release: make it the goal, or say why not."""
        known = self._slots.goal(model)
        envelope = envelope or self._slots.envelope(release)
        try:
            if envelope is None:
                raise FrameError("the news does not bring a release that it assigns", got=release[:12])
            held = [slot.address for _, slot in self._slots.all() if slot.model == model]
            found = self._verifier.release(envelope, now, held)
            size = sum(entry.size for entry in found.files.values())
            if size > self._largest:
                raise FrameError(f"{model} {found.version} is too large here", got=f"{size} bytes", allowed=f"{self._largest}")
        except (IdentityError, FrameError) as error:
            if known is not None and known.digest == release and known.state in ("fetching", "ready"):
                self._slots.drop(model)
            self._refuse(release, model, _version(envelope), now, str(error))
            return False
        self._slots.keep(release, envelope)
        if known is not None and known.digest == release:
            self._again(known, assignment.sequence, model in assignment.kept, now)
        else:
            self._aim(Goal(found, release, assignment.sequence), model in assignment.kept, now)
        return True

    def _again(self, goal: Goal, sequence: int, kept: bool, now: float) -> None:
        """The same goal under a later number: a renewal, word that a trial is over, or a server that asks how it stands."""
        if goal.sequence == sequence:
            return
        model, version = goal.release.name, goal.release.version
        active = self._slots.slot(model, "active")
        self._slots.aim(replace(goal, sequence=sequence))
        if goal.state == "barred":
            said = f"It was given up here before: {goal.sentence}"
            self._words.say("failed", model, version, goal.digest, now, said, sequence=sequence)
        elif active is not None and active.digest == goal.digest and sequence > active.sequence:
            active = replace(active, sequence=sequence)
            if kept and not active.proved:
                self._switch.prove(active, now, None, "The server kept it.")
                return
            self._slots.fill("active", active)
            if active.proved:
                self._words.say("good", model, version, goal.digest, now, "It was in use already.", sequence=sequence)

    def _aim(self, goal: Goal, kept: bool, now: float) -> None:
        model, release = goal.release.name, goal.release
        active, standby = self._slots.slot(model, "active"), self._slots.slot(model, "standby")
        if active is not None and active.address == release.address:
            self._switch.same(goal, active, kept, now)
        elif standby is not None and standby.address == release.address and self._courier.whole(standby.files):
            self._slots.aim(replace(goal, state="ready"))
            self._words.say("ready", model, release.version, goal.digest, now, "It stands by.", sequence=goal.sequence)
        else:
            self._slots.aim(goal)
            way = self._courier.way(goal)
            sentence = f"{way.size} bytes in {len(way.files)} files."
            if way.base:
                sentence = f"{way.size} bytes, a delta to {way.base[:12]}."
            self._words.say("fetching", model, release.version, goal.digest, now, sentence, sequence=goal.sequence)

    def _judged(self, data: bytes, name: str, now: float, judge: Callable[[bytes, float], Some]) -> Some | None:
        try:
            return judge(data, now)
        except IdentityError as error:
            self._refuse(digest(data), name, 1, now, str(error))
            return None

    def _sent(self, news: News) -> dict[str, bytes]:
        """Releases by their digest, unverified; what is none is counted."""
        found = {}
        for data in news.releases:
            try:
                found[unpack(data).digest] = data
            except ConfigError:
                self._slots.count("refused")
        return found

    def _refuse(self, release: str, model: str, version: int, now: float, sentence: str) -> None:
        self._words.refuse(release, model, version, now, sentence, self.sequence)


def _version(envelope: bytes | None) -> int:
    """What a refused release says of itself, for the one who reads the report."""
    try:
        return document(unpack(envelope), Release).version if envelope is not None else 1
    except ConfigError:
        return 1
