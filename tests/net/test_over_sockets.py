"""Both sessions over real TLS sockets: frames are answered, a server that comes back is found again, and the sum holds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import LinkError
from edgewise.core.link import Link
from edgewise.net.connect import backoff, connect
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.identity import Identity, issue, make_authority, server_context
from edgewise.net.links.proxy import start
from edgewise.net.listen import Listener, Peer
from edgewise.net.messages import Hello, Refusal, Reply, Stream, pack, unpack, unpack_records
from edgewise.net.session import (
    Answered,
    Arrived,
    Closed,
    DeviceSession,
    Dropped,
    EdgeSession,
    Event,
    Failed,
    Limits,
    Opened,
    Pong,
    Posted,
)
from edgewise.net.transport import Transport
from edgewise.node.rows import Rows
from edgewise.node.store.outbox import MemoryOutbox

STREAM = Stream(1, "a" * 64, "s4", "affine", 4, (1, 8, 23, 40), "float32")
Session = DeviceSession | EdgeSession


async def drive(session: Session, transport: Transport, seen: Callable[[Event], None], wake: asyncio.Event) -> None:
    """The rim: one reader, one writer that also keeps time."""
    clock = asyncio.get_running_loop().time
    session.connected(clock())

    async def write() -> None:
        while True:
            session.tick(clock())
            while messages := session.outgoing(clock()):
                for message in messages:
                    await transport.send(message)
            closed = False
            for event in session.events():
                seen(event)
                closed |= isinstance(event, Closed)
            if closed:
                return await transport.close()
            wake.clear()
            try:
                async with asyncio.timeout_at(session.next_wake()):
                    await wake.wait()
            except TimeoutError:
                pass

    writer = asyncio.get_running_loop().create_task(write())
    try:
        while True:
            session.receive(await transport.receive(), clock())
            wake.set()
    except LinkError:
        session.lost(clock())
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        for event in session.events():
            seen(event)


class Edge:
    """A server that answers at once; `records` are what the devices told."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.records, self.limits = identity, list[FrameRecord](), Limits(credit=2)
        self.listener: Listener | None = None

    async def start(self, port: int = 0) -> int:
        self.listener = Listener(self._handle, server_context(self.identity))
        return await self.listener.start("127.0.0.1", port)

    async def stop(self) -> None:
        assert self.listener is not None
        await self.listener.close()

    async def _handle(self, transport: Transport, peer: Peer) -> None:
        session, wake = EdgeSession(self.limits, node=peer.node), asyncio.Event()

        def seen(event: Event) -> None:
            if isinstance(event, Arrived):
                session.answer(event.frame, Reply(Answer(cells=bytes(event.payload[:1]))), event.now)
                wake.set()
            elif isinstance(event, Posted):
                self.records.extend(unpack_records(event.item.body))
                session.ack(event.item.seq, asyncio.get_running_loop().time())
                wake.set()

        await drive(session, transport, seen, wake)


