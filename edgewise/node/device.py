"""The rim around the agent: a source in a thread, one worker for inference, a transport that comes and goes, real time.

Nothing is decided here. Whatever happens is told to the `Agent`, and whatever the agent wants done is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.answer import FrameRecord
from edgewise.core.errors import EdgewiseError, LinkError
from edgewise.core.placement import OperatingPoint
from edgewise.core.rollout import Health
from edgewise.data.source import Sample, Source
from edgewise.net.connect import backoff
from edgewise.net.transport import Transport
from edgewise.node.agent import Agent
from edgewise.node.background import background, cancel, within
from edgewise.node.heads import Heads
from edgewise.node.work import Work
from edgewise.runtime.slots import gently

log = logging.getLogger("edgewise.device")
Connect = Callable[[], Awaitable[Transport]]
Done = Callable[[float], None]
LAST_STREAM = 0xF000  # beyond it, numbers of streams begin again
FAREWELL = 1.0  # s that the last rows of the ledger may take to the server


class Next(Struct, frozen=True):
    """Models that are warm and wait for a moment between two inferences; `adopted` is set then."""

    heads: Heads
    points: tuple[OperatingPoint, ...]
    streams: dict[str, int]
    adopted: asyncio.Event


class DeviceNode:
    """Runs an agent until its source ends, `seconds` are over or `stop()` is called.

    `connect` is None for a device without a server. `on_record` and `on_sample` are told what happens (page, file);
    `on_news` what the site says.
    """

    def __init__(
        self,
        agent: Agent,
        heads: Heads,
        source: Source,
        connect: Connect | None,
        on_record: Callable[[FrameRecord], None] | None = None,
        on_sample: Callable[[int, Sample], None] | None = None,
        on_news: Callable[[bytes], None] | None = None,
    ) -> None:
        self.agent, self.heads, self.source = agent, heads, source
        self.first_record: float | None = None
        self.sentences: dict[str, None] = {}  # why source, link or work are not well, for a person; in order, each once
        self.broken = False  # the source or a part of this node failed
        self.bytes_up = self.bytes_down = 0  # everything over the transport: frames, telemetry, heartbeats
        self._connect = connect
        self._on_record, self._on_sample, self.on_news = on_record, on_sample, on_news
        self._samples: dict[int, NDArray[Any]] = {}
        self._worker = ThreadPoolExecutor(1, "edgewise-worker")
        self._write_wake, self._time_wake = asyncio.Event(), asyncio.Event()
        self._hung_up = asyncio.Event()
        self._done, self._flushed = asyncio.Event(), asyncio.Event()
        self._frames = 0
        self._swapping = asyncio.Lock()
        self._next: Next | None = None

    def stop(self) -> None:
        self._done.set()

    async def run(self, seconds: float | None = None, frames: int | None = None) -> None:
        """Everything at once; returns when every frame's fate is known, and told to the server if it is there."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(self._worker, self.heads.warm)
        feeder = threading.Thread(target=self._feed, args=(frames,), name="edgewise-source", daemon=True)
        tasks = [background(self._keep_time(), "the timer", self._died)]
        if self._connect is not None:
            tasks.append(background(self._keep_connected(self._connect), "the connection", self._died))
        feeder.start()
        try:
            await within(self._done.wait(), seconds)
        finally:
            self._done.set()
            self.source.close()
            await self._settle()
            self.agent.close(time.monotonic(), "stopped")
            await self._say_farewell()
            await cancel(*tasks)
            await self._loop.run_in_executor(None, feeder.join, 2.0)
            await self._loop.run_in_executor(None, self._worker.shutdown)
            self._publish()

    async def swap(self, heads: Heads, points: tuple[OperatingPoint, ...]) -> None:
        """Use other models, with these operating points of theirs; returns when they are in use.

        They are loaded and run once beside the old ones, then the server is told of their streams, and the change falls between
        two inferences. ModelError where they do not load; the old ones stay in use then.
        """
        async with self._swapping:
            await asyncio.get_running_loop().run_in_executor(None, gently, heads.warm)
            while self.agent.session.renewing:  # a swap before this one was given up on its way
                await asyncio.sleep(0.01)
            last = max((s.id for s in self.agent.session.hello.streams), default=0)
            streams = heads.streams(last + 1 if last < LAST_STREAM else 1)
            hello = replace(self.agent.session.hello, streams=streams, bundle=heads.address)
            self._next = Next(heads, points, {s.point: s.id for s in streams}, asyncio.Event())
            adopted = self._next.adopted
            self.agent.renew(hello, time.monotonic())
            self._turn()
            await adopted.wait()

    def health(self) -> Health:
        """Of the version in use, since it came into use."""
        return self.agent.health(time.monotonic())

    def _adopt(self) -> None:
        """The change of models, if one waits and this is the moment."""
        if self._next is not None and self.agent.may_adopt:
            self.heads = self._next.heads
            self.agent.adopt(self._next.points, self._next.streams, time.monotonic(), self._next.heads.filter)
            self._next.adopted.set()
            self._next = None

    def _died(self, sentence: str) -> None:
        """A part of this node failed: say so, and end."""
        self.broken = True
        self.say(sentence)
        self.stop()

    def say(self, sentence: str) -> None:
        self.sentences[sentence] = None

    async def _settle(self) -> None:
        """Frames under way get their deadline to be answered in."""
        until = time.monotonic() + self.agent.config.deadline + 0.5
        while self.agent.busy and time.monotonic() < until:
            await asyncio.sleep(0.01)

    async def _say_farewell(self) -> None:
        """The last rows of the ledger, until the server has them; then BYE."""
        self._turn()
        session, rows, until = self.agent.session, self.agent.rows, time.monotonic() + FAREWELL
        while session.open and rows is not None and rows.waiting_rows and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if session.open:
            session.bye("stopped", time.monotonic())
            self._flushed.clear()
            self._write_wake.set()
            await within(self._flushed.wait(), FAREWELL)

    # The source, in its thread

    def _feed(self, frames: int | None) -> None:
        sentence, broken = "", False
        try:
            for sample in self.source:
                if self._done.is_set():
                    break
                self._loop.call_soon_threadsafe(self._sampled, sample)
                if frames is not None and sample.frame + 1 >= frames:
                    break
        except EdgewiseError as error:
            sentence, broken = str(error), True
        except Exception as error:  # the border of the source's thread
            log.exception("the source failed")
            sentence, broken = f"the source failed: {type(error).__name__}: {error}", True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(self._source_ended, sentence, broken)

    def _source_ended(self, sentence: str, broken: bool) -> None:
        if sentence:
            self.say(sentence)
            log.error("the source ended: %s", sentence)
        self.broken = self.broken or broken
        self._done.set()

    def _sampled(self, sample: Sample) -> None:
        if self.agent.closed:
            return
        number, self._frames = self._frames, self._frames + 1
        self._samples[number] = sample.image
        if self._on_sample is not None:
            self._on_sample(number, sample)
        self.agent.frame(number, sample.captured, time.monotonic())
        self._turn()

    # The worker

    def _turn(self) -> None:
        """Give the worker its next piece, publish what ended, wake the writer and the timer."""
        self._adopt()
        work = self.agent.work(time.monotonic())
        if work is not None:
            future = self._loop.run_in_executor(self._worker, self._do, work, self._samples[work.frame])
            future.add_done_callback(lambda f: self._worked(work, f))
        self._publish()
        self._write_wake.set()
        self._time_wake.set()
        if self.agent.hung_up:
            self._hung_up.set()

    def _do(self, work: Work, sample: NDArray[Any]) -> Done:
        """In the worker's thread: run it, and say how the agent is to be told."""
        frame = work.frame
        look = self.heads.look(sample) if work.look else None
        steps = look.parts if look is not None else {}
        unseen = look is not None and not look.passes
        if look is not None and unseen and work.learn is None:
            present = look.present
            return lambda now: self.agent.filtered(frame, present, steps, now)
        learns = self.agent.lessons.learner is not None
        if learns and self.agent.lessons.follows is not None:
            self.heads.follow(self.agent.lessons.follows)
        if work.task == "sample":
            picture, parts = self.heads.coded(sample, work.point.level)
            statistics = self.heads.statistics() if work.statistics else b""
            return lambda now: self.agent.coded(picture, parts, now, statistics)
        if work.task == "local" and not unseen:
            own = self.heads.local(sample, look, learns)
            return lambda now: self.agent.answered(frame, own.answer, steps | own.parts, now, own.doubt)
        if work.task == "prepare" and work.point.mode == "exit":
            tried = self.heads.attempt(sample, learns)
            if tried.sure:
                return lambda now: self.agent.left(frame, tried.answer, tried.doubt, tried.parts, now, tried.known)
            made = self.heads.prepare(sample, work.point, tried)
            return lambda now: self.agent.prepared(frame, made.payload, tried.parts | made.parts, now, made.ends, made.guarded)
        it = self.heads.prepare(sample, work.learn if unseen and work.learn is not None else work.point, look)
        return lambda now: self.agent.prepared(frame, it.payload, steps | it.parts, now, it.ends, it.guarded, unseen)

    def _worked(self, work: Work, future: asyncio.Future[Done]) -> None:
        now = time.monotonic()
        try:
            future.result()(now)
        except EdgewiseError as error:
            self.say(str(error))
            self.agent.broke(work.frame, "bad picture", now)
        except Exception as error:  # the border of the worker: this frame fails, the next one is tried
            log.exception("work on frame %d failed", work.frame)
            self.say(f"work on a frame failed: {type(error).__name__}: {error}")
            self.agent.broke(work.frame, "error", now)
        self._turn()

    def _publish(self) -> None:
        for record in self.agent.records():
            if self.first_record is None:
                self.first_record = time.monotonic()
            if self._on_record is not None:
                self._on_record(record)
        for payload in self.agent.news():
            if self.on_news is not None:
                self.on_news(payload)
        for frame in [f for f in self._samples if not self.agent.holds(f)]:
            del self._samples[frame]

    # Time and the transport

    async def _keep_time(self) -> None:
        while True:
            self._time_wake.clear()
            wake = self.agent.next_wake()
            delay = 0.5 if wake is None else min(max(wake - time.monotonic(), 0.0), 0.5)
            await within(self._time_wake.wait(), delay)
            if wake is not None and time.monotonic() >= wake:
                self.agent.tick(time.monotonic())
                self._turn()

    async def _keep_connected(self, connect: Connect) -> None:
        attempt, random = 0, Random()
        while True:
            await asyncio.sleep(backoff(attempt, random.uniform))
            attempt += 1
            try:
                transport = await connect()
            except LinkError as error:
                if str(error) not in self.sentences:
                    self.say(str(error))
                    log.warning("no server: %s", error)
                continue
            if await self._serve(transport):
                attempt = 1  # it was well once: soon again, but never at once

    async def _serve(self, transport: Transport) -> bool:
        """One connection, until either side ends it; whether the two sides had greeted each other."""
        self._hung_up.clear()
        self.agent.connected(time.monotonic())
        reader = asyncio.create_task(self._read(transport))
        writer = asyncio.create_task(self._write(transport))
        hung_up = asyncio.create_task(self._hang_up())
        tasks = {reader, writer, hung_up}
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            greeted = self.agent.greeted
            await cancel(*tasks)
            self.agent.lost(time.monotonic())
            self._turn()
            await transport.close()
        for task in ended:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, LinkError):
                log.warning("connection lost: %s", error)
            elif error is not None:
                raise error
        return greeted

    async def _hang_up(self) -> None:
        """The session ended by itself; its last words get a moment to leave, if the wire takes them at all."""
        await self._hung_up.wait()
        await within(self._flushed.wait(), 0.2)

    async def _read(self, transport: Transport) -> None:
        while True:
            data = await transport.receive()
            self.bytes_down += len(data)
            self.agent.receive(data, time.monotonic())
            self._turn()

    async def _write(self, transport: Transport) -> None:
        while True:
            self._write_wake.clear()
            self._flushed.clear()
            for data in self.agent.outgoing(time.monotonic()):
                await transport.send(data)
                self.bytes_up += len(data)
            self._flushed.set()
            await self._write_wake.wait()
