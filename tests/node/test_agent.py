"""The agent, event by event: who waits, who is superseded, who is insured, and what a failure is called."""

from __future__ import annotations

from edgewise.core.answer import Answer
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.meter.energy import EnergyModel
from edgewise.net.messages import Hello, Reply, Stream
from edgewise.net.session import Arrived, DeviceSession, EdgeSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.plan.online import OnlinePolicy

SURE = {"all": Quality(0.9, 0.9, 0.9, 1)}
POOR = {"all": Quality(0.5, 0.5, 0.5, 1)}
LOCAL = OperatingPoint("local", "local", device_time=0.01, quality=POOR)
SPLIT = OperatingPoint("split-4", "split", "affine", 4, 1_000, 0, 0.005, 0.005, SURE)
STREAM = Stream(1, "m", "split-4", "affine", 4, (1,), "float32")


class Pair:
    """An agent and the server's session, joined by hand; `fast` also teaches the policy a fast link."""

    def __init__(self, points: tuple[OperatingPoint, ...] = (LOCAL, SPLIT)) -> None:
        policy = OnlinePolicy(points, 0.1)
        for i in range(20):
            policy.link.observe(10_000, 0.01, now=i / 100)
        session = DeviceSession(Hello("n", "0", (STREAM,)))
        self.agent = Agent(AgentConfig("n", 0.2), policy, session, {"split-4": 1}, EnergyModel(2.0, 5.0))
        self.edge = EdgeSession()
        self.arrived: list[Arrived] = []

    def join(self, now: float) -> None:
        self.agent.connected(now)
        self.edge.connected(now)
        self.pass_on(now)

    def pass_on(self, now: float) -> None:
        for _ in range(3):
            for data in self.agent.outgoing(now):
                self.edge.receive(data, now)
            self.arrived += [e for e in self.edge.events() if isinstance(e, Arrived)]
            for data in self.edge.outgoing():
                self.agent.receive(data, now)

    def send(self, frame: int, now: float) -> None:
        """A frame on its way to the server."""
        self.agent.frame(frame, now, now)
        work = self.agent.work(now)
        assert work is not None and work.task == "prepare"
        self.agent.prepared(frame, b"x" * 1_000, {"head": 0.005}, now + 0.005)
        self.pass_on(now + 0.005)


def test_an_answer_of_the_server_ends_the_frame_with_its_parts() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.edge.answer(0, Reply(Answer(), wait=0.002, tail=0.004), 1.12)
    pair.pass_on(1.13)
    (record,) = pair.agent.records()
    assert (record.outcome, record.mode, record.late) == ("answered", "split", False)
    assert record.bytes_up == 1_024
    assert set(record.parts) == {"head", "link", "wait", "tail"}
    assert abs(record.latency - 0.03) < 1e-9


def test_of_frames_that_wait_for_the_worker_only_the_newest_stays() -> None:
    pair = Pair()
    pair.agent.frame(0, 1.0, 1.0)
    assert pair.agent.work(1.0) is not None
    for frame in (1, 2, 3):
        pair.agent.frame(frame, 1.0 + frame / 100, 1.0 + frame / 100)
    assert pair.agent.work(1.05) is None, "the worker is taken"
    assert [(r.frame, r.outcome, r.reason) for r in pair.agent.records()] == [
        (1, "dropped", "superseded"),
        (2, "dropped", "superseded"),
    ]
    pair.agent.answered(0, Answer(), {"local": 0.01}, 1.06)
    work = pair.agent.work(1.06)
    assert work is not None and work.frame == 3


def test_a_frame_without_an_answer_is_answered_here_before_its_deadline() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    wake = pair.agent.next_wake()
    assert wake is not None and 1.2 < wake < 1.3
    pair.agent.tick(wake)
    work = pair.agent.work(wake)
    assert work is not None and (work.frame, work.task) == (0, "local")
    pair.agent.answered(0, Answer(), {"local": 0.01}, wake + 0.01)
    (record,) = pair.agent.records()
    assert (record.outcome, record.mode, record.late) == ("answered", "local", False)
    assert record.bytes_up > 0, "the bytes were sent, and are counted"
    assert "answered here" in record.why


def test_whichever_answer_comes_first_counts_and_only_it() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.agent.tick(1.29)
    assert pair.agent.work(1.29) is not None
    pair.edge.answer(0, Reply(Answer()), 1.291)
    pair.pass_on(1.292)
    pair.agent.answered(0, Answer(), {"local": 0.01}, 1.3)
    assert [r.mode for r in pair.agent.records()] == ["split"]
    assert pair.agent.ledger.table().balanced


def test_a_refused_frame_is_answered_here_and_the_sentence_is_kept() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.edge.refuse(0, "the server's queue is full.", 1.11)
    pair.pass_on(1.12)
    work = pair.agent.work(1.12)
    assert work is not None and work.task == "local"
    pair.agent.answered(0, Answer(), {"local": 0.01}, 1.13)
    assert pair.agent.ledger.table().answered == 1
    assert any("queue is full" in w for w in pair.agent.warnings)


def test_a_lost_connection_fails_nothing_while_there_is_time() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.agent.lost(1.15)
    work = pair.agent.work(1.15)
    assert work is not None and work.task == "local"
    pair.agent.answered(0, Answer(), {"local": 0.01}, 1.16)
    assert pair.agent.ledger.table().failed == {}


def test_without_a_local_model_the_failure_is_named() -> None:
    pair = Pair(points=(SPLIT,))
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.agent.lost(1.15)
    (record,) = pair.agent.records()
    assert (record.outcome, record.reason) == ("failed", "connection lost")


def test_a_bad_picture_fails_its_own_frame_alone() -> None:
    pair = Pair()
    pair.agent.frame(0, 1.0, 1.0)
    assert pair.agent.work(1.0) is not None
    pair.agent.broke(0, "bad picture", 1.01)
    pair.agent.frame(1, 1.1, 1.1)
    assert pair.agent.work(1.1) is not None
    pair.agent.answered(1, Answer(), {"local": 0.01}, 1.11)
    table = pair.agent.ledger.table()
    assert table.failed == {"bad picture": 1}
    assert table.answered == 1


def test_a_frame_in_layers_that_waits_for_the_wire_is_sent_after_a_swap_took_its_point() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.agent.frame(0, 1.1, 1.1)
    work = pair.agent.work(1.1)
    assert work is not None and work.point.name == "split-4"
    pair.agent.prepared(0, b"x" * 1_000, {"head": 0.005}, 1.105, ends=(400, 1_000))
    assert pair.agent.may_adopt
    pair.agent.adopt((LOCAL,), {}, 1.106)
    pair.pass_on(1.107)
    assert [a.frame for a in pair.arrived] == [0]


def test_a_frame_that_waits_for_a_local_model_ends_when_a_swap_takes_that_away() -> None:
    pair = Pair()
    pair.join(1.0)
    pair.send(0, 1.1)
    pair.edge.refuse(0, "no room", 1.11)
    pair.pass_on(1.11)
    assert pair.agent.busy, "the local model is to answer"
    pair.agent.adopt((SPLIT,), {"split-4": 1}, 1.12)
    assert pair.agent.work(1.13) is None
    (record,) = pair.agent.records()
    assert (record.outcome, record.reason) == ("failed", "no local model")
    assert not pair.agent.busy
