"""The rim around the edge: WebSockets in, a worker thread for the tails and one for a teacher, health, metrics, structured logs.

Nothing is decided here; see `edgewise.node.edge`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import groupby
from typing import Literal, Protocol, runtime_checkable

import msgspec
from aiohttp import web
from msgspec import Struct

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import FrameError, LinkError
from edgewise.meter.memory import resident
from edgewise.net.edge_session import Limits, Wants, wants_nothing
from edgewise.net.items import Item
from edgewise.net.listen import Peer
from edgewise.net.messages import Stream, unpack_records
from edgewise.net.transport import Transport
from edgewise.node.background import background, cancel
from edgewise.node.edge import Edge, News, Run
from edgewise.node.intake import Transaction
from edgewise.node.ledger import FILTERED
from edgewise.node.rows import KIND
from edgewise.node.samples import OnSamples, Samples
from edgewise.node.store.database import in_memory
from edgewise.node.store.inbox import Inbox

log = logging.getLogger("edgewise.server")
STUBBORN = 3  # times that a gap is there before the store is believed to be a copy of an earlier one
SWITCH = 5e-4  # s; at the default of 5 ms the worker's Python would hold the sockets up for as long


class Model(Protocol):
    """What the server runs: `Tails`, or a stand-in where only the wire is measured."""

    @property
    def models(self) -> dict[str, str]: ...
    def accept(self, stream: Stream) -> str | None: ...
    def key(self, stream: Stream) -> tuple[str, str]: ...
    def run(self, frames: Sequence[tuple[Stream, memoryview]]) -> list[Answer | str]: ...


@runtime_checkable
class Taught(Protocol):
    """A model that may have a teacher, for which pictures wait in a queue of their own."""

    def teaches(self, stream: Stream) -> bool: ...
    def teach(self, frames: Sequence[tuple[Stream, memoryview]]) -> list[Answer | str | None]: ...


class Watermarks(Protocol):
    """Which items have had their effect; see `edgewise.node.store.inbox`."""

    def take(self, node: str, epoch: str, after: int, seq: int) -> Literal["new", "seen", "gap"]: ...
    def skip(self, node: str, epoch: str, after: int) -> None: ...


OnRows = Callable[[str, list[FrameRecord]], None]
OnItems = Callable[[str, str, list[Item]], None]


class Health(Struct, frozen=True):
    """What `/healthz` says."""

    status: str
    models: dict[str, str]
    devices: tuple[str, ...]
    queue: int
    forecast: float
    batch_mean: float
    counts: dict[str, int]
    memory: float
    uptime: float


class EdgeServer:
    """`handle` serves one device's transport.

    Items: within one `transaction`, `inbox` says which of them are new, and of those `on_rows` is told rows (node, rows) and
    `on_items` the others (node, kind, items). `on_record` is told each row after the commit. `news` says what a node is to be
    told (see `Edge`); `notify` asks it again.

    Learning: `wants` says what a node is to send to be learned from, `relearn` has it asked again, `on_samples` is told what
    came (node, samples).
    """

    def __init__(
        self,
        model: Model,
        limits: Limits = Limits(),
        largest: int = 8,
        on_record: Callable[[FrameRecord], None] | None = None,
        *,
        inbox: Watermarks | None = None,
        transaction: Transaction = nullcontext,
        on_rows: OnRows | None = None,
        on_items: OnItems | None = None,
        news: News = lambda node: None,
        wants: Wants = wants_nothing,
        on_samples: OnSamples | None = None,
    ) -> None:
        self.model = model
        self._taught = model if isinstance(model, Taught) else None
        self.edge = Edge(
            model.accept,
            model.key,
            limits,
            largest,
            post=self._post,
            transaction=self._commit,
            news=news,
            samples=Samples(wants, on_samples),
            teaches=self._taught.teaches if self._taught is not None else lambda stream: False,
        )
        self._inbox = inbox if inbox is not None else Inbox(in_memory())
        self._transaction, self._on_rows, self._on_items = transaction, on_rows, on_items
        self._fresh: list[FrameRecord] = []  # rows of the transaction that is open
        self._gaps: dict[str, tuple[tuple[str, int], int]] = {}  # by node: epoch and number before the gap, and how often
        self._commits: asyncio.TimerHandle | None = None
        self._lectures: asyncio.TimerHandle | None = None  # when pictures must go to the tails
        self.batches: deque[int] = deque(maxlen=256)
        self.seconds: deque[float] = deque(maxlen=256)  # of each run of the tails
        self.worked = 0.0  # s that the worker has worked in all
        self.border: Counter[str] = Counter()  # what the door counts, told by whoever opens it
        self.failing = ""  # why the last batch failed; "" where it did not
        self.tutor = ""  # why the teacher failed last
        self._on_record = on_record
        self._worker = ThreadPoolExecutor(1, "edgewise-tails")
        self._teacher = ThreadPoolExecutor(1, "edgewise-teacher")  # no thread until it has something to do
        self._wakes: dict[int, asyncio.Event] = {}
        self._started = time.monotonic()
        self._timer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(SWITCH)
        gc.collect()
        gc.freeze()  # models and modules stay: the collector need not walk them while frames wait
        self._timer = background(self._keep_time(), "the server's timer", self._fail)

    def _fail(self, sentence: str) -> None:
        self.failing = sentence

    def notify(self, node: str) -> None:
        """There may be news for this node."""
        self.edge.notify(node, time.monotonic())
        self._turn()

    def relearn(self) -> None:
        """What devices are to send may be something else now."""
        self.edge.relearn(time.monotonic())
        self._turn()

    async def stop(self) -> None:
        if self._timer is not None:
            await cancel(self._timer)
        for timer in (self._commits, self._lectures):
            if timer is not None:
                timer.cancel()
        self._worker.shutdown(wait=True)
        self._teacher.shutdown(wait=True)

    async def handle(self, transport: Transport, peer: Peer) -> None:
        """One device, from its first byte to its last."""
        connection = self.edge.connected(peer.node, time.monotonic())
        wake = self._wakes[connection] = asyncio.Event()
        writer = asyncio.create_task(self._write(transport, connection, wake))
        log.info("device connected", extra={"node": peer.node, "connection": connection})
        reason = "closed"
        try:
            while not self.edge.closed(connection):
                data = await transport.receive()
                self.edge.receive(connection, data, time.monotonic())
                self._turn()
        except LinkError as error:
            reason = str(error)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            del self._wakes[connection]
            self.edge.lost(connection, time.monotonic())
            log.info("device left", extra={"node": peer.node, "connection": connection, "reason": reason})
            await transport.close()

    async def _write(self, transport: Transport, connection: int, wake: asyncio.Event) -> None:
        try:
            while True:
                wake.clear()
                for data in self.edge.outgoing(connection):
                    await transport.send(data)
                if self.edge.closed(connection):
                    await transport.close()
                    return
                await wake.wait()
        except LinkError:
            return  # the reader meets the same end, and says so

    def _turn(self) -> None:
        """Hand out work if the worker is free, commit items in time, and wake the writers that have something to send."""
        now = time.monotonic()
        while self._taught is not None and (lecture := self.edge.lecture(now)) is not None:
            future = self._loop.run_in_executor(self._teacher, self._lecture, self._taught, lecture)
            future.add_done_callback(partial(self._lectured, lecture))
        if self._lectures is None and (due := self.edge.lectures.due) < math.inf:
            self._lectures = self._loop.call_later(max(0.0, due - now), self._lecture_due)
        run = self.edge.work(now)
        if run is not None:
            self._begin(run)
        if self._commits is None and (due := self.edge.intake.due) < math.inf:
            self._commits = self._loop.call_later(max(0.0, due - now), self._commit_due)
        while self.edge.stirred:
            connection = self.edge.stirred.pop()
            if connection in self._wakes and self.edge.speaking(connection):
                self._wakes[connection].set()

    def _lecture_due(self) -> None:
        self._lectures = None
        self._turn()

    def _commit_due(self) -> None:
        self._commits = None
        self.edge.commit(time.monotonic())
        self._turn()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """One transaction of the intake; its rows are told when they are on the disk, and not at all where it fails."""
        self._fresh = []
        with self._transaction():
            yield
        for record in self._fresh:
            self._count(record)
            if self._on_record is not None:
                self._on_record(record)
        self._fresh = []

    def _count(self, record: FrameRecord) -> None:
        """What devices did before a frame came here, or instead of it."""
        for kind, so in (
            ("frames left out by a filter", record.reason == FILTERED and record.outcome == "dropped"),
            ("frames tried against a filter", record.learn and record.outcome == "answered"),
            ("frames missed by a filter", record.missed),
            ("frames cut for the link", record.cut > 0),
            ("frames cut by their guard", record.guarded > 0),
        ):
            if so:
                self.edge.counts[kind] += 1

    def _post(self, node: str, epoch: str, items: list[Item]) -> int | None:
        new, whole = [], True
        for item in items:
            verdict = self._inbox.take(node, epoch, item.after, item.seq)
            if verdict == "gap" and self._forgot(node, epoch, item.after):
                self._inbox.skip(node, epoch, item.after)
                verdict = self._inbox.take(node, epoch, item.after, item.seq)
            if verdict == "gap":
                whole = False
                break
            if verdict == "new":
                new.append(item)
        for kind, group in groupby(new, key=lambda item: item.kind):
            several = list(group)
            if kind == KIND:
                for item in several:
                    self._take_rows(node, item)
            elif self._on_items is not None:
                self._on_items(node, kind, several)
        return items[-1].seq if whole else None

    def _forgot(self, node: str, epoch: str, after: int) -> bool:
        """Whether a gap is there again and again, though each connection begins with all that the device still has: then it is
        the store that lacks what it once acknowledged, as one that was set back to a copy does.
        """
        before, times = self._gaps.get(node, (("", 0), 0))
        times = times + 1 if before == (epoch, after) else 1
        self._gaps[node] = ((epoch, after), times)
        if times < STUBBORN:
            return False
        del self._gaps[node]
        self.edge.counts["outboxes behind a store set back"] += 1
        log.warning("the store does not know what it acknowledged to %s before item %d: it goes on from there", node, after)
        return True

    def _take_rows(self, node: str, item: Item) -> None:
        try:
            rows = [self.edge.whole(node, row) for row in unpack_records(item.body)]
            if strange := next((row for row in rows if row.node != node), None):
                raise FrameError("telemetry is of another node", got=strange.node[:64], allowed=node)
        except FrameError as error:  # it counts as taken, or it would come again for ever
            self.edge.warn(node, str(error), "unreadable rows", time.monotonic())
            return
        if self._on_rows is not None:
            self._on_rows(node, rows)
        self._fresh += rows

    def _begin(self, run: Run) -> None:
        future = self._loop.run_in_executor(self._worker, self._do, run)
        future.add_done_callback(lambda f: self._finished(run, f))

    def _do(self, run: Run) -> tuple[list[Answer | str], float]:
        began = time.perf_counter()
        outcome = self.model.run(run.frames)
        return outcome, time.perf_counter() - began

    def _finished(self, run: Run, future: asyncio.Future[tuple[list[Answer | str], float]]) -> None:
        now = time.monotonic()
        try:
            outcome, seconds = future.result()
            self.failing = ""
        except Exception as error:  # a task's border: the batch is refused, the server goes on
            log.exception("a batch failed")
            self.failing = f"a batch failed: {type(error).__name__}: {error}"
            outcome, seconds = [f"the server could not answer: {type(error).__name__}."] * len(run.items), 0.0
        self.edge.finished(run, outcome, seconds, now)
        self.batches.append(len(run.items))
        self.seconds.append(seconds)
        self.worked += seconds
        self._turn()

    def _lecture(self, model: Taught, run: Run) -> tuple[list[Answer | str | None], float]:
        began = time.perf_counter()
        return model.teach(run.frames), time.perf_counter() - began

    def _lectured(self, run: Run, future: asyncio.Future[tuple[list[Answer | str | None], float]]) -> None:
        try:
            outcome, seconds = future.result()
        except Exception as error:  # a task's border: the tails answer what the teacher cannot
            log.exception("a teacher failed")
            self.border["teacher failed"] += 1
            self.tutor = f"the teacher failed: {type(error).__name__}: {error}"
            outcome, seconds = [None] * len(run.items), 0.0
        self.edge.finished(run, outcome, seconds, time.monotonic())
        self._turn()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self.edge.tick(time.monotonic())
            self._turn()

    # What people and machines may ask

    def health(self) -> Health:
        edge = self.edge
        return Health(
            status=self.failing or edge.intake.failing or "ok",
            models=self.model.models,
            devices=tuple(sorted(c.node for c in edge.connections.values())),
            queue=len(edge.batcher),
            forecast=edge.batcher.forecast(),
            batch_mean=sum(self.batches) / len(self.batches) if self.batches else 0.0,
            counts=dict(Counter(edge.totals()) + self.border),
            memory=resident(),
            uptime=time.monotonic() - self._started,
        )

    def routes(self) -> list[web.RouteDef]:
        """`/healthz` and `/metrics`."""
        from edgewise.node.metrics import exposition

        async def healthz(request: web.Request) -> web.Response:
            health = self.health()
            status = 200 if health.status == "ok" else 503
            return web.Response(body=msgspec.json.encode(health), content_type="application/json", status=status)

        async def metrics(request: web.Request) -> web.Response:
            body, kind = exposition(self.health())
            return web.Response(body=body, headers={"Content-Type": kind})

        return [web.get("/healthz", healthz), web.get("/metrics", metrics)]
