"""Items at the server's rim: rows and other kinds, within the transaction and after it, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgewise.core.answer import Answer, Box, FrameRecord
from edgewise.core.errors import LinkError, StoreError
from edgewise.net.items import Item
from edgewise.net.listen import Peer
from edgewise.net.messages import Hello, Stream, pack_records
from edgewise.net.session import Answered, DeviceSession, Event, News, Opened, Warned
from edgewise.net.transport import Pipe
from edgewise.node.server import EdgeServer
from edgewise.node.store.database import in_memory
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import MemoryOutbox

STREAM = Stream(1, "m", "s", "affine", 4, (1,), "float32")
SEEN = Answer((Box(0.0, 0.0, 1.0, 1.0, 0.9, "car"),), 1, 8, b"x")


class Model:
    models = {"m": "model"}

    def accept(self, stream: Stream) -> str | None:
        return None

    def key(self, stream: Stream) -> tuple[str, str]:
        return "m", "split"

    def run(self, frames: object) -> list[Answer | str]:
        return [SEEN] * len(frames)  # type: ignore[arg-type]


class Site:
    """A server with a database, and one device on a pipe. `order` is what the hooks were told, as it came."""

    def __init__(self) -> None:
        self.database = in_memory()
        self.order: list[tuple[str, object]] = []
        self.failing = 0
        self.server = EdgeServer(
            Model(),  # type: ignore[arg-type]
            on_record=lambda row: self.order.append(("record", row.frame)),
            inbox=Inbox(self.database),
            transaction=self.transaction,
            on_rows=lambda node, rows: self.order.append(("rows", [r.frame for r in rows])),
            on_items=lambda node, kind, items: self.order.append((kind, [i.body for i in items])),
            news=lambda node: b"news of " + node.encode(),
        )
        self.outbox = MemoryOutbox()
        self.device = DeviceSession(Hello("cam", "0", (STREAM,)), self.outbox)
        self.events: list[Event] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.database.transaction():
            yield
            if self.failing:
                self.failing -= 1
                raise StoreError("the disk is full")
        self.order.append(("committed", None))

    async def __aenter__(self) -> Site:
        await self.server.start()
        self.pipe, far = Pipe.pair()
        self.task = asyncio.create_task(self.server.handle(far, Peer("cam", "device", "")))
        self.reader = asyncio.create_task(self.read())
        self.device.connected(time.monotonic())
        await self.until(lambda: self.device.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pipe.close()
        await asyncio.gather(self.reader, self.task, return_exceptions=True)
        await self.server.stop()

    async def read(self) -> None:
        try:
            while True:
                self.device.receive(await self.pipe.receive(), time.monotonic())
        except LinkError:
            return

    async def until(self, true: object) -> None:
        async with asyncio.timeout(10):
            while not true():  # type: ignore[operator]
                for data in self.device.outgoing(time.monotonic()):
                    await self.pipe.send(data)
                await asyncio.sleep(0.005)
                self.events += self.device.events()

    async def say(self, *items: tuple[str, bytes]) -> None:
        for kind, body in items:
            self.outbox.put(kind, body, time.time())
        self.device.stir()
        await self.until(lambda: not len(self.outbox))


def row(frame: int, node: str = "cam", mode: str = "local") -> FrameRecord:
    return FrameRecord(node, frame, 0.0, "answered", mode, "s", "why")  # type: ignore[arg-type]


async def test_effects_are_within_the_transaction_and_records_after_it() -> None:
    async with Site() as site:
        await site.say(
            ("rows", pack_records([row(1), row(2)])), ("report", b"a"), ("report", b"b"), ("rows", pack_records([row(3)]))
        )
        assert site.order == [
            ("rows", [1, 2]),
            ("report", [b"a", b"b"]),
            ("rows", [3]),
            ("committed", None),
            ("record", 1),
            ("record", 2),
            ("record", 3),
        ]
        assert site.server.health().counts["items"] == 4


async def test_records_of_a_transaction_that_failed_are_told_once_when_it_succeeds() -> None:
    async with Site() as site:
        site.failing = 2
        await site.say(("rows", pack_records([row(1), row(2)])))
        assert [frame for word, frame in site.order if word == "record"] == [1, 2]
        assert site.order.count(("rows", [1, 2])) == 3, "tried again each time"
        assert site.server.health().counts["commits failed"] == 2


async def test_health_says_that_the_store_fails() -> None:
    async with Site() as site:
        site.failing = 1
        site.outbox.put("rows", pack_records([row(1)]), 0.0)
        site.device.stir()
        await site.until(lambda: site.server.health().status != "ok")
        assert "disk is full" in site.server.health().status
        await site.until(lambda: not len(site.outbox))
        assert site.server.health().status == "ok"


async def test_rows_that_cannot_be_are_refused_with_a_sentence_and_do_not_come_again() -> None:
    async with Site() as site:
        await site.say(("rows", b"\xff"), ("rows", pack_records([row(1, "other")])), ("rows", pack_records([row(2)])))
        await site.until(lambda: sum(isinstance(e, Warned) for e in site.events) == 2)
        assert ["another node" in e.sentence for e in site.events if isinstance(e, Warned)] == [False, True]
        assert [told for told in site.order if told[0] == "record"] == [("record", 2)]
        assert site.server.health().counts["unreadable rows"] == 2


async def test_a_row_gets_the_answer_back_that_this_server_gave() -> None:
    async with Site() as site:
        rows: list[FrameRecord] = []
        site.server._on_record = rows.append
        site.device.offer(1, 1, b"x", time.monotonic() + 5, time.monotonic())
        await site.until(lambda: any(isinstance(e, Answered) for e in site.events))
        await site.say(("rows", pack_records([row(1, mode="split"), row(2)])))
        assert [r.answer for r in rows] == [SEEN, Answer()]


async def test_the_last_items_of_a_device_count_when_it_is_gone_at_once() -> None:
    async with Site() as site:
        site.order.clear()
        await site.say(("rows", pack_records([row(1)])))
        site.outbox.put("rows", pack_records([row(2)]), 0.0)
        site.device.stir()
        for data in site.device.outgoing(time.monotonic()):
            await site.pipe.send(data)
        site.device.bye("stopped", time.monotonic())
        for data in site.device.outgoing():
            await site.pipe.send(data)
        await site.pipe.close()
        await site.task
        assert [told for told in site.order if told[0] == "record"] == [("record", 1), ("record", 2)]


async def test_news_come_at_the_opening_and_when_there_are_others() -> None:
    async with Site() as site:
        await site.until(lambda: any(isinstance(e, News) for e in site.events))
        assert isinstance(site.events[0], Opened)
        site.server.notify("cam")
        site.server.notify("nobody")
        await site.until(lambda: sum(isinstance(e, News) for e in site.events) == 2)
        assert {e.payload for e in site.events if isinstance(e, News)} == {b"news of cam"}


async def test_items_that_were_seen_before_have_no_effect() -> None:
    async with Site() as site:
        await site.say(("report", b"a"), ("report", b"b"))
        before = len(site.order)
        epoch = site.outbox.epoch
        assert site.server._post("cam", epoch, [Item(0, 1, "report", b"a"), Item(1, 2, "report", b"b")]) == 2
        assert site.server._post("cam", epoch, [Item(3, 4, "report", b"d")]) is None
        assert len(site.order) == before


async def test_a_store_that_was_set_back_to_a_copy_goes_on_with_what_its_devices_still_have() -> None:
    async with Site() as site:
        await site.say(("report", b"a"), ("report", b"b"))
        site.database.execute("update inbox set watermark=1")  # the copy had seen the first one alone
        before = len(site.order)
        epoch, item = site.outbox.epoch, Item(2, 3, "report", b"c")
        assert [site.server._post("cam", epoch, [item]) for _ in range(3)] == [None, None, 3]
        assert site.order[before:] == [("report", [b"c"])]
        assert site.server._post("cam", epoch, [item]) == 3
        assert len(site.order) == before + 1
        assert site.server.health().counts["outboxes behind a store set back"] == 1
