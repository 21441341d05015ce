"""The device's side of delivery, without I/O: signed news in, a verified version in use, every step reported once.

    news ─ verified ─► fetching ─ every file here ─► ready ─ swapped ─► trial ─ kept, or outlived ─► good
                          ▲ delta no good: whole files   │                │
                          └──────────────────────────────┘ does not load: failed      no good: reverted, the one before runs

State is in the database and the blobs alone, and each step is one transaction that holds its report: a process that ends between
any two calls, or a power cut at any write, goes on from the last step, and what is in use is always a whole signed version.

What goes wrong with the disk never leaves a method: it is a sentence (`trouble`), told to the server when there is room, and
tried again after a pause, while the version in use goes on. `wake` says when to call `tick`.

It does not know sockets or models: the rim fetches what `fetches` names, loads what `swap_due` gives, and says how it went.
Models that must change together belong in one artifact: each model of an assignment is brought in by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.errors import InputError, StoreError
from edgewise.core.rollout import Health
from edgewise.net.signing import Verifier
from edgewise.node.delivery import given, trial
from edgewise.node.delivery.courier import Build, Courier, Files, Rebuild
from edgewise.node.delivery.hearing import Hearing
from edgewise.node.delivery.slots import Goal, Slot, Slots
from edgewise.node.delivery.steps import Loadable, Steps
from edgewise.node.delivery.switch import Switch
from edgewise.node.delivery.trial import BOUNDS, Bounds
from edgewise.node.delivery.ways import AT_ONCE, LARGEST, SPARE, Fetch, Way
from edgewise.node.delivery.words import Words
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.database import Database
from edgewise.node.store.outbox import Outbox

JUMP = 1.0  # s
DOUBTED = 4  # refused news that are judged again once the clock was set back
STUBBORN = 4  # failures of a delta in a row, after which a whole file is tried beside it


class Status(Struct, frozen=True):
    """For a person: slots and goals, why it does not go on (`trouble`), whether the assignment has ended (`stale`), counts."""

    running: tuple[Slot, ...]
    standby: tuple[Slot, ...]
    goals: tuple[Goal, ...]
    trouble: str
    stale: str
    counts: dict[str, int]


class Updater:
    """Of `node`. `build` applies a delta; `loadable` says in a sentence why a version whose files are here is unfit (None: fit).

    With `inline=False` the rim does the work of a delta: it runs what `rebuild_due` gives in a thread and calls `rebuilt`.
    """

    def __init__(
        self,
        node: str,
        store: Database,
        blobs: Blobs,
        verifier: Verifier,
        outbox: Outbox,
        build: Build,
        loadable: Loadable = lambda release: None,
        *,
        bounds: Bounds = BOUNDS,
        largest: int = LARGEST,
        inline: bool = True,
    ) -> None:
        self.node = node
        self._database, self._verifier, self._bounds = store, verifier, bounds
        self._slots = Slots(store)
        self._words = Words(node, self._slots, outbox)
        self._switch = Switch(store, self._slots, self._words, verifier)
        self._courier = Courier(self._slots, blobs, build)
        self._hearing = Hearing(store, verifier, self._slots, self._words, self._switch, self._courier, largest)
        self._models: frozenset[str] | None = None
        self._steps = Steps(store, self._slots, self._words, self._switch, self._courier, loadable, inline)
        self._trouble = self._link = self._room = ""  # with the disk, with the server, for want of room
        self._outbox = outbox
        self._news: deque[bytes] = deque(maxlen=DOUBTED)  # to be judged: the disk would take nothing, or the clock was wrong
        self._doubted: deque[bytes] = deque(maxlen=DOUBTED)
        self._now = self._pause = 0.0
        self._failures: dict[str, int] = {}
        self._disk_failures = 0
        self._health: dict[str, Health] = {}
        self._offered: tuple[str, str] | None = None  # model and address that the rim was given to load
        self._in_use = self._actives()

    # What the rim asks

    @property
    def running(self) -> Slot | None:
        """The version to use of the only model here (the first by name, where there are several); None: there is none."""
        return next((slot for place, slot in self._slots.all() if place == "active" and self._ours(slot.model)), None)

    def runs(self, *models: str) -> None:
        """What the rim can use: other models of an assignment are nothing to this device. Until it is said, all are taken."""
        self._models = self._hearing.models = frozenset(models)

    def active(self, model: str) -> Slot | None:
        return self._slots.slot(model, "active")

    def fetches(self) -> list[Fetch]:
        """What to ask the server for now; the same again until pieces came or failed."""
        if self._now < self._pause:
            return []
        found: dict[str, Fetch] = {}
        for goal in self._fetching():
            way = self._courier.way(goal)
            if self._short(goal, way):
                continue
            files = way.files
            if way.base and self._failures.get(files[0].sha256, 0) >= STUBBORN:
                files = (*files, *self._courier.beside(goal))
            found |= {fetch.sha256: fetch for fetch in self._courier.open(files)}
        return list(found.values())[:AT_ONCE]

    def rebuild_due(self) -> Rebuild | None:
        """The work of a delta that is here, where the rim does it."""
        if self._now < self._pause:
            return None
        for goal in self._fetching():
            way = self._courier.way(goal)
            if way.base and not self._courier.open(way.files) and not self._short(goal, way):
                return self._courier.rebuild(goal, way.base)
        return None

    def swap_due(self) -> Slot | None:
        """The version to load and warm, and then to bring into use by `swapped`; the same again until then."""
        for place, slot in self._slots.all():
            if place == "active" and self._ours(slot.model) and self._in_use.get(slot.model, slot.address) != slot.address:
                self._offered = (slot.model, slot.address)
                return slot
        for goal in self._slots.goals():
            if goal.state == "ready" and self._ours(goal.release.name):
                self._offered = (goal.release.name, goal.release.address)
                return self._switch.candidate(goal)
        return None

    @property
    def wake(self) -> float | None:
        """When the next `tick` is due at the latest; None: when something happens."""
        waits = self._news or self._trouble or any(True for _ in self._fetching())
        return max(self._pause, self._now) if waits else None

    @property
    def status(self) -> Status:
        slots = self._slots.all()
        running = tuple(slot for place, slot in slots if place == "active")
        standby = tuple(slot for place, slot in slots if place == "standby")
        return Status(
            running,
            standby,
            tuple(self._slots.goals()),
            self._trouble or self._room or self._link,
            self.stale(self._now),
            self._slots.counts,
        )

    def stale(self, now: float) -> str:
        """A sentence where the assignment has ended; what it assigned goes on. Empty: it holds, or there never was one."""
        assigned = self._verifier.assigned
        if assigned is None or self._verifier.time(now) < assigned.expires:
            return ""
        hours = (self._verifier.time(now) - assigned.expires) / 3600
        return (
            f"The assignment ended {hours:.1f} h ago: no server has renewed it. The version in use goes on; nothing new is taken."
        )

    # What the rim tells

    def begin(self, model: str, address: str, files: Files, now: float, version: int = 1) -> str:
        """The bundle that the device was started with, files by name; why it is not used, or nothing (see `given`)."""
        self._at(now)
        said = ""
        with self._disk(now):
            said = given.take(self._slots, self._courier, model, address, files, version, now)
            self._in_use = self._actives()
        return said

    def restarted(self, now: float) -> None:
        """The process has begun: call it once, before `running` is loaded."""
        self._at(now)
        with self._disk(now):
            for place, slot in self._slots.all():
                if place != "active":
                    continue
                if not self._courier.whole(slot.files):
                    self._steps.give_up(slot, now, "Files of it are gone from the disk.")
                elif not slot.proved:
                    started = replace(slot, boots=slot.boots + 1)
                    self._slots.fill("active", started)
                    if started.boots > self._bounds.boots:
                        self._steps.give_up(started, now, f"The process ended {slot.boots} times while it was on trial.")
        self._in_use = self._actives()
        self._offered = None
        self._collect(now)
        self.tick(now)

    def stopping(self, now: float) -> None:
        """The process ends as it should: this start counts against no version."""
        self._at(now)
        with self._disk(now):
            for place, slot in self._slots.all():
                if place == "active" and slot.boots:
                    self._slots.fill("active", replace(slot, boots=slot.boots - 1))

    def news(self, payload: bytes, now: float) -> None:
        """What the server said: nothing of it is believed that is not signed, and what is refused is told once and counted."""
        self._at(now)
        self._news.append(payload)
        self._hear(now)

    def fetched(self, sha256: str, at: int, data: bytes, now: float) -> bool:
        """A piece came; in order, from where `fetches` said. False: it was not taken, so the rest of this try is of no use."""
        self._at(now)
        for goal in self._fetching():
            way = self._courier.way(goal)
            entry = next((e for e in (*way.files, *goal.release.files.values()) if e.sha256 == sha256), None)
            if entry is not None:
                break
        else:
            return False  # nobody waits for it any more
        taken = False
        with self._disk(now):
            if self._short(goal, way):
                self._go_on(now)
                return False
            before = self._courier.holds(entry, at + len(data))
            try:
                whole = self._courier.take(entry, at, data)
            except InputError as error:
                if self._steps.wrong(goal, way, entry, str(error), now):
                    self.fetch_failed(sha256, str(error), now)
                return False
            taken = self._courier.holds(entry, at + len(data))
            if taken and not before:
                self._disk_failures = 0
            stubborn = way.base and self._failures.get(way.files[0].sha256, 0) >= STUBBORN
            if whole and stubborn and entry.sha256 != way.files[0].sha256:
                self._steps.spoil(goal, way.base, "The delta cannot be had, and other files can.", now)
            self._failures.pop(sha256, None)
            self._pause, self._link = 0.0, ""
        self.tick(now)
        return taken

    def fetch_failed(self, sha256: str, sentence: str, now: float) -> None:
        """The server did not give it, or the link broke: what came is kept, and it is asked for again after a pause."""
        self._at(now)
        self._failures[sha256] = self._failures.get(sha256, 0) + 1
        self._pause = now + trial.patience(self.node, self._failures[sha256])
        self._link = sentence

    def rebuilt(self, work: Rebuild, files: Files | None, now: float, sentence: str = "") -> None:
        """What `Rebuild.run` gave, or the sentence of why it gave none."""
        self._at(now)
        goal = self._slots.goal(work.goal.release.name)
        if goal is None or goal.digest != work.goal.digest or goal.state != "fetching":
            return
        with self._disk(now):
            if files is None:
                self._steps.spoil(goal, work.base, sentence, now)
            else:
                self._courier.store(goal.release.files, files)
                self._disk_failures = 0
        self.tick(now)

    def swapped(self, now: float) -> bool:
        """What `swap_due` gave is loaded and warm, and is to be used from now on.

        False where that cannot be written down, or another version is due by now: then the one before goes on.
        """
        self._at(now)
        offered, due = self._offered, self.swap_due()
        if due is None or offered not in (None, (due.model, due.address)):
            return False
        goal = self._slots.goal(due.model)
        with self._disk(now):
            if goal is not None and goal.state == "ready" and goal.release.address == due.address:
                self._switch.over(goal, now)
            self._in_use[due.model] = due.address
            self._health.pop(due.model, None)
        self._offered = None
        self._collect(now)
        return self._in_use.get(due.model) == due.address

    def refused_to_load(self, sentence: str, now: float) -> None:
        """What `swap_due` gave last, or (at the start, when it gave nothing) what is `running`, does not load."""
        self._at(now)
        offered, self._offered = self._offered, None
        with self._disk(now):
            if offered is None:
                slot = self.running
                if slot is not None:
                    self._steps.give_up(slot, now, sentence)
                self._in_use = self._actives()
            else:
                goal, slot = self._slots.goal(offered[0]), self._slots.slot(offered[0], "active")
                if goal is not None and goal.state == "ready" and goal.release.address == offered[1]:
                    self._steps.unfit(goal, sentence, now)
                elif slot is not None and slot.address == offered[1]:
                    self._steps.give_up(slot, now, sentence)
        self._collect(now)

    def health(self, health: Health, now: float, model: str = "") -> None:
        """How the version in use does since it came into use; every few seconds while it is on trial."""
        self._at(now)
        slot = self._slots.slot(model, "active") if model else self.running
        if slot is None or slot.proved or self._in_use.get(slot.model) != slot.address:
            return
        with self._disk(now):
            sentence = trial.broken(health, self._bounds)
            standby = self._slots.slot(slot.model, "standby")
            if sentence and standby is not None:
                self._switch.back(slot, standby, now, sentence, health=health)
            elif trial.outlived(health, self._bounds) and not sentence:
                hours = health.seconds / 3600
                self._switch.prove(slot, now, health, f"Nobody spoke against it for {hours:.1f} h.")
            elif trial.speak(health, self._health.get(slot.model), self._bounds):
                release = slot.digest or slot.address
                self._words.say("trial", slot.model, slot.version, release, now, sentence, sequence=slot.sequence, health=health)
                self._health[slot.model] = health

    def tick(self, now: float) -> None:
        """Time passed: try again what waits, and go on with what is here."""
        self._at(now)
        if self._now < self._pause:
            return
        if self._trouble:
            self._tell(now)
        if self._news:
            self._hear(now)
        self._go_on(now)

    # Steps

    def _hear(self, now: float) -> None:
        with self._disk(now):
            while self._news:
                if not self._hearing.hear(self._news[0], now):
                    self._doubted.append(self._news[0])
                self._news.popleft()
        self._collect(now)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        self._room = ""
        for goal in self._fetching():
            with self._disk(now):
                if short := self._short(goal, self._courier.way(goal)):
                    self._room = short
                    self._courier.make_room(goal)
                    self._steps.stuck(goal, now, short)
                    continue
                wrong = self._steps.go_on(goal, now)
                if wrong is not None:
                    self.fetch_failed(wrong.sha256, "It came whole and is another file.", now)

    def _collect(self, now: float) -> None:
        with self._disk(now):
            self._courier.collect()

    def _tell(self, now: float) -> None:
        """The disk was in trouble: try to say so, which shows whether it takes anything again."""
        sentence = self._trouble
        with self._disk(now), self._database.transaction():
            self._slots.count("disk trouble")
            for goal in self._fetching():
                self._steps.stuck(goal, now, sentence)
            self._trouble = ""

    @contextmanager
    def _disk(self, now: float) -> Iterator[None]:
        """What a disk does not take is no end of the process: it is noted and tried again after a pause.

        The pause grows until a blob was written, where one is wanted: a full disk still takes the small writes of a database.
        """
        try:
            yield
        except StoreError as error:
            self._trouble = str(error)
            if now >= self._pause:  # not for each call that fails meanwhile: the pause would be minutes at once
                self._disk_failures += 1
                self._pause = now + trial.patience(self.node, self._disk_failures)
        else:
            if self._disk_failures and not self._trouble and not self._fetching():
                self._disk_failures = 0

    def _short(self, goal: Goal, way: Way) -> str:
        """Why there is no room for it: the outbox may still grow to its bound, whatever is fetched."""
        return self._courier.short(goal, way, max(0, self._outbox.bounds.bytes - self._outbox.size) + SPARE)

    def _fetching(self) -> list[Goal]:
        return [goal for goal in self._slots.goals() if goal.state == "fetching" and self._ours(goal.release.name)]

    def _ours(self, model: str) -> bool:
        return self._models is None or model in self._models

    def _actives(self) -> dict[str, str]:
        return {slot.model: slot.address for place, slot in self._slots.all() if place == "active"}

    def _at(self, now: float) -> None:
        back, self._now = self._now - now, now
        if back > 0:  # the clock was set back: pauses end as much earlier, and what had ended by the clock before may hold
            self._pause -= back
        if back > JUMP:
            self._news.extendleft(reversed(self._doubted))
            self._doubted.clear()
