"""The edge server as a state machine without I/O: sessions of many devices, one queue, one worker.

The rim (`edgewise.node.server`) tells it what came in and runs what `work` gives it; a simulation does the same in virtual
time. Each frame that arrives gets exactly one last word: an answer or a sentence. Items are committed together and acknowledged
then. A node has one connection: a second one supersedes the first.

Pictures may have a teacher as well, with a worker of its own (`edgewise.node.lectures`): it answers those that it can in time,
and the others go to the tails as ever.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext

import msgspec
from msgspec import Struct

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import EdgewiseError
from edgewise.net.messages import Reply, Stream
from edgewise.net.session import Arrived, Cancelled, Closed, EdgeSession, Limits, Opened, Posted, Sampled
from edgewise.node.batch import Batcher, Item
from edgewise.node.intake import Intake, Post, Transaction, take_all
from edgewise.node.lectures import Lectures
from edgewise.node.samples import Samples

log = logging.getLogger("edgewise.edge")
REMEMBERED = 128  # answers kept for the rows of the ledger that come after them
News = Callable[[str], bytes | None]


class Job(Struct, frozen=True):
    """One frame in the queue: of which connection, its number, its stream and its payload."""

    connection: int
    frame: int
    stream: Stream
    payload: memoryview


class Run(Struct, frozen=True):
    """What the worker runs next, all of one key, and when it was handed out; `taught`: the teacher's worker."""

    key: Hashable
    items: tuple[Item[Job], ...]
    began: float
    taught: bool = False

    @property
    def frames(self) -> list[tuple[Stream, memoryview]]:
        return [(i.value.stream, i.value.payload) for i in self.items]


class Connection:
    """One device as the server sees it."""

    def __init__(self, session: EdgeSession, peer: str) -> None:
        self.session, self.peer = session, peer
        self.node = peer
        self.answers: OrderedDict[int, Answer] = OrderedDict()

    def remember(self, frame: int, answer: Answer) -> None:
        self.answers[frame] = answer
        if len(self.answers) > REMEMBERED:
            self.answers.popitem(last=False)


