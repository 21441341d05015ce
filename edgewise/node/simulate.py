"""The real agent, sessions and edge server in virtual time: only clock, transport and inference are simulated.

A run of minutes takes a second and is the same each time, so that policies can be compared frame by frame on recorded links.
Work takes what the operating points say; payloads have the sizes that they say, or those of a recording, and may be in layers.
What a filter sees is given frame by frame, and so is the doubt that a learner is told of.

It does not know the jitter of a real machine, nor TCP: a link hands over its bytes in order, at its rate.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.artifact import Filter
from edgewise.core.link import Link
from edgewise.core.placement import REMOTE, OperatingPoint
from edgewise.data.doubt import Doubt
from edgewise.meter.energy import EnergyModel
from edgewise.net.connect import backoff
from edgewise.net.links.virtual import VirtualLink
from edgewise.net.messages import Hello, Stream
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.edge import Edge, Job, Run
from edgewise.node.learning import Learner
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.node.work import Work
from edgewise.plan.online import OnlinePolicy


class World:
    """Virtual time: callbacks in the order of their time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def at(self, time: float, call: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(time, self.now), self._order, call))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, call = heapq.heappop(self._heap)
            call()
        self.now = until


class SimulatedEdge:
    """An `Edge` with its workers; `seconds(run)` is what a run of the tail or the teacher takes, `says(job)` the tail's answer to
    a frame and `teaches(job)` the teacher's.
    """

    def __init__(
        self,
        world: World,
        edge: Edge,
        seconds: Callable[[Run], float],
        says: Callable[[Job], Answer] = lambda job: Answer(),
        teaches: Callable[[Job], Answer | None] = lambda job: Answer(),
    ) -> None:
        self.world, self.edge, self.seconds, self.says, self.teaches = world, edge, seconds, says, teaches
        self.devices: dict[int, SimulatedDevice] = {}
        self._due = math.inf
        self._tick()

    def turn(self) -> None:
        for run in (self.edge.lecture(self.world.now), self.edge.work(self.world.now)):
            if run is not None:
                self.world.at(self.world.now + self.seconds(run), lambda r=run: self._finished(r))  # type: ignore[misc]
        for connection, device in list(self.devices.items()):
            for data in self.edge.outgoing(connection):
                device.deliver(connection, data)

        if self._due != (due := self.edge.lectures.due) < math.inf:
            self._due = due
            self.world.at(due, self.turn)

    def _finished(self, run: Run) -> None:
        says = self.teaches if run.taught else self.says
        self.edge.finished(run, [says(item.value) for item in run.items], self.world.now - run.began, self.world.now)
        self.turn()

    def _tick(self) -> None:
        self.edge.tick(self.world.now)
        self.turn()
        self.world.at(self.world.now + 0.5, self._tick)


def camera(
    name: str,
    points: tuple[OperatingPoint, ...],
    policy: OnlinePolicy,
    energy: EnergyModel,
    deadline: float,
    insured: bool = True,
    filter: Filter | None = None,
    learner: Learner | None = None,
) -> Agent:
    """An agent with a session and an outbox of its own, one stream for each point that goes over the link."""
    remote = [p for p in points if p.mode in REMOTE]
    streams = tuple(Stream(i, "", p.name, p.codec, p.level, (1,), "uint8") for i, p in enumerate(remote, 1))
    rows = Rows(MemoryOutbox(), lambda: 0.0, timer=lambda: 0.0)  # no real time decides here
    session = DeviceSession(Hello(name, "simulated", streams), rows, learns=learner is not None)
    settings = AgentConfig(name, deadline, insured=insured)
    return Agent(settings, policy, session, {s.point: s.id for s in streams}, energy, rows, filter, learner)


