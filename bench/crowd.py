"""Many devices that take one small version, in one process: real TLS connections, sessions, updaters, files by HTTP.

A device here is everything of delivery and nothing of vision: it greets, hears news, fetches the delta, rebuilds the files to the
byte, swaps its slot in its database, and reports. It does not load the models: a hundred devices share this machine's cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.processes import job, say
from edgewise.apps.vision.bundles import find
from edgewise.apps.vision.keys import device_identity
from edgewise.apps.vision.updates import build
from edgewise.core.artifact import MANIFEST, parse
from edgewise.core.errors import LinkError
from edgewise.net.connect import connect
from edgewise.net.fetch import Fetcher
from edgewise.net.frame import HEADER_SIZE
from edgewise.net.identity import client_context
from edgewise.net.messages import Hello
from edgewise.net.session import DeviceSession, News
from edgewise.net.signing import Verifier
from edgewise.net.transport import Transport
from edgewise.node.background import within
from edgewise.node.delivery.updater import Updater
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.memory import Memory
from edgewise.node.store.outbox import Outbox
from edgewise.runtime.bundle import bundle_files

MEMORY = "/dev/shm"  # many disks in one machine's: their syncs would be what is measured


class CrowdJob(Struct, frozen=True):
    """Devices `names`, with keys in `folder`/devices, at the server on `port`; each waits for version `version`."""

    folder: str
    port: int
    root: str
    names: tuple[str, ...]
    version: int
    patience: float = 60.0


class Took(Struct, frozen=True):
    """When (s since 1970) a device had swapped, and the bytes that came down for it, with their headers: all, and the news."""

    node: str
    at: float
    down: int
    news: int


class CrowdResult(Struct, frozen=True):
    """Of the devices that took the version; `cpu` (s) is this process's from the first news on."""

    took: tuple[Took, ...]
    cpu: float


class Device:
    """One of the crowd; its disk is in memory where the machine has such a folder."""

    def __init__(self, it: CrowdJob, node: str, files: dict[str, bytes], folder: Path) -> None:
        self.it, self.node = it, node
        self.identity = device_identity(Path(it.folder) / "devices" / node, node)
        disk = RealDisk(folder / node)
        database = disk.connect("device.db")
        outbox = Outbox(database)
        blobs = Blobs(disk)
        self.updater = Updater(node, database, blobs, Verifier(it.root, node, Memory(database)), outbox, build)
        manifest = parse(files[MANIFEST])
        self.model = manifest.name
        self.updater.begin(self.model, manifest.address, files, time.time())
        self.updater.restarted(time.time())
        self.session = DeviceSession(Hello(node, "bench", ()), outbox)
        self.took: Took | None = None
        self.down = self.news = 0
        self.wake, self.greeted, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        transport = await connect(f"127.0.0.1:{self.it.port}", self.identity)
        self.session.connected(time.monotonic())
        async with Fetcher(f"https://127.0.0.1:{self.it.port}", client_context(self.identity)) as fetcher:
            tasks = [asyncio.create_task(t) for t in (self._read(transport), self._write(transport), self._update(fetcher))]
            await self.done.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await transport.close()

    async def _read(self, transport: Transport) -> None:
        while True:
            self.session.receive(await transport.receive(), time.monotonic())
            for event in self.session.events():
                if isinstance(event, News):
                    self.down = self.news = HEADER_SIZE + len(event.payload)
                    self.updater.news(event.payload, time.time())
            if self.session.open:
                self.greeted.set()
            self.wake.set()

    async def _write(self, transport: Transport) -> None:
        while True:
            self.session.tick(time.monotonic())
            for data in self.session.outgoing(time.monotonic()):
                await transport.send(data)
            await within(self.wake.wait(), 0.2)
            self.wake.clear()

    async def _update(self, fetcher: Fetcher) -> None:
        while True:
            for fetch in self.updater.fetches():
                before = fetcher.bytes_down
                try:
                    place = fetch.at
                    async for _, piece in fetcher.get(fetch.path, fetch.at, fetch.size):
                        self.updater.fetched(fetch.sha256, place, piece, time.time())
                        place += len(piece)
                except LinkError as error:
                    self.updater.fetch_failed(fetch.sha256, str(error), time.time())
                self.down += fetcher.bytes_down - before
            if self.updater.swap_due() is not None and self.updater.swapped(time.time()):
                slot = self.updater.active(self.model)
                if slot is not None and slot.version == self.it.version:
                    self.took = Took(self.node, time.time(), self.down, self.news)
            self.updater.tick(time.time())
            await asyncio.sleep(0.02)


async def crowd(it: CrowdJob) -> CrowdResult:
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        return await _crowd(it, Path(folder))


async def _crowd(it: CrowdJob, folder: Path) -> CrowdResult:
    files = bundle_files(find("vehicles"))
    devices = [Device(it, name, files, folder) for name in it.names]
    runs = []
    for start in range(0, len(devices), 20):
        some = devices[start : start + 20]
        runs += [asyncio.create_task(d.run()) for d in some]
        await asyncio.gather(*(within(d.greeted.wait(), 20) for d in some))
    say({"greeted": sum(d.greeted.is_set() for d in devices)})
    cpu, until = time.process_time(), time.monotonic() + it.patience
    while any(d.took is None for d in devices) and time.monotonic() < until:
        await asyncio.sleep(0.05)
    cpu = time.process_time() - cpu
    for device in devices:
        device.done.set()
    with contextlib.suppress(LinkError):
        await asyncio.gather(*runs)
    return CrowdResult(tuple(d.took for d in devices if d.took is not None), cpu)


if __name__ == "__main__":
    say(asyncio.run(crowd(job(CrowdJob))))
