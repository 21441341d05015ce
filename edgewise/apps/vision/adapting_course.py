"""The course of an adaptation as it is written down and shown: what the process says, joined with what the server itself counted.

Every word goes to the log (`adapting_log.py`), and the newest of them to the page (`adapting_view.py`). It decides nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from edgewise.adapt.shipment import Event, Report
from edgewise.apps.vision.adapting_log import Begun, Journal, Noted, Published, Staged, Stood, Wished, thinned
from edgewise.apps.vision.adapting_release import Underway
from edgewise.apps.vision.adapting_view import AdaptingView, Moment
from edgewise.apps.vision.adapting_words import Ready, Recall, Standing, Version
from edgewise.core.learning import Learning

EVERY = 10.0  # s between two lines of how it stands
KEPT, SHOWN = 360, 90  # moments that are kept, an hour, and that a page is sent
MARKS = 16
TAKEN = "samples"  # what the store counts beside what it leaves out


class Course:
    """Into `journal`, of the model `model`; `budget` in B/s of each device. Times in s since 1970."""

    def __init__(self, journal: Journal, model: str, budget: float) -> None:
        self.frames = 0  # of all devices, as their records come
        self.version = 0  # in use, of those that were learned
        self.left_out: Counter[str] = Counter()  # samples by what became of them, before the process had them
        self._journal, self._model, self._budget, self._teacher = journal, model, budget, ""
        self._standing: Standing | None = None
        self._delta = 0  # bytes of the way to the version that is published and not yet decided upon
        self._down = self._reverts = 0  # bytes of deltas that went down, versions that came back
        self._moments: deque[Moment] = deque(maxlen=KEPT)
        self._marks: deque[Event] = deque(maxlen=MARKS)
        self._written = 0.0

    def begun(self, ready: Ready, now: float) -> None:
        self._teacher = ready.teacher
        self._journal.write(Begun(now, ready.model, ready.teacher, self._budget))

    def stands(self, standing: Standing) -> None:
        """What the process says of itself."""
        self._standing = standing
        for event in standing.report.timeline:
            self.note(event.at, event.what, event.why)

    def note(self, at: float, what: str, why: str) -> None:
        """Something happened."""
        self._journal.write(Noted(at, what, why))
        self._marks.append(Event(at, what, why))

    def wished(self, learning: Learning | None, now: float) -> None:
        """Devices are told this."""
        told = learning or Learning(0.0, 0.0, 0.0)
        self._journal.write(Wished(now, told.samples, told.bytes, told.audit, told.cascade, told.selection))

    def published(self, word: Version | Recall, version: int, now: float) -> None:
        whole = sum(len(data) for data in word.files.values())
        self._delta = len(word.routes.get(word.parent, b"")) if isinstance(word, Version) else 0
        self._journal.write(Published(now, word.number, version, word.address, whole, self._delta, word.why))
        self._marks.append(Event(now, "version", f"{version}: {word.why}"))

    def staged(self, of: Underway, stage: str, why: str, takers: int, now: float) -> None:
        """A rollout of ours entered a stage; `takers` nodes have fetched it."""
        self._journal.write(Staged(now, of.version, stage, why))
        self._marks.append(Event(now, stage, f"{of.version}: {why}" if why else str(of.version)))
        if stage in ("done", "reverted"):
            self._down += self._delta * takers
        if stage == "done":
            self.version = of.version
        self._reverts += stage == "reverted"

    def write(self, state: str, now: float) -> None:
        """How it stands, every ten seconds; `state` in place of the process's own where it has ended."""
        if self._standing is None or now - self._written < EVERY:
            return
        self._written = now
        it = self.stood(self._standing.report, state, now)
        self._journal.write(it)
        self._moments.append(Moment(now, it.agreement, it.source, it.uploads, it.bytes_up, it.bytes_down, it.version, it.reverts))

    def stood(self, report: Report, state: str, now: float) -> Stood:
        """How it stands, with what the server itself counted."""
        source = None if report.disagreement is None else 1 - report.disagreement
        return Stood(
            at=now,
            state=state or report.state,
            frames=self.frames,
            uploads=report.uploads,
            audits=report.audits,
            bytes_up=report.bytes_up,
            bytes_down=self._down,
            steps=report.steps,
            accepted=report.accepted,
            rejected=report.rejected,
            reverts=report.reverts + self._reverts,
            version=self.version,
            agreement=None if source is None else source + (report.gain or 0.0),
            source=source,
            refused=self._refused(report.refused),
        )

    def view(self, wanted: Learning | None, ended: str, waiting: int, now: float) -> AdaptingView:
        """For the page."""
        standing = self._standing
        return AdaptingView(
            model=self._model,
            teacher=self._teacher,
            budget=self._budget,
            wanted=wanted,
            ended=ended,
            waiting=waiting,
            standing=None if standing is None else self.stood(standing.report, "ended" if ended else "", now),
            seconds=standing.seconds if standing is not None else 0.0,
            moments=tuple(thinned(tuple(self._moments), SHOWN)),
            marks=tuple(reversed(self._marks)),
        )

    def _refused(self, by_process: Mapping[str, int]) -> dict[str, int]:
        here = Counter({what: n for what, n in self.left_out.items() if what != TAKEN})
        return dict(Counter(by_process) + here)