class Edge:
    """`admit` and `key` come from the models (`Tails`); `counts` says what was refused, dropped and answered.

    `post` and `transaction` are the store's (see `intake`). `news` says what a node is to be told (None: nothing), when it opens
    and when `notify` is called. `samples` takes in what is learned from; `teaches` says whether the teacher may answer a stream.
    """

    def __init__(
        self,
        admit: Callable[[Stream], str | None],
        key: Callable[[Stream], Hashable],
        limits: Limits = Limits(),
        largest: int = 8,
        *,
        post: Post = take_all,
        transaction: Transaction = nullcontext,
        news: News = lambda node: None,
        samples: Samples | None = None,
        teaches: Callable[[Stream], bool] = lambda stream: False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.connections: dict[int, Connection] = {}
        self.intake = Intake(post, transaction)
        self.batcher: Batcher[Job] = Batcher(largest)
        self.samples = samples if samples is not None else Samples()
        self.lectures: Lectures[Job] = Lectures(largest, self.batcher.seconds)
        self._admit, self._key, self._limits, self._teaches = admit, key, limits, teaches
        self._news = news
        self._running = False
        self._nodes: dict[str, int] = {}  # the open connection of each node
        self._number = 0
        self._gone: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()  # by address of the model
        self.stirred: set[int] = set()  # connections that have something to send; the rim empties it

    # Connections

    def connected(self, peer: str, now: float) -> int:
        """A device stands at the door; the number names its connection from here on."""
        self._number += 1
        session = EdgeSession(
            self._limits,
            session=f"{self._number}",
            node=peer,
            admit=self._admit,
            wants=self.samples.wants,
            allows=self.samples.allows,
        )
        self.connections[self._number] = Connection(session, peer)
        session.connected(now)
        return self._number

    def receive(self, connection: int, data: bytes | memoryview, now: float) -> None:
        it = self.connections.get(connection)
        if it is not None:
            it.session.receive(data, now)
            self._drain(connection, it, now)
            self.stirred.add(connection)
            self.commit(now)

    def lost(self, connection: int, now: float) -> None:
        """The transport is gone; what waits for it leaves the queue, and its last items are committed."""
        it = self.connections.get(connection)
        if it is not None:
            if not self.intake.failing:
                self.commit(now, at_once=True)
            del self.connections[connection]
            if self._nodes.get(it.node) == connection:
                del self._nodes[it.node]
            it.session.lost(now)
            self._gone += it.session.counts
            self.counts["left with their device"] += self._drop(lambda job: job.connection == connection)

    def tick(self, now: float) -> None:
        for number, it in list(self.connections.items()):
            it.session.tick(now)
            self._drain(number, it, now)
            self.stirred.add(number)
        self.commit(now)

    def commit(self, now: float, *, at_once: bool = False) -> None:
        """Commit the items that wait, where it is time for that or `at_once` is said, and acknowledge them."""
        due = self.intake.due
        if due == math.inf or (due > now and not at_once):
            return
        for taken in self.intake.commit(now):
            it = self._of(taken.node)
            if it is None or it.session.hello is None or it.session.hello.outbox != taken.epoch:
                continue
            if taken.seq is not None:
                it.session.ack(taken.seq, now)
            else:
                self.counts["items refused"] += 1
                it.session.bye(taken.sentence or "items are missing before those that came.", now)
                self._drain(self._nodes[taken.node], it, now)
            self.stirred.add(self._nodes[taken.node])

    def notify(self, node: str, now: float) -> None:
        """There may be news for this node; it is told at once if it is here."""
        it = self._of(node)
        if it is not None:
            self._tell_news(it, now)
            self.stirred.add(self._nodes[node])

    def relearn(self, now: float) -> None:
        """What is to be learned may be something else: every device here is told what it is to do."""
        for number, it in self.connections.items():
            it.session.learn(self.samples.wants(it.node), now)
            self.stirred.add(number)

    def warn(self, node: str, sentence: str, key: str, now: float) -> None:
        """Something that this node sent was wrong and belongs to no frame."""
        it = self._of(node)
        if it is None:
            self.counts[key] += 1
        else:
            it.session.warn(sentence, key, now)
            self.stirred.add(self._nodes[node])

    def outgoing(self, connection: int) -> list[bytes]:
        it = self.connections.get(connection)
        return it.session.outgoing() if it is not None else []

    def speaking(self, connection: int) -> bool:
        """Whether the connection has something to send, or is to be closed."""
        it = self.connections.get(connection)
        return it is None or it.session.speaking or it.session.closed

    def closed(self, connection: int) -> bool:
        it = self.connections.get(connection)
        return it is None or it.session.closed

    def next_wake(self) -> float | None:
        wakes = [self.lectures.due] if len(self.lectures) else []
        wakes += [w for it in self.connections.values() if (w := it.session.next_wake()) is not None]
        if self.intake.due < math.inf:
            wakes.append(self.intake.due)
        return min(wakes, default=None)

    # Work

    def work(self, now: float) -> Run | None:
        """The next run for the free worker, or None; the rim calls `finished` before it asks again."""
        while not self._running:
            batch = self.batcher.next(now)
            if batch is None:
                return None
            for item in batch.expired:
                self._refuse(item.value, "its deadline passed before the server could begin.", now, "expired")
            if batch.items:
                self._running = True
                return Run(batch.items[0].key, batch.items, now)
        return None

    def lecture(self, now: float) -> Run | None:
        """The next run for the teacher's worker; what it cannot answer in time goes to the tails. `finished` as for `work`."""
        items, others = self.lectures.next(now)
        for item in others:
            self._queue(item, now)
        return Run(items[0].key, items, now, taught=True) if items else None

    def finished(self, run: Run, outcome: Sequence[Answer | str | None], seconds: float, now: float) -> None:
        """The worker is done with `run`: an answer or a sentence for each of its frames; None where the teacher has none, so that
        the tail is asked.
        """
        if run.taught:
            self.lectures.finished(run.key, seconds, now)
        else:
            self._running = False
            self.batcher.took(run.key, seconds)
        for item, result in zip(run.items, outcome, strict=True):
            job = item.value
            if result is None:
                self.counts["teacher without an answer"] += 1
                if job.connection in self.connections and self.connections[job.connection].session.owes(job.frame):
                    self._queue(item, now)
                continue
            if isinstance(result, str):
                self._refuse(job, result, now, "unreadable payload")
                continue
            it = self.connections.get(job.connection)
            if it is None:
                continue
            wait = max(0.0, now - item.arrived - seconds)
            reply = Reply(result, wait=wait, tail=seconds, batch=len(run.items), queue=len(self.batcher))
            self.stirred.add(job.connection)
            if it.session.answer(job.frame, reply, now):
                it.remember(job.frame, result)
                self.answered[job.stream.address] += 1
                self.counts["answered by the teacher"] += run.taught

    def whole(self, node: str, record: FrameRecord) -> FrameRecord:
        """A row of a device's ledger with the answer that this server gave put back in."""
        it = self._of(node)
        answer = it.answers.pop(record.frame, None) if it is not None else None
        if answer is None or record.mode not in ("split", "image"):
            return record
        return msgspec.structs.replace(record, answer=answer)

    def totals(self) -> dict[str, int]:
        """What all sessions counted, those that are gone included, and the queue's own counts."""
        total = Counter(self._gone) + self.counts + self.intake.counts + self.samples.counts
        for it in self.connections.values():
            total += it.session.counts
        return dict(total)

    def streams(self) -> Counter[str]:
        """Open streams by address of the model."""
        greeted = (it.session.hello for it in self.connections.values())
        return Counter(s.address for hello in greeted if hello is not None for s in hello.streams)

    # Inside

    def _drain(self, number: int, it: Connection, now: float) -> None:
        for event in it.session.events():
            if isinstance(event, Arrived):
                item = Item(
                    self._key(event.stream), event.deadline_by, now, Job(number, event.frame, event.stream, event.payload)
                )
                if event.flags:
                    self.samples.carried(it.node, event.frame, event.stream, event.payload, event.flags, now)
                if not (self._teaches(event.stream) and self.lectures.add(item, now)):
                    self._queue(item, now)
            elif isinstance(event, Sampled):
                self.samples.came(it.node, event.sample)
            elif isinstance(event, Cancelled):
                gone = event.frame
                self._drop(lambda job: job.connection == number and job.frame == gone)  # noqa: B023 (used at once)
            elif isinstance(event, Posted):
                assert it.session.hello is not None
                self.intake.add(it.node, it.session.hello.outbox, event.item)
            elif isinstance(event, Opened):
                it.node = event.hello.node
                self._supersede(number, it.node, now)
                self._tell_news(it, now)
            elif isinstance(event, Closed):
                self.counts["closed sessions"] += 1
                self._drop(lambda job: job.connection == number)

    def _queue(self, item: Item[Job], now: float) -> None:
        """A frame for the tails."""
        if not self.batcher.add(item):
            self._refuse(item.value, f"the server's queue is full ({len(self.batcher)} frames).", now, "queue full")

    def _drop(self, unwanted: Callable[[Job], bool]) -> int:
        """Frames that nobody waits for leave both queues; how many these are."""
        return len(self.batcher.drop(unwanted)) + len(self.lectures.drop(unwanted))

    def _of(self, node: str) -> Connection | None:
        return self.connections.get(self._nodes.get(node, 0))

    def _supersede(self, number: int, node: str, now: float) -> None:
        """The connection `number` is the node's from here on; an earlier one ends."""
        before, self._nodes[node] = self._nodes.get(node), number
        if before is not None and before in self.connections:
            self.counts["superseded"] += 1
            old = self.connections[before]
            old.session.bye(f"another connection of {node} took over; is a second device running under its name?", now)
            self._drain(before, old, now)
            self.stirred.add(before)

    def _tell_news(self, it: Connection, now: float) -> None:
        try:
            payload = self._news(it.node)
        except EdgewiseError as error:
            self.counts["news failed"] += 1
            log.error("there are no news for %s: %s", it.node, error)
            return
        if payload is not None:
            it.session.news(payload, now)

    def _refuse(self, job: Job, sentence: str, now: float, key: str) -> None:
        self.counts[key] += 1
        it = self.connections.get(job.connection)
        if it is not None:
            it.session.refuse(job.frame, sentence, now)
            self.stirred.add(job.connection)
