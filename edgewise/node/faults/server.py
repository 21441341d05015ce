"""A simulated edge server: the real Edge, inbox, rollouts and files on a machine that may fail.

Items take effect in one transaction with the inbox's watermark. For the witness each effect leaves a row of its own in that
transaction, with nothing to keep it from being there twice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgewise.core.answer import Answer
from edgewise.core.errors import StoreError
from edgewise.core.release import Assignment, Envelope, pack
from edgewise.net.edge_session import Limits
from edgewise.net.items import Item
from edgewise.net.messages import unpack_records
from edgewise.net.signing import sign
from edgewise.node.delivery.files import part
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.edge import Edge, Run
from edgewise.node.faults.clock import DAY, Timeline
from edgewise.node.faults.invariants import Witness
from edgewise.node.faults.machine import Machine
from edgewise.node.faults.publisher import CHANNEL, Publisher, sha
from edgewise.node.faults.schedule import SERVER
from edgewise.node.faults.trace import Trace
from edgewise.node.faults.wire import Connection
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.inbox import Inbox

if TYPE_CHECKING:
    from edgewise.node.faults.download import Download

TAIL = 0.01  # s of a run
PIECE = 4096  # bytes of a file that go at once
BEAT = 0.5  # s between two looks at rollouts
EFFECTS = "create table if not exists effects (node text, epoch text, seq integer, hash text)"


class Server(Machine):
    """`connections` by the number that Edge gave them."""

    def __init__(
        self,
        timeline: Timeline,
        trace: Trace,
        draw: random.Random,
        witness: Witness,
        publisher: Publisher,
        devices: tuple[str, ...],
    ) -> None:
        super().__init__(SERVER, timeline, trace, draw, witness)
        self.publisher, self.devices = publisher, devices
        self.connections: dict[int, Connection] = {}
        self.life_of_news = DAY
        self.strange: Mapping[str, bytes] = {}  # files that an attacker has put in the way of requests

    # A process

    def born(self) -> None:
        try:
            self.database = self.disk.connect("server.sqlite")
            self.database.execute(EFFECTS)
            self.inbox = Inbox(self.database)
            self.blobs = Blobs(self.disk)
            trust = pack(self.publisher.trust)
            self.rollouts = Rollouts(self.database, self.blobs, self._sign, trust, channel=CHANNEL, life=self.life_of_news)
        except StoreError as error:
            self.say(f"cannot start: {error.what}")
            self.kill(again_after=1.0)
            return
        limits = Limits(silence=6.0)
        self.edge = Edge(
            lambda s: None, lambda s: s.point, limits, post=self._post, transaction=self.database.transaction, news=self._news
        )
        self._woken = -1.0
        self._told: dict[str, bytes | None] = {}
        self._beat()

    def died(self, cut: bool) -> None:
        if not cut:
            for connection in self.connections.values():
                connection.end_of_server()
        self.connections.clear()

    # Connections

    def accept(self, device: str) -> int | None:
        """A device stands at the door: the number of its connection, or None where the power goes meanwhile."""
        found: list[int] = []
        self.guarded(lambda: found.append(self.edge.connected(device, self.timeline.now)))
        return found[0] if found else None

    def knows(self, connection: Connection) -> bool:
        return self.connections.get(connection.number) is connection

    def arrived(self, connection: Connection, data: bytes) -> None:
        if data:
            self.edge.receive(connection.number, data, self.timeline.now)
        else:
            self._gone(connection.number)
        self.turn()

    def _gone(self, number: int) -> None:
        node = self.connections.pop(number).device.name
        self.edge.lost(number, self.timeline.now)
        if all(c.device.name != node for c in self.connections.values()):
            self._told.pop(node, None)
            try:
                self.rollouts.gone(node, self.clock.now())
            except StoreError as error:
                self.say(f"cannot write down that {node} is gone: {error.what}")

    def _news(self, node: str) -> bytes | None:
        """What Edge tells a node when it opens, and when it is notified."""
        now = self.clock.now()
        self.rollouts.seen(node, now)
        self._told[node] = self.rollouts.news(node, now)
        return self._told[node]

    def _sign(self, assignment: Assignment) -> Envelope:
        return sign(assignment, {"channel": self.publisher.channel})

    def serve(self, download: Download) -> None:
        """Answer a request for a file, a range of it."""
        fetch = download.fetch
        if fetch.sha256 in self.strange:
            download.send(fetch.at, self.strange[fetch.sha256][fetch.at :])
            return
        try:
            answer = part(fetch.sha256, self.blobs.size(fetch.sha256), f"bytes={fetch.at}-{fetch.size - 1}")
            if answer.status not in (200, 206):
                download.refuse(f"HTTP status {answer.status}")
                return
            for at in range(answer.start, answer.stop, PIECE):
                download.send(at, self.blobs.read(fetch.sha256, at, min(PIECE, answer.stop - at)))
        except StoreError as error:
            download.refuse(str(error))

    # Everything

    def turn(self) -> None:
        """Something happened: what is to be done now, and when to look again."""
        now = self.timeline.now
        run = self.edge.work(now)
        if run is not None:
            self.later(TAIL, lambda: self._finished(run))
        for number, connection in list(self.connections.items()):
            for data in self.edge.outgoing(number):
                connection.send_down(data)
            if self.edge.closed(number):
                connection.end_of_server()
                self._gone(number)
        wake = self.edge.next_wake()
        if wake is not None and not now <= self._woken <= max(wake, now + 1e-6):
            self._woken = max(wake, now + 1e-6)
            self.at(self._woken, self._tick)

    def _tick(self) -> None:
        self.edge.tick(self.timeline.now)
        self.turn()

    def _beat(self) -> None:
        """As the rim of a server does it: judge, sign, and tell who is to hear something else than what it was told last."""
        wall = self.clock.now()
        try:
            self.rollouts.tick(wall)
            for node in sorted({c.device.name for c in self.connections.values()}):
                self.rollouts.seen(node, wall)
                if self.rollouts.news(node, wall) is not self._told.get(node):
                    self.edge.notify(node, self.timeline.now)
        except StoreError as error:
            self.say(f"cannot look after rollouts: {error.what}")
        self.turn()
        self.later(BEAT, self._beat)

    def _finished(self, run: Run) -> None:
        self.edge.finished(run, [Answer()] * len(run.items), TAIL, self.timeline.now)
        self.turn()

    # Items

    def _post(self, node: str, epoch: str, items: list[Item]) -> int | None:
        for item in items:
            verdict = self.inbox.take(node, epoch, item.after, item.seq)
            if verdict == "gap":
                return None
            if verdict == "new":
                self.say(f"item {item.seq} of {node} takes effect: {item.kind}")
                self._effect(node, item)
                row = (node, epoch, item.seq, sha(item.body))
                self.database.execute("insert into effects values (?, ?, ?, ?)", row)
        return items[-1].seq

    def _effect(self, node: str, item: Item) -> None:
        if item.kind == "rows":
            unpack_records(item.body)
        elif not self.rollouts.report(item.body, self.clock.now(), node):
            self.witness.at_rest(f"the server refuses item {item.seq} of {node}, a report.")

    def effects(self) -> list[tuple[str, str, int, str]]:
        """Everything that ever took effect, as the database has it."""
        return [tuple(row) for row in self.database.execute("select node, epoch, seq, hash from effects")]
