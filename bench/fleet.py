"""A fleet of light devices in one process: it loads a server, on real sockets, and times every frame.

Closed loop: each device has `window` frames under way and sends the next when one comes back; that finds the most frames
a second. Open loop: frames leave at a fixed rate, the devices in turn, whether the server keeps up or not, and a latency
counts from the moment the frame *should* have left: a slow server cannot hide behind a sender that waits for it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from bench.light import Light, connect
from bench.processes import job, say
from bench.report import summary
from bench.standin import POINT, payloads
from edgewise.core.answer import FrameRecord
from edgewise.core.errors import FrameError, IdentityError
from edgewise.net.allowance import Allowance
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.identity import Identity, client_context, issue, load_identity
from edgewise.net.items import Item, pack_items
from edgewise.net.messages import Hello, Refusal, Stream, pack, pack_records, unpack

DEADLINE = 2.0  # s a frame's answer may take; longer than any latency that is still of interest
SETTLE = 3.0  # s in which the last answers may come
ROWS = 8  # rows of telemetry in one item
TOLD = 100.0  # rows a second that a device tells at most; no camera has that many frames
_PARTS = {"fit": 1e-4, "head": 1e-3, "encode": 1e-4, "link": 1e-3, "wait": 1e-4, "tail": 1e-3}
ROW = FrameRecord("", 0, 0.0, "answered", "split", POINT, "the best of all points", latency=0.01, deadline=0.2, parts=_PARTS)


class FleetJob(Struct, frozen=True):
    """`talk` echo: the payload itself goes there and back; edge: a device of edgewise. `rate` 0 is a closed loop."""

    talk: Literal["echo", "edge"]
    port: int
    path: str
    folder: str
    streams: tuple[Stream, ...] = ()
    devices: int = 200
    seconds: float = 5.0
    warm: float = 1.0
    window: int = 1
    rate: float = 0.0


class FleetResult(Struct, frozen=True):
    """Of the time after the warm-up: frames that came back, their latencies (s) at quantiles, and what did not come back."""

    seconds: float
    frames: int
    sent: int
    answered: int
    refused: int
    unanswered: int
    lost: int
    p50: float
    p99: float
    low: float
    high: float
    cpu: float
    sentence: str


def identity(folder: Path, number: int) -> Identity:
    """Each device has a name of its own, and its certificate: a second connection under one name would end the first."""
    node = f"fleet{number}"
    try:
        return load_identity(folder, node)
    except IdentityError:
        return issue(folder, node, "device")


class Device:
    """One light device; frames go out by `send`, the clock of each starts when it was due."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number = fleet, number
        self.link: Light | None = None
        self.ready = asyncio.get_running_loop().create_future()
        self._frame = 0
        self._due: dict[int, float] = {}
        self._echoes: deque[float] = deque()
        self._rows: list[FrameRecord] = []
        self._telling = Allowance(TOLD, TOLD)
        self._item = 0
        self._identity = identity(Path(fleet.job.folder), number)
        self._context = client_context(self._identity)

    @property
    def under_way(self) -> int:
        return len(self._due) + len(self._echoes)

    async def open(self) -> None:
        it = self.fleet.job
        self.link = await connect(it.port, it.path, self._context, self._message, self._ended)
        if it.talk == "edge":
            self.link.send(encode(Header(Kind.HELLO), pack(Hello(self._identity.node, "bench", it.streams, outbox="light"))))
            async with asyncio.timeout(10):
                await self.ready

    def send(self, due: float) -> None:
        assert self.link is not None
        payload = self.fleet.payloads[(self._frame + self.number) % len(self.fleet.payloads)]
        self.fleet.sent += 1
        self._frame += 1
        if self.fleet.job.talk == "echo":
            self._echoes.append(due)
            self.link.send(payload)
            return
        self._due[self._frame] = due
        header = Header(Kind.DATA, self._frame, self.fleet.job.streams[0].id, int(DEADLINE * 1e6))
        self.link.send(encode(header, payload))

    def _message(self, message: bytes) -> None:
        if self.fleet.job.talk == "echo":
            self.fleet.came_back(self, self._echoes.popleft())
            return
        try:
            header, payload = decode(message, 1 << 20)
        except FrameError as error:
            self.fleet.sentence = str(error)
            return
        if header.kind is Kind.ANSWER:
            self._report(header.frame)
            self.fleet.came_back(self, self._due.pop(header.frame))
        elif header.kind is Kind.WELCOME:
            self.ready.set_result(None)
        elif header.kind is Kind.PING:
            assert self.link is not None
            self.link.send(encode(Header(Kind.PONG, header.frame)))
        elif header.kind in (Kind.REFUSE, Kind.CANCEL, Kind.BYE):
            self.fleet.sentence = unpack(Refusal, payload).sentence if len(payload) else header.kind.name
            if header.kind is not Kind.BYE and self._due.pop(header.frame, None) is not None:
                self.fleet.refused += 1
                self.fleet.next(self)

    def _report(self, frame: int) -> None:
        """A row of the ledger for the server, as a real agent sends it with the others of some frames."""
        if not self._telling.take(1, time.monotonic()):
            return
        self._rows.append(replace(ROW, node=self._identity.node, frame=frame))
        if len(self._rows) >= ROWS:
            assert self.link is not None
            item = Item(self._item, self._item + 1, "rows", pack_records(self._rows))
            self.link.send(encode(Header(Kind.ITEM), pack_items([item])))
            self._item += 1
            self._rows.clear()

    def _ended(self, reason: str) -> None:
        if not self.fleet.closing:
            self.fleet.lost += 1
            self.fleet.sentence = reason


