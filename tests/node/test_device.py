"""The device's rim by itself: real threads and time, a transport that misbehaves, sources and work that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import LinkError, SourceError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data.sources.feed import Picture, Source
from edgewise.meter.energy import EnergyModel
from edgewise.net.messages import Hello, Reply, Stream, unpack_records
from edgewise.net.session import Arrived, DeviceSession, EdgeSession, Posted
from edgewise.net.transport import Pipe
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Own, Prepared
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.plan.online import OnlinePolicy

LOCAL = OperatingPoint("local", "local", device_time=0.005, quality={"all": Quality(0.5, 0.5, 0.5, 1)})
SPLIT = OperatingPoint("split-4", "split", "affine", 4, 1_000, 0, 0.003, 0.003, {"all": Quality(0.9, 0.9, 0.9, 1)})
STREAM = Stream(1, "m", "split-4", "affine", 4, (1,), "float32")


class Frames(Source):
    """`count` blank pictures, then `end()` is called."""

    def __init__(self, count: int, rate: float = 20.0, end: Callable[[], None] = lambda: None) -> None:
        super().__init__("test", rate)
        self.count, self.end = count, end

    def pictures(self) -> Iterator[Picture]:
        for i in range(self.count):
            yield str(i), np.zeros((4, 4, 3), np.uint8)
        self.end()


class Heads:
    """No models: `local` and `prepare` take a few milliseconds; the frames in `bad` raise."""

    def __init__(self, bad: Callable[[int], Exception | None] = lambda n: None) -> None:
        self.bad, self.n = bad, -1

    def warm(self) -> None: ...

    def local(self, image: object, look: object = None, doubts: bool = False) -> Own:
        self.n += 1
        if (error := self.bad(self.n)) is not None:
            raise error
        time.sleep(0.005)
        return Own(Answer(), {"local": 0.005})

    def prepare(self, image: object, point: object, look: object = None) -> Prepared:
        time.sleep(0.003)
        return Prepared(bytes(1000), {"head": 0.003})


class Edge:
    """The server's end of a pipe; answers frames at once while `answers`, and keeps the rows that it is told."""

    def __init__(self, answers: bool = True) -> None:
        self.answers, self.records, self.connections = answers, list[FrameRecord](), 0

    async def connect(self) -> Pipe:
        near, far = Pipe.pair()
        self.connections += 1
        asyncio.get_running_loop().create_task(self.serve(far))
        return near

    async def serve(self, pipe: Pipe) -> None:
        session = EdgeSession()
        session.connected(time.monotonic())
        try:
            while True:
                session.receive(await pipe.receive(), time.monotonic())
                for event in session.events():
                    if isinstance(event, Arrived) and self.answers:
                        session.answer(event.frame, Reply(Answer()), time.monotonic())
                    elif isinstance(event, Posted):
                        self.records += unpack_records(event.item.body)
                        session.ack(event.item.seq, time.monotonic())
                for data in session.outgoing():
                    await pipe.send(data)
        except LinkError:
            return


def node(source: Source, connect: object = None, heads: Heads | None = None, deadline: float = 0.15) -> DeviceNode:
    policy = OnlinePolicy((LOCAL, SPLIT), 1 / 20)
    rows = Rows(MemoryOutbox(), time.time)
    session = DeviceSession(Hello("n", "0", (STREAM,)), rows, silence=0.6, heartbeat=0.2, handshake=0.3)
    agent = Agent(AgentConfig("n", deadline), policy, session, {"split-4": 1}, EnergyModel(2.0, 5.0), rows)
    return DeviceNode(agent, heads or Heads(), source, connect)  # type: ignore[arg-type]


async def test_the_server_is_told_every_row_to_the_last() -> None:
    edge = Edge()
    device = node(Frames(30), edge.connect)
    await asyncio.wait_for(device.run(), 10)
    table = device.agent.ledger.table()
    assert table.balanced and table.sent == 30
    assert sorted(r.frame for r in edge.records) == list(range(30))
    assert "split" in table.modes


async def test_a_server_that_falls_mute_costs_no_frame() -> None:
    edge = Edge(answers=False)
    device = node(Frames(60), edge.connect, deadline=0.4)  # a busy machine is late by more than the insurance keeps free
    await asyncio.wait_for(device.run(), 15)
    table = device.agent.ledger.table()
    assert table.failed == {}
    assert set(table.modes) == {"local"}
    assert table.sent == 60


class Stuck:
    """A transport whose `send` never returns, as when a link swallows everything."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        await asyncio.Event().wait()

    async def receive(self) -> bytes:
        await self.closed.wait()
        raise LinkError("closed")

    async def close(self) -> None:
        self.closed.set()


async def test_a_link_that_swallows_everything_is_left_and_tried_again() -> None:
    made: list[Stuck] = []

    async def connect() -> Stuck:
        made.append(Stuck())
        return made[-1]

    device = node(Frames(200), connect)
    await asyncio.wait_for(device.run(seconds=2.5), 10)
    assert 3 <= len(made) <= 12
    assert all(t.closed.is_set() for t in made)
    assert device.agent.ledger.table().failed == {}


async def test_a_server_that_hangs_up_at_once_is_not_hammered() -> None:
    class Rude:
        def __init__(self) -> None:
            session = EdgeSession()
            session.connected(0.0)
            session.bye("go away", 0.0)
            self.words = session.outgoing()

        async def send(self, data: bytes) -> None: ...

        async def receive(self) -> bytes:
            if self.words:
                return self.words.pop(0)
            raise LinkError("closed")

        async def close(self) -> None: ...

    made: list[Rude] = []

    async def connect() -> Rude:
        made.append(Rude())
        return made[-1]

    device = node(Frames(100), connect)
    await asyncio.wait_for(device.run(seconds=2.0), 10)
    assert 2 <= len(made) <= 30


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("odd"), RuntimeError("worse"), SourceError("the camera vanished")])
async def test_a_source_that_fails_ends_the_run_with_its_sentence(error: Exception) -> None:
    def end() -> None:
        raise error

    device = node(Frames(5, end=end))
    await asyncio.wait_for(device.run(), 10)
    assert device.broken
    assert any(str(error).rstrip(".") in s for s in device.sentences)
    assert device.agent.ledger.table().sent == 5
    assert device.agent.ledger.table().balanced


async def test_work_that_fails_fails_its_frame_alone() -> None:
    device = node(Frames(20), heads=Heads(lambda n: RuntimeError("a bug") if n == 3 else None))
    await asyncio.wait_for(device.run(), 10)
    table = device.agent.ledger.table()
    assert table.failed == {"error": 1}
    assert table.answered + sum(table.dropped.values()) == 19
    assert any("a bug" in s for s in device.sentences)


async def test_a_task_that_dies_ends_the_run_and_is_told() -> None:
    async def connect() -> Pipe:
        raise ValueError("no such port")

    device = node(Frames(10_000), connect)
    await asyncio.wait_for(device.run(), 10)
    assert device.broken
    assert any("no such port" in s for s in device.sentences)


async def test_a_slow_worker_at_the_end_is_waited_for_without_harm() -> None:
    class Slow(Heads):
        def local(self, image: object, look: object = None, doubts: bool = False) -> Own:
            time.sleep(1.2)
            return Own(Answer(), {"local": 1.2})

    device = node(Frames(3), heads=Slow())
    await asyncio.wait_for(device.run(), 10)
    table = device.agent.ledger.table()
    assert table.balanced
    assert table.failed.get("stopped", 0) >= 1
    assert device.agent.ledger.energy > 0, "what it did in vain is charged all the same"
