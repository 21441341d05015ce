"""The device agent as a state machine without I/O: clock, transport and inference are given to it.

The rim tells it what happened (`frame`, `prepared`, `answered`, `left`, `filtered`, `receive`, `lost`, `tick`) and asks it what
to do next (`work`, `outgoing`, `records`, `news`, `next_wake`). The device has one worker: at most one piece of work runs, and of
the frames that wait for it only the newest stays. Each frame ends in exactly one record.

A swap of models takes three words: `renew` agrees with the server on the new streams, `may_adopt` says when no inference runs and
the server has answered, `adopt` makes the new points count. Frames of the old ones that are under way are answered as before.

Where the models have a filter, it looks at every frame before anything else is done for it, and what it leaves out ends there, as
dropped. A drawn share of those goes up all the same (`Work.learn`): what is found in them says what the filter misses.

A frame in layers is cut when its turn to be sent comes, to what the link lets pass in time as it is then. What the link lets down
is answered here while there is time (`edgewise.node.insurance`).

Where a `learner` is given, each frame may be learned from (`edgewise.node.lessons`). One that is answered here may go up all the
same, as a picture, for a better answer: its own stands by, and is its last word shortly before the deadline.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.answer import Answer, FrameRecord, Outcome
from edgewise.core.artifact import Filter
from edgewise.core.placement import OperatingPoint
from edgewise.core.rollout import Health
from edgewise.data.decoding.found import found
from edgewise.data.doubt import Doubt
from edgewise.meter.energy import EnergyModel
from edgewise.net.messages import Hello
from edgewise.net.session import Answered, DeviceSession, Dropped, Failed, Uploaded, Wanted
from edgewise.node.closing import Closing
from edgewise.node.insurance import Insurance
from edgewise.node.learning import Learner
from edgewise.node.ledger import FILTERED, Ledger
from edgewise.node.lessons import Lessons
from edgewise.node.open_frame import OpenFrame, Standby
from edgewise.node.rows import Rows
from edgewise.node.uplink import MARGIN, Uplink
from edgewise.node.vitals import Vitals
from edgewise.node.work import Work
from edgewise.plan.online import OnlinePolicy


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`deadline` (s) counts from capture; `condition` is the weather that the operator or the source declares.

    `insured` False leaves out the local answer for frames that the link let down (a baseline, never the default).
    """

    node: str
    deadline: float = 0.2
    condition: str = "all"
    insured: bool = True