class Fleet:
    """See the module."""

    def __init__(self, it: FleetJob) -> None:
        self.job = it
        self.payloads = payloads()
        self.latencies: list[float] = []
        self.sent = self.answered = self.refused = self.lost = 0
        self.sentence = ""
        self.closing = False
        self._measuring = self._sending = False

    async def run(self) -> FleetResult:
        it = self.job
        devices = [Device(self, n) for n in range(it.devices)]
        for start in range(0, len(devices), 20):  # a server's queue of new connections is bounded
            await asyncio.gather(*(d.open() for d in devices[start : start + 20]))
        gc.collect()
        gc.freeze()  # the fleet's own collector must not pause the frames that it times
        self._sending = True
        load = asyncio.create_task(self._pace(devices)) if it.rate else None
        if load is None:
            for device in devices:
                for _ in range(it.window):
                    device.send(time.perf_counter())
        await asyncio.sleep(it.warm)
        self._measuring, began, cpu = True, time.perf_counter(), time.process_time()
        say({"measuring": True})
        await asyncio.sleep(it.seconds)
        self._measuring, seconds, cpu = False, time.perf_counter() - began, time.process_time() - cpu
        say({"measuring": False})
        self._sending = False
        if load is not None:
            await load
        until = time.perf_counter() + SETTLE
        while any(d.under_way for d in devices) and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        self.closing = True
        unanswered = sum(d.under_way for d in devices)
        for device in devices:
            if device.link is not None:
                device.link.close()
        await asyncio.sleep(0.1)
        middle, last = (summary("fleet", "latency", self.latencies or [0.0], "s", q) for q in (0.5, 0.99))
        return FleetResult(
            seconds=seconds,
            frames=len(self.latencies),
            sent=self.sent,
            answered=self.answered,
            refused=self.refused,
            unanswered=unanswered,
            lost=self.lost,
            p50=middle.value,
            p99=last.value,
            low=middle.low or 0.0,
            high=middle.high or 0.0,
            cpu=cpu,
            sentence=self.sentence,
        )

    def came_back(self, device: Device, due: float) -> None:
        self.answered += 1
        if self._measuring:
            self.latencies.append(time.perf_counter() - due)
        self.next(device)

    def next(self, device: Device) -> None:
        """In a closed loop, the frame after one that ended."""
        if self._sending and not self.job.rate:
            device.send(time.perf_counter())

    async def _pace(self, devices: list[Device]) -> None:
        """Frame n is due at start + n / rate and is sent by device n modulo the fleet."""
        start, n = time.perf_counter(), 0
        while self._sending:
            now = time.perf_counter()
            while (due := start + n / self.job.rate) <= now:
                devices[n % len(devices)].send(due)
                n += 1
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


if __name__ == "__main__":
    say(asyncio.run(Fleet(job(FleetJob)).run()))
