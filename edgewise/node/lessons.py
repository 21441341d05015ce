"""What is learned from a device's frames: each is put to the learner once, and what it chooses is coded, paid and handed over.

    answered here        nothing, a sample, or the cascade: the picture goes up by an image point, and the answer that is here
                         stands by until shortly before the deadline (`edgewise.node.agent`)
    left out by a filter nothing or a sample
    goes as a picture    nothing more goes up: the frame says that it may be learned from (`edgewise.net.teaching`)
    answered as features nothing or a sample

A sample is coded when the worker has nothing else to do, and sent when the link has nothing else to do; few wait for either. What
does not go is withdrawn, so that the learner's budget pays for what went alone. Without a server, or one that wants nothing, the
learner is not asked, and no hours offline are made up for.

It does not know how frames are chosen (`edgewise.node.learning`), what a picture is, or why the server wants it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.learning import AUDIT, DROPPED, Learning, Sample
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.doubt import Doubt
from edgewise.net import teaching
from edgewise.net.session import DeviceSession, Uploaded, Wanted
from edgewise.node.charge import Charge
from edgewise.node.learning import Choice, Learner
from edgewise.node.open_frame import OpenFrame, Standby
from edgewise.node.work import Work
from edgewise.plan.online import OnlinePolicy

QUEUE = 4  # pictures that wait to be coded
STATISTICS = 5  # of so many samples one brings statistics, if the server wants them
FREE = 1.0  # byte; what goes as a frame costs learning nothing, and nothing is given back for it
ABOUT = 0.1  # of what the budget leaves must have changed before the learner is told


class Lesson(Struct, frozen=True):
    """A frame that was chosen: what it was thought to cost (`asked`, bytes), and what its sample will say of it."""

    frame: int
    captured: float
    choice: Choice
    asked: float
    doubt: float | None = None
    dropped: bool = False


class Lessons:
    """The learning of one agent; `learner` None: a device that learns nothing. `counts` says what became of everything."""

    def __init__(self, learner: Learner | None, policy: OnlinePolicy, session: DeviceSession) -> None:
        self.learner, self.counts = learner, Counter[str]()
        self._policy, self._session = policy, session
        self._charge = Charge(policy.budget)
        self._wish: Learning | None = None
        self._told: Learning | None = None
        self._asking: int | None = None  # a frame whose own answer stands by
        self._coding: deque[Lesson] = deque()
        self._running: Lesson | None = None
        self._going: dict[int, tuple[Lesson, int]] = {}  # number of a sample in the session: its lesson and size
        self._size = 0.0  # of a sample, about
        self._coded = 0

    @property
    def follows(self) -> bool | None:
        """Whether the server wants statistics of normalisation; None where it wants nothing, and all stays as it is."""
        return self._wish.statistics if self._wish is not None else None

    # What the session says

    def heard(self, event: Wanted | Uploaded, now: float) -> int:
        """The server wants something else, or has a sample; the bytes that one took, 0 where none went."""
        if isinstance(event, Wanted):
            self._wish = event.learning
            self._tell(now, at_once=True)
            if event.learning is None:
                self._give_up("not wanted")
            return 0
        lesson, size = self._going.pop(event.number)
        if event.lost:
            self._withdraw(lesson, size, event.lost)
            return 0
        self.counts["samples"] += 1
        return size

    # Frames

    def answered(self, it: OpenFrame, own: Standby, doubt: Doubt | None, way: OperatingPoint | None, now: float) -> bool:
        """The device's `own` answer is there: whether the frame goes up by `way` for a better one (None: it cannot; `asking`)."""
        size = max(self._size, self._policy.cost(way.name).bytes_up) if way is not None else self._size
        lesson = self._consider(it, doubt, now, size, answered=True)
        if lesson is None:
            return False
        if lesson.choice.cascade:
            if way is None:
                self._withdraw(lesson, lesson.asked, "no way up in time")
                return False
            self._policy.asked(now)
            self.counts["asked"] += 1
            it.lesson, it.standby, it.point, self._asking = lesson, own, way, it.frame
            it.why = f"{own.why}; asks with {way.name}" if own.why else f"asks with {way.name}"
            return True
        self._queue(lesson)
        return False

    @property
    def cascades(self) -> bool:
        """Whether a frame that was answered here may go up for a better answer."""
        return self.learner is not None and self._wish is not None and self._wish.cascade > 0

    @property
    def asks(self) -> bool:
        """Whether a frame is to go up for a better answer."""
        return self._asking is not None

    def asking(self, frames: Mapping[int, OpenFrame]) -> OpenFrame | None:
        """Which of the open frames that is; it is told once."""
        frame, self._asking = self._asking, None
        return frames.get(frame) if frame is not None else None

    def unanswered(self, it: OpenFrame, now: float, dropped: bool = False) -> None:
        """The device has no answer of its own: the server gave one for its features, or the filter left the frame out."""
        lesson = self._consider(it, None, now, self._size, answered=False, dropped=dropped)
        if lesson is not None and lesson.choice.cascade:
            self._withdraw(lesson, lesson.asked, "answered already")
        elif lesson is not None:
            self._queue(lesson)

    def carried(self, it: OpenFrame, size: int, now: float) -> int | None:
        """Flags of a frame that goes up now with a payload of `size` bytes; None where it cannot be paid, and must not go.

        0 where nothing is to be learned from it; else its picture need not go again.
        """
        if it.lesson is not None:  # the cascade
            lesson, whole = it.lesson, size + FRAME_HEADER
            assert self.learner is not None
            if not self.learner.settle(lesson.choice, lesson.asked, whole):
                self.counts["larger than thought"] += 1
                it.lesson = None
                return None
            it.lesson = replace(lesson, asked=float(whole))
            return teaching.told(doubt=lesson.doubt)
        if it.point is None or it.point.mode != "image" or it.point.codec != teaching.CODED:
            return 0
        lesson_too = self._consider(it, None, now, self._size, answered=False, dropped=it.learn)
        if lesson_too is None:
            return 0
        assert self.learner is not None
        self.learner.settle(lesson_too.choice, lesson_too.asked, 0.0)
        it.lesson = replace(lesson_too, asked=FREE)
        self.counts["carried by frames"] += 1
        return teaching.told(lesson_too.choice.audit, it.learn)

    def ended(self, it: OpenFrame, taught: bool, now: float) -> None:
        """A frame has its fate; `taught` where the server answered it."""
        if it.lesson is None:
            self._charge.answered(it.up, now)
            return
        cascade = it.standby is not None
        if not it.up:
            self._withdraw(it.lesson, it.lesson.asked, "the link took nothing")
        elif cascade:
            self.counts["taught" if taught else "fell back"] += 1
        if not cascade:
            self._charge.answered(it.up, now)

    # Samples

    def work(self) -> Work | None:
        """The next picture to be coded; `coded` or `failed` is owed."""
        if not self._coding or self._wish is None:
            return None
        self._running = self._coding.popleft()
        self._coded += 1
        statistics = self._wish.statistics and self._coded % STATISTICS == 1
        point = OperatingPoint("sample", "image", teaching.CODED, self._wish.level)
        return Work(self._running.frame, "sample", point, look=False, statistics=statistics)

    def coded(self, picture: bytes, statistics: bytes) -> None:
        """The picture of the work that runs is coded: it is paid, and waits for the link."""
        lesson, self._running = self._running, None
        if lesson is None or self.learner is None:  # given up meanwhile
            return
        flags = AUDIT * lesson.choice.audit | DROPPED * lesson.dropped
        bundle = self._session.hello.bundle
        sample = Sample(lesson.frame, max(lesson.captured, 0.0), picture, flags, lesson.doubt, bundle, statistics)
        size = len(picture) + len(statistics) + FRAME_HEADER
        self._size += (len(picture) + FRAME_HEADER - self._size) * (0.1 if self._size else 1.0)
        if not self.learner.settle(lesson.choice, lesson.asked, size):
            self.counts["larger than thought"] += 1
            return
        number = self._session.sample(sample)
        if number is None:
            self._withdraw(lesson, size, "no room to wait")
        else:
            self._going[number] = (lesson, size)

    def failed(self, why: str) -> None:
        """The work that runs gave no picture."""
        lesson, self._running = self._running, None
        if lesson is not None:
            self._withdraw(lesson, lesson.asked, why)

    def holds(self, frame: int) -> bool:
        """Whether the picture of a frame is still to be coded."""
        running = self._running is not None and self._running.frame == frame
        return running or any(lesson.frame == frame for lesson in self._coding)

    def close(self) -> None:
        """The run is over: what waits here does not go."""
        self._give_up("stopped")

    # Inside

    def _consider(
        self, it: OpenFrame, doubt: Doubt | None, now: float, size: float, answered: bool, dropped: bool = False
    ) -> Lesson | None:
        """Put a frame to the learner, once; the lesson where it chooses it."""
        if self.learner is None or self._wish is None or not self._session.open or it.considered:
            return None
        it.considered = True
        self._tell(now)
        choice = self.learner.consider(doubt, now, size, answered)
        if not (choice.learn or choice.cascade):
            return None
        known = doubt.entropy if doubt is not None else None
        return Lesson(it.frame, it.captured, choice, size, known, dropped)

    def _queue(self, lesson: Lesson) -> None:
        if len(self._coding) >= QUEUE:
            self._withdraw(lesson, lesson.asked, "the worker is busy")
        else:
            self._coding.append(lesson)

    def _withdraw(self, lesson: Lesson, size: float, why: str) -> None:
        assert self.learner is not None
        self.counts[why] += 1
        self.learner.withdraw(lesson.choice, size, why)

    def _give_up(self, why: str) -> None:
        """Nothing that waits here goes."""
        waiting = [*self._coding, *([self._running] if self._running is not None else [])]
        self._coding.clear()
        self._running = None
        for lesson in waiting:
            self._withdraw(lesson, lesson.asked, why)

    def _tell(self, now: float, at_once: bool = False) -> None:
        """The learner may use what the server allows and the device's own budget leaves."""
        if self.learner is None:
            return
        wish = self._wish
        if wish is not None:
            wish = replace(wish, bytes=min(wish.bytes, self._charge.left(now)))
        if not at_once and wish is not None and self._told is not None and self._wish is not None:
            before, most = self._told.bytes, self._wish.bytes
            near = abs(wish.bytes - before) <= ABOUT * before
            if near and (wish.bytes < most or before == most):
                return
        self._told = wish
        self.learner.wanted(wish)
