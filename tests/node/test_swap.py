"""Other models in a running device: warmed beside the old ones, agreed on the open session, changed between two inferences."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data.sources.feed import Picture, Source
from edgewise.meter.energy import EnergyModel
from edgewise.net.listen import Peer
from edgewise.net.messages import Hello, Stream
from edgewise.net.session import DeviceSession
from edgewise.net.transport import Pipe
from edgewise.node.agent import Agent, AgentConfig
from edgewise.node.device import DeviceNode
from edgewise.node.heads import Own, Prepared
from edgewise.node.rows import Rows
from edgewise.node.server import EdgeServer
from edgewise.node.store.outbox import MemoryOutbox
from edgewise.plan.online import OnlinePolicy

LOCAL = OperatingPoint("local", "local", device_time=0.001, quality={"all": Quality(0.5, 0.5, 0.5, 1)})


def points(name: str) -> tuple[OperatingPoint, ...]:
    return (LOCAL, OperatingPoint(name, "split", "affine", 4, 100, 0, 0.001, 0.001, {"all": Quality(0.9, 0.9, 0.9, 1)}))


class Heads:
    """Models that take no time; `address` goes into each payload, so that the server sees who made it."""

    def __init__(self, address: str, point: str, breaks: bool = False) -> None:
        self.address, self.point, self.breaks = address, point, breaks
        self.warmed = 0

    def warm(self) -> None:
        self.warmed += 1
        if self.breaks:
            raise ModelError("a part cannot be read")

    def streams(self, first: int = 1) -> tuple[Stream, ...]:
        return (Stream(first, self.address, self.point, "affine", 4, (1,), "float32"),)

    filter = None

    def local(self, image: object, look: object = None, doubts: bool = False) -> Own:
        return Own(Answer(), {"local": 0.001})

    def prepare(self, image: object, point: OperatingPoint, look: object = None) -> Prepared:
        assert point.name in (self.point, "local")
        return Prepared(self.address.encode(), {"head": 0.001})


class Model:
    """Holds the versions in `held`; what it answers says which version the features came from."""

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.mixed = 0

    @property
    def models(self) -> dict[str, str]:
        return dict.fromkeys(self.held, "m")

    def accept(self, stream: Stream) -> str | None:
        return None if stream.address in self.held else f"no model {stream.address}."

    def key(self, stream: Stream) -> tuple[str, str]:
        return stream.address, "split"

    def run(self, frames: Sequence[tuple[Stream, memoryview]]) -> list[Answer | str]:
        self.mixed += sum(bytes(payload).decode() != stream.address for stream, payload in frames)
        return [Answer(cells=bytes(payload)) for _, payload in frames]


class Frames(Source):
    def pictures(self) -> Iterator[Picture]:
        while not self._closing.is_set():
            yield "", np.zeros((4, 4, 3), np.uint8)


class Site:
    """A device at 50 frames a second, and a real server behind a pipe."""

    def __init__(self, model: Model, served: bool = True) -> None:
        self.records: list[FrameRecord] = []
        self.connections = 0
        self.server = EdgeServer(model)
        heads = Heads("old", "split-old")
        rows = Rows(MemoryOutbox(), time.time)
        session = DeviceSession(Hello("n", "0", heads.streams(), "old"), rows)
        policy = OnlinePolicy(points("split-old"), 1 / 50)
        agent = Agent(AgentConfig("n", 0.5), policy, session, {"split-old": 1}, EnergyModel(2.0, 5.0), rows)
        connect = self.connect if served else None
        self.device = DeviceNode(agent, heads, Frames("f", 50.0), connect, on_record=self.records.append)  # type: ignore[arg-type]

    async def connect(self) -> Pipe:
        near, far = Pipe.pair()
        self.connections += 1
        self.task = asyncio.create_task(self.server.handle(far, Peer("n", "device", "")))  # type: ignore[arg-type]
        return near

    async def swap(self, heads: Heads) -> None:
        await self.device.swap(heads, points(heads.point))  # type: ignore[arg-type]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.01)

    def answered(self, point: str) -> int:
        return sum(r.point == point and r.outcome == "answered" for r in self.records)


async def run(site: Site, play: Callable[[], object]) -> None:
    await site.server.start()
    running = asyncio.create_task(site.device.run())
    try:
        await play()  # type: ignore[misc]
    finally:
        site.device.stop()
        await running
        await site.server.stop()


async def test_versions_follow_each_other_and_no_frame_is_lost_refused_or_mixed() -> None:
    site = Site(Model("old", "new", "newer"))

    async def play() -> None:
        await site.until(lambda: site.answered("split-old") > 5)
        assert site.device.health().frames > 5
        await site.swap(Heads("new", "split-new"))
        assert site.device.health().seconds < 5.0
        assert site.device.agent.version == 1
        await site.until(lambda: site.answered("split-new") > 5)
        await site.swap(Heads("newer", "split-newer"))
        await site.until(lambda: site.answered("split-newer") > 5)

    await run(site, play)
    table = site.device.agent.ledger.table()
    assert table.balanced and table.failed == {}
    assert site.connections == 1, "the session stayed open"
    totals = site.server.edge.totals()
    assert (totals.get("refused", 0), totals.get("unknown stream", 0), totals.get("refused stream", 0)) == (0, 0, 0)
    assert site.server.model.mixed == 0  # type: ignore[attr-defined]
    order = [r.point for r in sorted(site.records, key=lambda r: r.frame) if r.mode == "split"]
    assert order == sorted(order, key=["split-old", "split-new", "split-newer"].index)
    assert site.server.edge.answered.keys() == {"old", "new", "newer"}


async def test_a_version_that_does_not_load_changes_nothing() -> None:
    site = Site(Model("old"))

    async def play() -> None:
        await site.until(lambda: site.answered("split-old") > 2)
        with pytest.raises(ModelError, match="cannot be read"):
            await site.swap(Heads("new", "split-new", breaks=True))
        seen = site.answered("split-old")
        await site.until(lambda: site.answered("split-old") > seen + 3)

    await run(site, play)
    assert site.device.agent.version == 0
    assert site.device.agent.ledger.table().failed == {}


async def test_a_version_that_the_server_does_not_hold_answers_alone_and_says_why() -> None:
    site = Site(Model("old"))

    async def play() -> None:
        await site.until(lambda: site.answered("split-old") > 2)
        await site.swap(Heads("new", "split-new"))
        await site.until(lambda: site.answered("local") > 5)

    await run(site, play)
    assert any("no model new" in w for w in site.device.agent.warnings)
    assert site.device.agent.ledger.table().failed == {}
    assert site.answered("split-new") == 0


async def test_without_a_server_the_change_is_at_once_and_the_next_greeting_is_the_new_one() -> None:
    site = Site(Model("old", "new"))
    connect, site.device._connect = site.device._connect, None

    async def play() -> None:
        await site.until(lambda: site.answered("local") > 2)
        await site.swap(Heads("new", "split-new"))
        assert site.device.agent.version == 1
        assert site.device.agent.session.hello.bundle == "new"
        joined = asyncio.create_task(site.device._keep_connected(connect))  # type: ignore[arg-type]
        await site.until(lambda: site.answered("split-new") > 3)
        joined.cancel()
        await asyncio.gather(joined, return_exceptions=True)

    await run(site, play)
    assert site.server.edge.totals().get("refused stream", 0) == 0


async def test_a_connection_that_ends_in_the_middle_of_a_swap_does_not_hold_it_up() -> None:
    site = Site(Model("old", "new"))

    async def play() -> None:
        await site.until(lambda: site.answered("split-old") > 2)
        swapping = asyncio.create_task(site.swap(Heads("new", "split-new")))
        await site.until(lambda: site.device.agent.session.renewing or swapping.done())
        site.task.cancel()
        async with asyncio.timeout(5):
            await swapping
        await site.until(lambda: site.answered("split-new") > 3)

    await run(site, play)
    assert site.device.agent.ledger.table().failed == {}
