"""The rim around the agent: a source in a thread, one worker for inference, a transport that comes and goes, real time.

Nothing is decided here. Whatever happens is told to the `Agent`, and whatever the agent wants done is done.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import EdgewiseError, LinkError
from edgewise.data.source import Sample, Source
from edgewise.net.connect import backoff
from edgewise.net.transport import Transport
from edgewise.node.agent import Agent, Work
from edgewise.node.heads import Heads

log = logging.getLogger("edgewise.device")
Connect = Callable[[], Awaitable[Transport]]
Done = Callable[[float], None]


class DeviceNode:
    """Runs an agent until its source ends, `seconds` are over or `stop()` is called.

    `connect` is None for a device without a server. `on_record` and `on_sample` are told what happens (page, file).
    """

    def __init__(
        self,
        agent: Agent,
        heads: Heads,
        source: Source,
        connect: Connect | None,
        on_record: Callable[[FrameRecord], None] | None = None,
        on_sample: Callable[[int, Sample], None] | None = None,
    ) -> None:
        self.agent, self.heads, self.source = agent, heads, source
        self.first_record: float | None = None
        self.sentence = ""  # why the source or the link is not well, for a person
        self._connect = connect
        self._on_record, self._on_sample = on_record, on_sample
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._worker = ThreadPoolExecutor(1, "edgewise-worker")
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._frames = 0

    def stop(self) -> None:
        self._done.set()

    async def run(self, seconds: float | None = None, frames: int | None = None) -> None:
        """Everything at once; returns when every frame's fate is known."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(self._worker, self.heads.warm)
        feeder = threading.Thread(target=self._feed, args=(frames,), name="edgewise-source", daemon=True)
        tasks = [asyncio.create_task(self._keep_time())]
        if self._connect is not None:
            tasks.append(asyncio.create_task(self._keep_connected(self._connect)))
        feeder.start()
        try:
            await asyncio.wait_for(self._done.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self.source.close()
            await self._settle()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.run_in_executor(None, feeder.join, 2.0)
            self._worker.shutdown(wait=True)
            self.agent.close(time.monotonic(), "stopped")
            self._publish()

    async def _settle(self) -> None:
        """Frames under way get their deadline to be answered in."""
        until = time.monotonic() + self.agent.config.deadline + 0.5
        while self.agent.ledger.sent != self._ended() and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def _ended(self) -> int:
        table = self.agent.ledger.table()
        return table.answered + sum(table.dropped.values()) + sum(table.failed.values())

    # The source, in its thread

    def _feed(self, frames: int | None) -> None:
        try:
            for sample in self.source:
                self._loop.call_soon_threadsafe(self._sampled, sample)
                if frames is not None and sample.frame + 1 >= frames:
                    break
        except EdgewiseError as error:
            self.sentence = str(error)
            log.error("source ended: %s", error)
        except RuntimeError:
            return  # the loop is closed: the run is over
        self._loop.call_soon_threadsafe(self._ended_source)

    def _ended_source(self) -> None:
        self._loop.create_task(self._finish())

    async def _finish(self) -> None:
        await self._settle()
        self._done.set()

    def _sampled(self, sample: Sample) -> None:
        if self._done.is_set():
            return
        number, self._frames = self._frames, self._frames + 1
        self._images[number] = sample.image
        if self._on_sample is not None:
            self._on_sample(number, sample)
        self.agent.frame(number, sample.captured, time.monotonic())
        self._turn()

    # The worker

    def _turn(self) -> None:
        """Give the worker its next piece, publish what ended, wake the writer and the timer."""
        work = self.agent.work(time.monotonic())
        if work is not None:
            image = self._images[work.frame]
            future = self._loop.run_in_executor(self._worker, self._do, work, image)
            future.add_done_callback(lambda f: self._worked(work, f))
        self._publish()
        self._wake.set()

    def _do(self, work: Work, image: NDArray[np.uint8]) -> Done:
        """In the worker's thread: run it, and say how the agent is to be told."""
        if work.task == "local":
            answer, parts = self.heads.local(image)
            return lambda now: self.agent.answered(work.frame, answer, parts, now)
        payload, steps = self.heads.prepare(image, work.point)
        return lambda now: self.agent.prepared(work.frame, payload, steps, now)

    def _worked(self, work: Work, future: asyncio.Future[Done]) -> None:
        now = time.monotonic()
        error = future.exception()
        if isinstance(error, EdgewiseError):
            self.agent.broke(work.frame, "bad picture", now)
            self.sentence = str(error)
        elif error is not None:
            raise error
        else:
            future.result()(now)
        self._turn()

    def _publish(self) -> None:
        for record in self.agent.records():
            if self.first_record is None:
                self.first_record = time.monotonic()
            # The server has its own answers; it is told only those that it did not give.
            known = record.mode in ("split", "image")
            self.agent.session.record(msgspec.structs.replace(record, answer=Answer()) if known else record)
            if self._on_record is not None:
                self._on_record(record)
        for frame in [f for f in self._images if not self.agent.holds(f)]:
            del self._images[frame]

    # Time and the transport

    async def _keep_time(self) -> None:
        while True:
            wake = self.agent.next_wake()
            delay = 0.5 if wake is None else min(max(wake - time.monotonic(), 0.0), 0.5)
            await asyncio.sleep(max(delay, 0.001))
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
                if self.sentence != str(error):
                    self.sentence = str(error)
                    log.warning("no server: %s", error)
                continue
            try:
                self.agent.connected(time.monotonic())
                writer = asyncio.create_task(self._write(transport))
                try:
                    while True:
                        data = await transport.receive()
                        attempt = 0
                        self.agent.receive(data, time.monotonic())
                        self._turn()
                finally:
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
            except LinkError as error:
                log.warning("connection lost: %s", error)
            finally:
                self.agent.lost(time.monotonic())
                self._turn()
                await transport.close()

    async def _write(self, transport: Transport) -> None:
        while True:
            self._wake.clear()
            for data in self.agent.outgoing(time.monotonic()):
                await transport.send(data)
            if self.agent.hung_up:
                await transport.close()
                return
            await self._wake.wait()
