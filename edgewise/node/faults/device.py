"""A simulated device: the real agent, session, outbox and updater on a machine that may fail. It is a rim.

Frames are of no content and come at a steady pace, also while there is trouble. What is durable is told to the witness after each
piece of work.
"""

from __future__ import annotations

import random

from edgewise.core.answer import Answer
from edgewise.core.errors import StoreError
from edgewise.net.connect import backoff
from edgewise.net.messages import Hello, Stream
from edgewise.net.session import DeviceSession
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.faults import camera
from edgewise.node.faults.clock import Timeline
from edgewise.node.faults.invariants import Witness
from edgewise.node.faults.machine import Machine
from edgewise.node.faults.network import DELAY, Way
from edgewise.node.faults.publisher import Publisher
from edgewise.node.faults.server import Server
from edgewise.node.faults.trace import Trace
from edgewise.node.faults.updates import BEAT, Updates
from edgewise.node.faults.watched import Watched
from edgewise.node.faults.wire import Connection
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import Bounds
from edgewise.node.work import Work

AGAIN = 1.0  # s until a process that could not start is started again
HANDSHAKE = 6 * DELAY  # TCP, TLS and the WebSocket's upgrade, a round trip each


class Device(Machine):
    """`way` is its link, `bounds` are its outbox's, `updates` is the delivery of the process that runs."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        trace: Trace,
        draw: random.Random,
        publisher: Publisher,
        witness: Witness,
        server: Server,
        bounds: Bounds,
    ) -> None:
        super().__init__(name, timeline, trace, draw, witness)
        self.publisher, self.server, self.bounds = publisher, server, bounds
        self.way = Way(timeline, draw)
        self.epoch = f"{draw.getrandbits(64):016x}"
        self.connection: Connection | None = None
        self.frames = self.swaps = 0
        self.seeing = True
        self.inline = draw.random() < 0.5  # a delta is applied at once, or beside everything else
        self.interval = camera.INTERVAL
        self.heard: list[bytes] = []  # news, for who may want to say it again

    # A process

    def born(self) -> None:
        self.connection, self._attempt, self._woken, self._number = None, 0, -1.0, 0
        try:
            database = self.disk.connect("device.sqlite")
            self.outbox = Watched(database, self.bounds, self.epoch, self.name, self.witness)
            self.updates = Updates(self, database, self.outbox)
            loads = self.updates.begin()
        except StoreError as error:
            self.say(f"cannot start: {error.what}")
            self.kill(AGAIN)
            return
        if not loads:
            self.say("has no version that loads")
            self.kill(AGAIN)
            return
        rows = Rows(self.outbox, self.clock.now, interval=1.0, timer=lambda: 0.0)  # no real time decides here
        stream = Stream(1, self.updates.version.address, camera.REMOTE, "affine", 8, (1, 3, 16, 16), "float32")
        session = DeviceSession(Hello(self.name, "simulated", (stream,)), rows)
        config = AgentConfig(self.name, camera.DEADLINE)
        self.agent = Agent(config, camera.policy(), session, {camera.REMOTE: 1}, camera.ENERGY, rows)
        self._connect()
        self._see()
        self._beat()

    def died(self, cut: bool) -> None:
        if self.connection is not None and not cut:
            self.connection.end_of_device()
        self.connection = None

    def close(self) -> None:
        """The run is over, in good order."""
        if not self.alive:
            self.witness.at_rest(f"{self.name} does not run.")
            return
        if self.agent.busy:
            self.witness.at_rest(f"{self.name} still works on a frame long after the last was seen.")
        self.agent.close(self.timeline.now, "stopped")
        self._tell_fates()
        self.outbox.settle()
        self.witness.ended(self.name, self.life)

    # Frames

    def _see(self) -> None:
        if not self.seeing:
            return
        self.frames += 1
        self._number += 1
        self.witness.frame(self.name, self.life, self._number)
        self.agent.frame(self._number, self.timeline.now, self.timeline.now)
        self.turn()
        self.later(self.interval, self._see)

    def _worked(self, work: Work, took: float) -> None:
        now = self.timeline.now
        if work.task == "local":
            self.agent.answered(work.frame, Answer(), {"local": took}, now)
        else:
            self.agent.prepared(work.frame, bytes(camera.PAYLOAD), {"prepare": took}, now)
        self.turn()

    def _tell_fates(self) -> None:
        for record in self.agent.records():
            self.witness.fate(self.name, self.life, record.frame)
            self.updates.saw(record)

    # Everything

    def turn(self) -> None:
        """Something happened: what is to be done now, and when to look again."""
        now = self.timeline.now
        work = self.agent.work(now)
        if work is not None:
            took = camera.seconds(self.updates.version)
            self.later(took, lambda: self._worked(work, took))
        if self.connection is not None:
            for data in self.agent.outgoing(now):
                self.connection.send_up(data)
            if self.agent.hung_up:
                self.connection.end_of_device()
                self._lost()
        self._tell_fates()
        for payload in self.agent.news():
            self.hear(payload)
        self.updates.turn()
        self.outbox.settle()
        wake = self.agent.next_wake()
        if wake is not None and not now <= self._woken <= max(wake, now + 1e-6):
            self._woken = max(wake, now + 1e-6)
            self.at(self._woken, self._tick)

    def hear(self, payload: bytes, keep: bool = True) -> None:
        """News, from the server or from somebody who speaks in its name (`keep` False)."""
        if keep:
            self.heard.append(payload)
        self.say(f"hears news of {len(payload)} bytes")
        self.updates.news(payload)

    def _tick(self) -> None:
        self.agent.tick(self.timeline.now)
        self.turn()

    def _beat(self) -> None:
        self.updates.beat()
        self.turn()
        self.later(BEAT, self._beat)

    # The connection

    def _connect(self) -> None:
        if self.way.whole and self.server.alive:
            self.later(HANDSHAKE, self._connected)
        else:
            self._again()

    def _connected(self) -> None:
        number = self.server.accept(self.name) if self.way.whole and self.server.alive else None
        if number is None:
            self._again()
            return
        self.say(f"is connected ({number})")
        self.connection = Connection(self, self.server, self.way, number)
        self.server.connections[number] = self.connection
        self.agent.connected(self.timeline.now)
        self.turn()

    def arrived(self, data: bytes) -> None:
        if data:
            self._attempt = 0
            self.agent.receive(data, self.timeline.now)
        else:
            self._lost()
        self.turn()

    def _lost(self) -> None:
        self.say("has lost its connection")
        self.connection = None
        self.agent.lost(self.timeline.now)
        self._again()

    def _again(self) -> None:
        self._attempt += 1
        self.later(max(0.01, backoff(self._attempt, self.draw.uniform)), self._connect)