class SimulatedDevice:
    """An agent that sees `count` frames, one each `interval`, over `link`; `records` is its ledger, row by row.

    `size(work)` is the payload of a frame in bytes, or the sizes to which it may be cut after each layer, rising; `seconds(work)`
    what the device needs for a piece of work, the filter's look included. `sees(frame)` is what the filter says of a frame (0..1,
    against the agent's threshold), `looks` what that takes alone (s); `sure(frame)` whether an exit answers it; `doubts(frame)`
    how much doubt the device's own answer has, and `picture(frame)` the bytes of its sample.
    """

    def __init__(
        self,
        world: World,
        server: SimulatedEdge,
        agent: Agent,
        link: Link,
        interval: float,
        count: int,
        size: Callable[[Work], int | Sequence[int]],
        seconds: Callable[[Work], float],
        seed: int = 0,
        sees: Callable[[int], float] = lambda frame: 1.0,
        looks: float = 0.0,
        sure: Callable[[int], bool] = lambda frame: False,
        doubts: Callable[[int], Doubt | None] = lambda frame: None,
        picture: Callable[[int], int] = lambda frame: 5_000,
    ) -> None:
        self.world, self.server, self.agent = world, server, agent
        self._sure, self._doubts, self._picture = sure, doubts, picture
        self.records: list[FrameRecord] = []
        self._link, self._size, self._seconds = link, size, seconds
        self._sees, self._looks, self._filter = sees, looks, agent.filter
        self._wire = VirtualLink(link)
        self._random = random.Random(seed)
        self._connection: int | None = None
        self._flushing = False
        self._woken = -1.0
        self._attempt = 0
        self._connect()
        for frame in range(count):
            world.at(0.05 + frame * interval, lambda f=frame: self._frame(f))  # type: ignore[misc]

    def deliver(self, connection: int, data: bytes) -> None:
        """The server sends `data` down the link."""
        arrival = self._wire.send(len(data), self.world.now, up=False)
        self.world.at(arrival, lambda: self._receive(connection, data))

    def _connect(self) -> None:
        now = self.world.now
        self._wire = VirtualLink(self._link)
        self._connection = self.server.edge.connected(self.agent.config.node, now)
        self.server.devices[self._connection] = self
        self.agent.connected(now)
        self._turn()

    def _receive(self, connection: int, data: bytes) -> None:
        if connection == self._connection:
            self._attempt = 0
            self.agent.receive(data, self.world.now)
            self._turn()

    def _frame(self, frame: int) -> None:
        self.agent.frame(frame, self.world.now, self.world.now)
        self._turn()

    def _turn(self) -> None:
        now = self.world.now
        work = self.agent.work(now)
        if work is not None:
            self._begin(work)
        self._flush()
        for record in self.agent.records():
            self.records.append(record)
        if self._connection is not None and self.agent.hung_up:
            self._lose()
        wake = self.agent.next_wake()
        if wake is not None and not now < self._woken <= max(wake, now + 1e-6):
            self._woken = max(wake, now + 1e-6)
            self.world.at(self._woken, self._tick)

    def _begin(self, work: Work) -> None:
        present = self._sees(work.frame) if work.look and self._filter is not None else 1.0
        unseen = self._filter is not None and present < self._filter.threshold
        if unseen and work.learn is None:
            self.world.at(self.world.now + self._looks, lambda: self._left_out(work, present))
            return
        does = replace(work, task="prepare", point=work.learn) if unseen else work
        took = self._seconds(does)
        self.world.at(self.world.now + took, lambda: self._worked(does, took, unseen))

    def _left_out(self, work: Work, present: float) -> None:
        self.agent.filtered(work.frame, present, {"filter": self._looks}, self.world.now)
        self._turn()

    def _worked(self, work: Work, took: float, unseen: bool) -> None:
        now = self.world.now
        if work.task == "sample":
            self.agent.coded(bytes(self._picture(work.frame)), {"sample": took}, now)
        elif work.task == "local":
            self.agent.answered(work.frame, Answer(), {"local": took}, now, self._doubts(work.frame))
        elif work.point.mode == "exit" and self._sure(work.frame):
            self.agent.left(work.frame, Answer(), 0.0, {"exit": took}, now, self._doubts(work.frame))
        else:
            size = self._size(work)
            whole, ends = (size, ()) if isinstance(size, int) else (size[-1], tuple(size))
            self.agent.prepared(work.frame, bytes(whole), {"prepare": took}, now, ends, learn=unseen)
        self._turn()

    def _tick(self) -> None:
        self.agent.tick(self.world.now)
        self._turn()

    def _flush(self) -> None:
        """Put what is due on the wire when it is free; look again when it will be."""
        if self._connection is None or self._flushing:
            return
        now, connection = self.world.now, self._connection
        free = self._wire.free(now)
        if free > now:
            self._flushing = True
            self.world.at(min(free, now + 3.0), self._flush_again)
            return
        for data in self.agent.outgoing(now):
            arrival = self._wire.send(len(data), now, up=True)
            self.world.at(arrival, lambda d=data: self._arrive(connection, d))  # type: ignore[misc]

    def _flush_again(self) -> None:
        self._flushing = False
        self._turn()

    def _arrive(self, connection: int, data: bytes) -> None:
        if connection == self._connection:
            self.server.edge.receive(connection, data, self.world.now)
            self.server.turn()

    def _lose(self) -> None:
        """The session closed itself (silence): the connection goes, and is tried again."""
        assert self._connection is not None
        self.server.edge.lost(self._connection, self.world.now)
        del self.server.devices[self._connection]
        self._connection = None
        self.agent.lost(self.world.now)
        self._attempt += 1
        handshake = 3 * 2 * self._link.delay  # TCP, TLS and the WebSocket's upgrade, a round trip each
        self.world.at(self.world.now + backoff(self._attempt, self._random.uniform) + handshake, self._connect)