class Agent:
    """See the module. `streams` maps the name of a remote operating point to its stream in the session.

    `rows` takes the ledger's rows to the session's outbox; None where nobody is to be told. `filter` is that of the models, and
    what it seeks (`of`) is a label of theirs, or "" for anything. `learner` chooses what is learned from; None: nothing.
    """

    def __init__(
        self,
        config: AgentConfig,
        policy: OnlinePolicy,
        session: DeviceSession,
        streams: dict[str, int],
        energy: EnergyModel,
        rows: Rows | None = None,
        filter: Filter | None = None,
        learner: Learner | None = None,
    ) -> None:
        self.config, self.policy, self.session = config, policy, session
        self.rows = rows
        self.version = 0  # counts the sets of points, one after the other
        self.filter = filter
        self._books = Closing(config.node, energy, rows)
        self.lessons = Lessons(learner, policy, session)
        self._uplink = Uplink(policy, session, streams, self._learning)
        policy.learn = filter.learn if filter is not None else 0.0
        self._open: dict[int, OpenFrame] = {}
        self._waiting: int | None = None
        self._running: Work | None = None
        self.closed = False
        self._captured = math.inf  # when the frame before this one was
        self._insurance = Insurance(policy, config.insured)

    # What happened

    def frame(self, frame: int, captured: float, now: float) -> None:
        """The source gave a frame; an older one that still waits for the worker makes room for it."""
        self.ledger.took()
        if self._books.vitals is None:
            self._books.vitals = Vitals(now)
        self.policy.observe_interval(captured - self._captured)
        self._captured = captured
        self._open[frame] = OpenFrame(frame, captured, self.config.deadline, self.version)
        if self._waiting is not None:
            self._end(self._open[self._waiting], "dropped", now, reason="superseded", why="a newer frame came first")
        self._waiting = frame

    def prepared(
        self,
        frame: int,
        payload: bytes,
        parts: dict[str, float],
        now: float,
        ends: tuple[int, ...] = (),
        guarded: int = 0,
        learn: bool = False,
    ) -> None:
        """The head or the image codec is done: the frame goes to the session.

        `ends` are the sizes to which a payload in layers may be cut, the last its own; `guarded` layers were left out by the byte
        guard. `learn`: the filter saw nothing in it.
        """
        work, self._running = self._running, None
        it = self._open.get(frame)
        if it is None or it.point is None:  # the run was closed meanwhile
            self._books.in_vain(parts)
            return
        it.spent(parts)
        if learn and work is not None and work.learn is not None:
            it.learn, it.insured, it.point = True, False, work.learn
            it.why = "the filter sees nothing; tried all the same"
        self._looked(work, passed=True)
        self.policy.observe_exit(it.point.name, left=False)
        self.policy.observe_device(it.point.name, sum(parts.values()))
        self.policy.observe_payload(it.point.name, len(payload))
        it.ends, it.guarded = ends, guarded
        flags = self.lessons.carried(it, len(payload), now)
        if flags is None:
            self._stand_by(it, now, "its picture is too large for the budget")
            return
        self._uplink.offer(it, payload, now, flags)
        self._drain(now)

    def answered(self, frame: int, answer: Answer, parts: dict[str, float], now: float, doubt: Doubt | None = None) -> None:
        """The local model is done, with so much `doubt`; a frame that the server answered meanwhile keeps that answer."""
        work, self._running = self._running, None
        local = self._insurance.local
        assert local is not None
        self._looked(work, passed=True)
        self.policy.observe_device(local.name, sum(parts.values()))
        it = self._open.get(frame)
        if it is None:  # the server was quicker
            self._books.in_vain(parts)
            return
        it.spent(parts)
        self._here(it, Standby(local, answer, it.why), now, doubt)

    def left(
        self, frame: int, answer: Answer, doubt: float, parts: dict[str, float], now: float, known: Doubt | None = None
    ) -> None:
        """The exit is sure (`doubt` is how little it is not): its answer is the frame's, and no byte is sent.

        `known` is the doubt of the answer as a learner knows it.
        """
        work, self._running = self._running, None
        if work is not None:
            self.policy.observe_exit(work.point.name, left=True)
            self.policy.observe_device(work.point.name, sum(parts.values()))
        it = self._open.get(frame)
        if it is None:
            self._books.in_vain(parts)
            return
        it.spent(parts)
        why = f"the exit is sure ({1 - doubt:.2f})"
        assert it.point is not None
        self._here(it, Standby(it.point, answer, f"{it.why}; {why}" if it.why else why), now, known)

    def filtered(self, frame: int, present: float, parts: dict[str, float], now: float) -> None:
        """The filter sees nothing (`present`: what it says): no byte is sent, and the answer is the empty one."""
        work, self._running = self._running, None
        self._looked(work, passed=False)
        it = self._open.get(frame)
        if it is None:
            self._books.in_vain(parts)
            return
        it.spent(parts)
        self.lessons.unanswered(it, now, dropped=True)
        self._left_out(it, now, f"the filter sees nothing ({present:.2f})")

    def coded(self, picture: bytes, parts: dict[str, float], now: float, statistics: bytes = b"") -> None:
        """The picture of a sample is coded, with the models' `statistics` where the work asked for them."""
        self._running = None
        self._books.in_vain(parts)
        self.lessons.coded(picture, statistics)
        self._drain(now)

    def broke(self, frame: int, reason: str, now: float) -> None:
        """The work on a frame failed; `reason` is a sentence."""
        work, self._running = self._running, None
        it = self._open.get(frame)
        if work is not None and work.task == "sample":
            self.lessons.failed(reason)
        elif it is not None and it.standby is not None:
            self._stand_by(it, now, reason)
        elif it is not None:
            self._end(it, "failed", now, reason=reason)

    def connected(self, now: float) -> None:
        self._uplink.connected(now)
        self._drain(now)

    def lost(self, now: float) -> None:
        """The transport is gone; what was under way is answered here where time allows."""
        self._uplink.lost(now)
        self._drain(now)

    def receive(self, data: bytes, now: float) -> None:
        self.session.receive(data, now)
        self._drain(now)

    def tick(self, now: float) -> None:
        """Time has passed: expire, insure, beat."""
        self.session.tick(now)
        self._drain(now)
        if self.rows is not None and self.rows.tick(now):
            self._stored()
        for it in list(self._open.values()):
            if it.away and not it.insured and now >= self._insurance.at(it, self._uplink.streams):
                self._insure(it, now, "no answer in time")

    # Other models

    def renew(self, hello: Hello, now: float) -> None:
        """Agree with the server on the streams of `hello`, which have other numbers than those in use."""
        self._uplink.renew(hello, now)
        self._drain(now)

    @property
    def may_adopt(self) -> bool:
        """Whether no inference runs and the server has said which of the new streams it takes, or is not there."""
        return self._running is None and not self.session.renewing

    def adopt(
        self, points: tuple[OperatingPoint, ...], streams: dict[str, int], now: float, filter: Filter | None = None
    ) -> None:
        """From the next piece of work on, these points and streams are in use, and this filter."""
        self.policy.adopt(points, filter.learn if filter is not None else 0.0)
        self.version += 1
        self.filter, self._books.vitals = filter, Vitals(now)
        self._uplink.adopt(streams)
        for frame in self._insurance.adopt():
            if frame in self._open and not self._open[frame].away:
                self._end(self._open[frame], "failed", now, reason="no local model")

    def health(self, now: float) -> Health:
        """Of the version in use, since it came into use."""
        return self.vitals.health(now) if self.vitals is not None else Health(0.0, 0, 0)

    # What to do

    def work(self, now: float) -> Work | None:
        """The next piece of work for the free worker, or None; the rim reports it done before it asks again."""
        if self._running is not None:
            return None
        urgent = self._insurance.next(self._open)
        if urgent is not None and self._insurance.local is not None:
            return self._start(urgent, "local", self._insurance.local)
        if (asking := self._ask(now)) is not None:
            return asking
        if self._waiting is None:
            self._running = self.lessons.work()
            return self._running
        it, self._waiting = self._open[self._waiting], None
        decision = self.policy.decide(self._uplink.situation(now, it.deadline - now - MARGIN, self.config.condition))
        it.why = decision.why
        if decision.route == "drop":
            self._end(it, "dropped", now, reason="policy")
            return None
        point = self.policy.points[decision.route]
        learn = self._way_up(point) if decision.learn else None
        return self._start(it, "local" if point.mode == "local" else "prepare", point, learn)

    def outgoing(self, now: float) -> list[bytes]:
        """What goes on the wire; ask when the wire is free."""
        made = self._running is not None and self._running.task == "prepare"
        self.session.reserved = made or self.lessons.asks or self._waiting is not None
        frame = self.session.due(now)
        self._drain(now)
        if frame is not None and frame in self._open:
            self._uplink.settle(self._open[frame], now)
        data = self.session.outgoing(now)
        self._drain(now)
        return data

    def records(self) -> list[FrameRecord]:
        """The records of frames that have ended since the last call; the outbox carries them to the server as well."""
        return self._books.take()

    def news(self) -> list[bytes]:
        """What the site told since the last call."""
        return self._uplink.news()

    @property
    def ledger(self) -> Ledger:
        return self._books.ledger

    @property
    def vitals(self) -> Vitals | None:
        """Of this version; from the first frame on."""
        return self._books.vitals

    @property
    def last(self) -> FrameRecord | None:
        """The record of the frame that ended last."""
        return self._books.last

    @property
    def busy(self) -> bool:
        """Whether a frame's fate is still open."""
        return bool(self._open)

    @property
    def greeted(self) -> bool:
        """Whether this connection got as far as a welcome."""
        return self._uplink.greeted

    @property
    def hung_up(self) -> bool:
        """Whether the session ended by itself: the rim closes the transport and tries again."""
        return self._uplink.hung_up

    @property
    def warnings(self) -> list[str]:
        return self._uplink.warnings

    def holds(self, frame: int) -> bool:
        """Whether the picture of a frame may still be needed."""
        return frame in self._open or self.lessons.holds(frame)

    def next_wake(self) -> float | None:
        """When `tick` is wanted next."""
        times = [self._insurance.at(it, self._uplink.streams) for it in self._open.values() if it.away and not it.insured]
        beat = self.session.next_wake()
        if beat is not None:
            times.append(beat)
        if self.rows is not None and self.rows.due < math.inf:
            times.append(self.rows.due)
        return min(times, default=None)

    def close(self, now: float, reason: str) -> None:
        """The run is over: what is still open ends as failed, and is counted."""
        self.closed = True
        self.lessons.close()
        for it in list(self._open.values()):
            if it.standby is not None:
                self._stand_by(it, now, reason)
            else:
                self._end(it, "failed", now, reason=reason)
        if self.rows is not None and self.rows.flush():
            self._stored()

    # Inside

    def _stored(self) -> None:
        """Rows became an item."""
        assert self.rows is not None
        self.session.stir()
        if self.rows.sentence and self.rows.sentence not in self.warnings:
            self._uplink.warn(self.rows.sentence)

    def _start(self, it: OpenFrame, task: str, point: OperatingPoint, learn: OperatingPoint | None = None) -> Work:
        look = self.filter is not None and it.point is None  # who is insured was looked at before
        self._running = Work(it.frame, task, point, look, learn)
        if it.point is None or task == "prepare":
            it.point, it.version = point, self.version
        it.insured = it.insured or task == "local"
        return self._running

    def _here(self, it: OpenFrame, own: Standby, now: float, doubt: Doubt | None) -> None:
        """The device's own answer is there: it is the frame's, or stands by while its picture goes up for a better one."""
        free = self.lessons.cascades and not it.away and it.up == 0 and it.point is own.point and it.frame > self.session.last
        way = self.policy.asking(self._uplink.situation(now, it.deadline - now - MARGIN, self.config.condition)) if free else None
        if not self.lessons.answered(it, own, doubt, way if way is not None and way.name in self._uplink.streams else None, now):
            self._end(it, "answered", now, point=own.point, why=own.why, answer=own.answer)

    def _ask(self, now: float) -> Work | None:
        """The picture of the frame whose answer stands by is made ready to go up."""
        it = self.lessons.asking(self._open)
        if it is None or it.point is None:
            return None
        if it.point.name not in self._uplink.streams:  # other models came
            self._stand_by(it, now, "no way up")
            return None
        it.insured = False
        self._running = Work(it.frame, "prepare", it.point, look=False)
        return self._running

    def _stand_by(self, it: OpenFrame, now: float, why: str) -> None:
        """No better answer came: the one that stands by is the frame's."""
        assert it.standby is not None
        own = it.standby
        self._end(it, "answered", now, point=own.point, why=f"{it.why}; {why}", answer=own.answer)

    def _learning(self, event: Wanted | Uploaded, now: float) -> None:
        if size := self.lessons.heard(event, now):
            self._books.learned(size, self.policy.link.rate)

    def _way_up(self, point: OperatingPoint) -> OperatingPoint | None:
        """By which point a frame goes up that the filter would leave out; None where none leads there now."""
        if self.filter is None or not self._uplink.open:
            return None
        return point if point.mode != "local" else self.policy.upload()

    def _looked(self, work: Work | None, passed: bool) -> None:
        if work is not None and work.look:
            self.policy.observe_filter(passed)

    def _insure(self, it: OpenFrame, now: float, why: str) -> None:
        if it.standby is not None:
            self._stand_by(it, now, why)
        elif it.learn and not it.up:
            self._left_out(it, now, "the filter sees nothing; the link took nothing to try")  # its word stands
        else:
            self._insurance.ask(it, now, why)

    def _drain(self, now: float) -> None:
        for event in self._uplink.heard(now):
            if isinstance(event, Answered):
                self._arrived(event, now)
            else:
                self._let_down(event, now)

    def _arrived(self, event: Answered, now: float) -> None:
        it = self._open.get(event.frame)
        reply = event.reply
        point = it.point.name if it is not None and it.point is not None else ""
        self.policy.observe_server(point, reply.wait, reply.tail)
        if it is None:
            return
        it.away = False
        it.up, it.down = event.bytes_up, event.bytes_down
        link = now - it.sent_at - reply.wait - reply.tail
        it.parts |= {"link": max(link, 0.0), "wait": reply.wait, "tail": reply.tail}
        self.lessons.unanswered(it, now)
        self._end(it, "answered", now, point=it.point, answer=reply.answer)

    def _let_down(self, event: Dropped | Failed, now: float) -> None:
        it = self._open.get(event.frame)
        if it is None:
            return
        it.away = False
        if isinstance(event, Failed) and event.reason.startswith("refused"):
            self._uplink.warn(event.reason)
        if not it.insured:
            self._insure(it, now, event.reason)
        running = self._running is not None and it.frame == self._running.frame
        if it.frame in self._open and not self._insurance.asked(it.frame) and not running:
            outcome: Outcome = "dropped" if isinstance(event, Dropped) else "failed"
            self._end(it, outcome, now, reason=event.reason.split(":")[0], why=event.reason)

    def _left_out(self, it: OpenFrame, now: float, why: str) -> None:
        """The filter's word is the frame's last."""
        it.point, it.learn = None, False
        self._end(it, "dropped", now, reason=FILTERED, why=why)

    def _end(
        self,
        it: OpenFrame,
        outcome: Outcome,
        now: float,
        *,
        reason: str = "",
        why: str = "",
        point: OperatingPoint | None = None,
        answer: Answer = Answer(),
    ) -> None:
        del self._open[it.frame]
        if self._waiting == it.frame:
            self._waiting = None
        self._uplink.withdraw(it)
        self.lessons.ended(it, point is it.point, now)
        ended = it.ended(now, outcome, point or it.point, reason, why or it.why, answer)
        seen = it.learn and outcome == "answered" and found(answer, self.filter.of if self.filter is not None else "")
        record = replace(ended, missed=True) if seen else ended
        if self._books.end(record, it.busy, self.policy.link.rate, now, of_version=it.version == self.version):
            self._stored()
