"""The Adapter learns for one group of devices: told of samples and acknowledgements, asked what devices are to do and have.

    sample ──► waiting ──► teacher ──► watch (audits) ──► learn ──► prove ──► Line ──► Shipment ──► acknowledged
                              │            │ no gain: back to the source, audits alone       └─► refused
                              └─► look ──► memory: another domain, whose φ is known, or is begun from the best there is

A state machine without I/O: time is an argument, the Step and the Teacher are given. What devices hold is known to the bit
(`edgewise.adapt.affine`): one Shipment is on its way at a time, and is `acknowledged` or `refused` before there is another.

CEMA's server (adapt notes 2.4–2.8) with a watch that gives up (long runs §4), a gate, a memory of domains, and doubt in devices,
in the teacher and in itself. It does not know torch, networks, or how a rollout goes. What comes up, and is counted, stands in
`edgewise.adapt.intake`; what a lesson is, in `edgewise.adapt.lesson`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from edgewise.adapt.accept import Gate, best
from edgewise.adapt.affine import Line
from edgewise.adapt.inputs import Prepare
from edgewise.adapt.intake import Intake
from edgewise.adapt.lesson import Labelled, Lessons
from edgewise.adapt.memory import Domain, Memory, looks
from edgewise.adapt.recipe import Recipe
from edgewise.adapt.shadow import Shadow
from edgewise.adapt.shipment import Event, Report, Shipment
from edgewise.adapt.step import Kind, Phi, Step, Values
from edgewise.adapt.teacher import Teacher
from edgewise.adapt.upload import Calibration, Upload
from edgewise.adapt.watch import Rules, Watch, audited, begun, judged, rest
from edgewise.core.learning import Learning

DEFAULT = Recipe()
RULES = Rules()
EVENTS = 1000
GIVEN_UP = 3  # refused shipments in a row, after which it rests
TEACHER_OUT = "teacher refused"


class Adapter:
    """Adapts the model whose version at the beginning is `base` (its address), by `step` (its shadow) and `teacher`.

    `prepare` makes inputs of pictures. `kind` says what an answer is. `calibration` guards what the model could do at home,
    and is what a teacher is examined on. ModelError where the teacher does not speak of the model's classes.
    """

    def __init__(
        self,
        step: Step,
        teacher: Teacher,
        base: str,
        prepare: Prepare,
        recipe: Recipe = DEFAULT,
        calibration: Calibration | None = None,
        kind: Kind = "classes",
        rules: Rules = RULES,
    ) -> None:
        self._recipe, self._rules, self._now = recipe, rules, 0.0
        home = None if calibration is None else (prepare(calibration.pictures), calibration.truth)
        gate = Gate(points=recipe.points, clean=recipe.clean)
        self._shadow = Shadow(step, kind, gate, recipe.rate, recipe.probe, home)
        self._intake = Intake(recipe)
        self._lessons = Lessons(self._shadow, teacher, prepare, recipe, self._intake)
        self._memory = Memory(recipe.memory, None if calibration is None else looks(calibration.pictures))
        self._line = Line(self._shadow.source, base, recipe.precision)
        self._watch = Watch()
        self._newest: deque[Labelled] = deque(maxlen=self._memory.window // 2)
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._counts = self._intake.counts
        self._out: Shipment | None = None
        self._wanted: tuple[str, Phi, str] | None = None  # a version to go back to, its φ (should devices not hold it), and why
        self._changed = ""
        self._number = self._refusals = 0
        self._unheld: set[str] = set()  # versions that devices would have to be sent again
        self._teacher_out = ""
        if calibration is not None:
            self._teacher_out = self._shadow.unfit(teacher.probabilities(calibration.pictures))
            if self._teacher_out:
                self._note(TEACHER_OUT, self._teacher_out)

    def sample(self, upload: Upload, now: float) -> str:
        """A picture came up: what it is refused for, "" where it waits now. Both are counted."""
        self._now = now
        if self._teacher_out:
            return self._intake.refuse(TEACHER_OUT)
        return self._intake.take(upload, now, self.learning)

    def tick(self, now: float) -> None:
        """Time passes: what waits is labelled, judged, learned from and proved, as far as it is due."""
        self._now = now
        while self._intake.due(now):
            self._lesson(self._intake.next(now))

    def deltas(self) -> tuple[Shipment, ...]:
        """What is to be shipped now: nothing, or one Shipment, which is on its way from then on."""
        if self._out is not None:
            return ()
        made = self._back() or self._learned()
        if made is None:
            return ()
        self._out = made
        self._number = made.number
        self._counts["shipped"] += 1
        self._counts["bytes_down"] += len(made.data)
        return (made,)

    def acknowledged(self, number: int, version: str, now: float) -> None:
        """The devices have what Shipment `number` made, or went back to: the version of this address."""
        self._now = now
        out = self._answered(number)
        if out is None:
            return
        self._counts["acknowledged"] += 1
        self._refusals = 0
        if out.recall:
            self._line.back(version)
            word = "reverted" if version == self._line.base else "recalled"
            self._counts["reverts" if word == "reverted" else "recalls"] += 1
            self._note(word, out.why)
        else:
            self._line.acknowledged(out.data, version)
        if self._watch.phase in ("trial", "learning") and version != self._line.base:
            self._memory.remember(self._line.there, version)

    def refused(self, number: int, why: str, now: float) -> None:
        """Shipment `number` did not go out, or was reverted by its guard: devices have the version that they had before.

        What was learned is thrown away with it; after a few in a row nothing is learned until something changes.
        """
        self._now = now
        out = self._answered(number)
        if out is None:
            return
        self._intake.refuse(f"shipment: {why}")
        self._note("refused", why)
        self._refusals += 1
        if out.recall:  # perhaps they hold it no longer: then by its values
            if out.recall not in self._unheld:
                self._unheld.add(out.recall)
                self._wanted = out.recall, self._line.phi(out.recall), out.why
            return
        self._shadow.restore(self._line.there)
        self._changed = ""
        if self._refusals >= GIVEN_UP:
            self._refusals = 0
            self._turn(rest(self._watch, f"{GIVEN_UP} shipments in a row were refused"))

    @property
    def version(self) -> str:
        """The address of the version that devices acknowledged last."""
        return self._line.version

    @property
    def there(self) -> dict[str, Values]:
        """φ of that version, to the bit."""
        return self._line.there

    @property
    def learning(self) -> Learning:
        """What devices are to be told now."""
        r, phase = self._recipe, self._watch.phase
        told = Learning(0.0, r.bytes, r.audit, r.selection, cascade=r.cascade, statistics=r.statistics, level=r.level)
        if self._teacher_out:
            return replace(told, audit=0.0, cascade=0.0)
        if self._memory.suspects:  # a shift is known sooner if more is seen
            told = replace(told, audit=max(r.audit, r.trial - r.cascade))
        if phase == "rest":  # a teacher who disagrees is worth asking, even where nothing can be learned from him
            return replace(told, cascade=r.cascade if self._watch.rested >= self._rules.worth else 0.0)
        if not r.learn:
            return told
        if phase == "learning":
            return replace(told, samples=r.samples)
        return replace(told, audit=max(r.audit, r.trial - r.cascade), selection="random")

    def report(self) -> Report:
        """How things stand."""
        c, watch = self._counts, self._watch
        numbers = ("uploads", "audits", "bytes_up", "bytes_down", "steps", "accepted", "rejected")
        counts = {name: c[name] for name in (*numbers, "shipped", "acknowledged", "reverts", "recalls")}
        return Report(
            state=TEACHER_OUT if self._teacher_out else watch.phase,
            version=self._line.version,
            disagreement=watch.disagreement,
            gain=watch.gain,
            z=watch.z,
            rate=self._shadow.step.rate,
            domains=len(self._memory),
            doubted=tuple(sorted(self._intake.doubted)),
            refused=dict(self._intake.refused),
            timeline=tuple(self._events),
            **counts,
        )

    def _lesson(self, uploads: Sequence[Upload]) -> None:
        """Uploads are labelled, compared, watched, and learned from where that is worth it."""
        labelled = self._lessons.label(uploads)
        if not labelled:
            return
        trusted = [one for one in labelled if one.device not in self._intake.doubted]
        self._newest.extend(trusted)
        if trusted and (domain := self._memory.seen(looks([one.picture for one in trusted]))) is not None:
            self._enter(domain)
        audits = [one for one in trusted if one.audit]
        before = len(self._watch.differences)
        self._watch = audited(self._watch, [one.source for one in audits], [one.adapted for one in audits], self._rules)
        self._turn(judged(self._watch, self._rules, before))
        if not self._recipe.learn or self._watch.phase == "rest" or not trusted:
            return
        verdict = self._lessons.teach(trusted, self._domain, self._watch.least_gain, self._watch.z or 0.0, self._now)
        if verdict is None:
            return
        if not verdict.why:
            self._counts["accepted"] += 1
            self._changed = self._changed or "learned"
        elif verdict.waits:
            self._counts["waited"] += 1
        else:
            self._counts["rejected"] += 1
            self._note("rejected", verdict.why)

    @property
    def _domain(self) -> int:
        return self._memory.current.number if self._memory.current is not None else 0

    def _enter(self, domain: Domain) -> None:
        """Another domain: go on from what is best on the newest pictures, of what is stored for it, the source, and what there
        is.
        """
        first = self._counts["domains"] == 0
        self._counts["domains"] += 1
        self._note("domain", f"{domain.number}, visit {domain.visits}")
        if first and domain.phi is None:
            return
        self._lessons.left()
        candidates: dict[str, Phi] = {"stored": domain.phi} if domain.phi is not None else {}
        candidates |= {"source": self._shadow.source, "present": self._line.there}
        chosen = best(self._shadow.compare([one.shown for one in self._newest], candidates))
        self._shadow.restore(candidates[chosen])
        self._watch = begun(self._watch, f"domain {domain.number} was entered; {chosen} is best there")
        self._changed = ""
        if chosen == "stored":
            self._watch = replace(self._watch, phase="trial")
            self._wanted = domain.version, candidates[chosen], f"domain {domain.number} is known"
        else:
            self._memory.forget()
            self._wanted = (self._line.base, self._shadow.source, f"domain {domain.number}") if chosen == "source" else None
        self._note("rearmed", self._watch.why)

    def _turn(self, watch: Watch) -> None:
        """The watch as it is now; a phase that is entered is noted, and from what did not help devices go back to the source."""
        changed = watch.phase != self._watch.phase
        self._watch = watch
        if not changed:
            return
        self._note(watch.phase, watch.why)
        if watch.phase == "rest":
            self._shadow.restore(self._shadow.source)
            self._memory.forget()
            self._changed = ""
            self._wanted = self._line.base, self._shadow.source, watch.why

    def _back(self) -> Shipment | None:
        """Devices are to go back to a version: without bytes where they hold it, else by its φ once more."""
        if self._wanted is None:
            return None
        version, phi, why = self._wanted
        self._wanted = None
        if version == self._line.version:
            return None
        if self._line.holds(version) and version not in self._unheld:
            return Shipment(self._number + 1, self._line.version, b"", version, why)
        data = self._line.ship(phi)
        return Shipment(self._number + 1, self._line.version, data, "", why) if data else None

    def _learned(self) -> Shipment | None:
        """What was learned and proved since the last Shipment, where it has been shown that the teacher has something to say."""
        if not self._changed or self._watch.phase not in ("trial", "learning"):
            return None
        why, self._changed = self._changed, ""
        data = self._line.ship(self._shadow.good)
        return Shipment(self._number + 1, self._line.version, data, "", why) if data else None

    def _answered(self, number: int) -> Shipment | None:
        """The Shipment on its way, if it is this one; else the answer is counted as one to nothing."""
        if self._out is None or self._out.number != number:
            self._intake.refuse("an answer to no shipment on its way")
            return None
        out, self._out = self._out, None
        return out

    def _note(self, what: str, why: str) -> None:
        self._events.append(Event(self._now, what, why))