class Device:
    """Offers frames at a rate, reconnects for ever, and keeps account."""

    def __init__(self, address: str, identity: Identity) -> None:
        self.address, self.identity = address, identity
        self.rows = Rows(MemoryOutbox(), lambda: 0.0)
        self.session = DeviceSession(Hello(identity.node, "0.1", (STREAM,)), self.rows)
        self.wake = asyncio.Event()
        self.ends: Counter[int] = Counter()
        self.events: list[Event] = []
        self.opened: list[float] = []
        self.offered = 0

    def seen(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Answered | Dropped | Failed):
            self.ends[event.frame] += 1
        elif isinstance(event, Opened):
            self.opened.append(asyncio.get_running_loop().time())

    async def run(self) -> None:
        attempt, rng = 0, random.Random(1)
        while True:
            await asyncio.sleep(backoff(attempt, rng.uniform))
            attempt += 1
            try:
                transport = await connect(self.address, self.identity)
            except LinkError:
                continue
            try:
                await drive(self.session, transport, self.seen, self.wake)
                attempt = 0
            finally:
                await transport.close()

    async def offer(self, seconds: float, size: int = 2000, every: float = 0.01, patience: float = 0.3) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while clock() < until:
            self.session.offer(self.offered, 1, bytes([self.offered % 256]) * size, clock() + patience, clock())
            self.offered += 1
            self.wake.set()
            await asyncio.sleep(every)

    def count(self, kind: type) -> int:
        return sum(isinstance(e, kind) for e in self.events)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, Identity]:
    folder: Path = tmp_path_factory.mktemp("identity")
    make_authority(folder)
    return issue(folder, "edge-1", "edge"), issue(folder, "cam-1", "device")


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def test_frames_are_answered_telemetry_arrives_and_a_restart_loses_no_account(
    identities: tuple[Identity, Identity],
) -> None:
    edge = Edge(identities[0])
    port = await edge.start()
    device = Device(f"127.0.0.1:{port}", identities[1])
    run = asyncio.create_task(device.run())
    await until(lambda: device.session.open)
    for i in range(3):
        device.rows.add(FrameRecord("cam-1", i, 0.0, "dropped", "drop", "drop", "still"), 0.0)
    device.rows.flush()
    device.session.stir()
    await device.offer(0.5)
    before = device.count(Answered)
    assert before > 3
    assert device.count(Pong) >= 1
    await until(lambda: len(edge.records) == 3 and device.rows.waiting_rows == 0)

    await edge.stop()
    await device.offer(0.4)
    assert not device.session.open
    listening = asyncio.get_running_loop().time()
    await edge.start(port)
    await until(lambda: device.session.open)
    assert device.opened[-1] - listening < 10.0  # the back-off's cap is 0.8 s; the rest is a busy machine's
    await device.offer(0.3)
    assert device.count(Answered) > before

    await asyncio.sleep(0.4)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await edge.stop()
    device.session.lost(1e9)
    for event in device.session.events():
        device.seen(event)
    assert device.ends == Counter(range(device.offered))
    for event in device.events:
        if isinstance(event, Answered):
            assert event.reply.answer.cells == bytes([event.frame % 256])
            assert event.bytes_up == 2024


async def test_a_slow_link_is_not_mistaken_for_a_dead_one(identities: tuple[Identity, Identity]) -> None:
    """20 KB frames over 48 kbit/s take 3.3 s each, longer than the silence limit; the newest wins, and the link stays."""
    edge = Edge(identities[0])
    port = await edge.start()
    proxy = await start(("127.0.0.1", 0), ("127.0.0.1", port), Link("l", rate_up=8e6, delay=0.005))
    device = Device(f"127.0.0.1:{proxy.port}", identities[1])
    run = asyncio.create_task(device.run())
    await until(lambda: device.session.open)
    proxy.set_link(Link("slow", rate_up=48e3, delay=0.005))
    await device.offer(3.6, size=20_000, every=0.05, patience=0.2)
    assert device.session.open
    assert device.count(Closed) == 0
    counts = device.session.counts
    assert counts["sent"] <= 4  # the window holds back what the link cannot carry
    assert counts["deadline"] >= 1
    assert counts["expired"] + counts["superseded"] >= 10
    proxy.set_link(Link("fast"))
    before = device.count(Answered)
    await asyncio.sleep(0.3)
    await device.offer(0.5, size=20_000)
    assert device.count(Answered) > before
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await proxy.close()
    await edge.stop()


async def test_a_hostile_device_is_answered_in_sentences_and_another_is_served(identities: tuple[Identity, Identity]) -> None:
    edge = Edge(identities[0])
    port = await edge.start()
    hostile = await connect(f"127.0.0.1:{port}", identities[1])
    device = Device(f"127.0.0.1:{port}", identities[1])
    run = asyncio.create_task(device.run())
    await until(lambda: device.session.open)
    rng = random.Random(3)
    await hostile.send(encode(Header(Kind.HELLO), pack(Hello("cam-1", "0.1", (STREAM,)))))
    frame = encode(Header(Kind.DATA, 7, 1), bytes(500))
    sentences: list[str] = []
    try:
        for _ in range(40):
            bad = bytearray(rng.choice([frame, rng.randbytes(rng.randrange(600)), frame[: rng.randrange(len(frame))]]))
            if bad:
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            await hostile.send(bytes(bad))
        while True:
            header, payload = decode(await hostile.receive(), 1 << 20)
            if header.kind in (Kind.REFUSE, Kind.BYE):
                sentences.append(unpack(Refusal, payload).sentence)
    except LinkError:
        pass
    await device.offer(0.3)
    assert len(sentences) > 10
    assert all(s.endswith((".", "?")) for s in sentences)
    assert "too much that cannot be read" in sentences[-1]
    assert device.count(Closed) == 0
    assert device.count(Answered) > 5
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await hostile.close()
    await edge.stop()
