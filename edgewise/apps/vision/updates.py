"""The rim of delivery on a device: what the updater wants is fetched, rebuilt, loaded, swapped in and watched.

Nothing is decided here; see `edgewise.node.delivery.updater`. One loop, woken by news and by the clock: fetches run beside it,
the work of a delta and the loading of a version run in threads, and the camera's frames are answered all the while. Whatever is
asked of the updater or told to it is done by one thread of its own, which waits for the disk in place of the frames.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from edgewise.apps.vision import probe
from edgewise.core.artifact import MANIFEST
from edgewise.core.errors import ConfigError, EdgewiseError, InputError, LinkError, ModelError
from edgewise.core.release import Release
from edgewise.core.rollout import Health
from edgewise.net.fetch import Fetcher
from edgewise.net.signing import Verifier
from edgewise.node.background import background, cancel, within
from edgewise.node.delivery.slots import Slot
from edgewise.node.delivery.updater import Updater
from edgewise.node.delivery.ways import CHUNK, Fetch
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.memory import Memory
from edgewise.node.store.outbox import Outbox
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.runtime.parcel import unpacked
from edgewise.runtime.slots import gently, warm
from edgewise.runtime.update import Files

log = logging.getLogger("edgewise.updates")
Swap = Callable[[], Awaitable[None]]
Given = TypeVar("Given")
WATCH = 1.0  # s between two looks at a version on trial
HEARD = 64  # news that wait for the updater


class Store:
    """What a device keeps between runs, in `folder`: the outbox, its versions, and what it remembers of trust."""

    def __init__(self, folder: Path, node: str, root_public: str, clock: Callable[[], float] = time.time) -> None:
        disk = RealDisk(folder)
        self.database = disk.connect("device.db")
        self.blobs, self.outbox = Blobs(disk), Outbox(self.database)
        self.clock = clock
        self.sentence = ""  # why the given bundle is not used; for a person
        self._fit: Callable[[Bundle], object] = lambda bundle: None
        self.verifier = Verifier(root_public, node, Memory(self.database))
        self.updater = Updater(node, self.database, self.blobs, self.verifier, self.outbox, build, inline=False)

    def trusted_time(self) -> float:
        """The wall clock, or what signed documents show to be later."""
        return self.verifier.time(self.clock())

    def revoked(self) -> tuple[str, ...]:
        """Serial numbers of certificates that the site has taken back."""
        known = self.verifier.known
        return known.revoked if known is not None else ()

    def begin(self, folder: Path, fit: Callable[[Bundle], object] = lambda bundle: None) -> Bundle:
        """The version to run now: the one in use when the last run ended, or else the bundle in `folder`, taken as proved.

        `fit` raises a ConfigError where a bundle does not go with what this run was asked for. That gives up a version on trial,
        but no proved one, and none where the device's own bundle would not do either: then the command is wrong.
        """
        self._fit = fit
        files = bundle_files(folder)
        given = Bundle.of(files)
        name = given.manifest.name
        self.updater.runs(name)
        self.sentence = self.updater.begin(name, given.address, files, self.clock())
        if self.sentence:
            log.warning("%s", self.sentence)
        self.updater.restarted(self.clock())
        while (slot := self.updater.active(name)) is not None:
            try:
                return self.load(slot)
            except EdgewiseError as error:
                if isinstance(error, ConfigError):
                    if slot.proved:
                        raise
                    fit(given)
                log.error("a version does not load: %s", error)
                self.updater.refused_to_load(str(error), self.clock())
                if (after := self.updater.active(name)) is not None and after.address == slot.address:
                    break
        return given

    def load(self, slot: Slot) -> Bundle:
        """The bundle in a slot, whole, warm and fit for this run; ModelError, StoreError or ConfigError where it is not."""
        bundle = Bundle.load(self.blobs.read(slot.files[MANIFEST].sha256), self.blobs.read)
        if bundle.address != slot.address:
            raise ModelError("a version is another one than its address says", got=bundle.address[:12], allowed=slot.address[:12])
        warm(bundle)
        self._fit(bundle)
        return bundle

    def ended(self) -> None:
        """The run ended as it should; one that did not counts against a version on trial."""
        self.updater.stopping(self.clock())

    def close(self) -> None:
        self.database.close()


def build(release: Release, base: Files, delta: bytes) -> dict[str, bytes]:
    """A release's files out of those of its base and a parcel (see `edgewise.node.delivery.courier.Build`)."""
    return unpacked(base, delta)


class Updates:
    """`ready` makes all of a loaded bundle that can fail, in a thread, and gives what brings it into use between two frames;
    `health` is that of the version since then; `say` tells a person.
    """

    def __init__(
        self,
        store: Store,
        bundle: Bundle,
        fetcher: Fetcher,
        ready: Callable[[Bundle], Swap],
        health: Callable[[], Health],
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.bundle = bundle
        self._store, self._updater, self._clock = store, store.updater, store.clock
        self._fetcher, self._ready, self._health, self._say = fetcher, ready, health, say
        self._worker = ThreadPoolExecutor(1, "edgewise-delivery")
        self._heard: deque[bytes] = deque(maxlen=HEARD)
        self._wake = asyncio.Event()
        self._quality: Health | None = None
        self._fetching: dict[str, asyncio.Task[None]] = {}

    def news(self, payload: bytes) -> None:
        """What the site says, as it came over the session."""
        self._heard.append(payload)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._take_up_trial()
            while True:
                self._wake.clear()
                try:
                    await self._turn()
                except EdgewiseError as error:  # the next turn may do better: a device without delivery never does
                    log.error("a turn of delivery failed: %s", error)
                    self._say(str(error))
                await within(self._wake.wait(), WATCH)
        finally:
            await cancel(*self._fetching.values())
            await asyncio.to_thread(self._worker.shutdown)  # the store is closed next

    async def _do(self, call: Callable[..., Given], *given: object) -> Given:
        """Call the updater in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *given)

    async def _take_up_trial(self) -> None:
        """A process that begins in the middle of a trial measures quality anew: without it no guard on quality is ever judged."""
        model = self.bundle.manifest.name
        try:
            running = await self._do(self._updater.active, model)
            standby = (await self._do(lambda: self._updater.status)).standby
            before = next((s for s in standby if s.model == model), None)
            if running is None or running.proved or before is None:
                return
            self._quality = await asyncio.to_thread(gently, lambda: judged(self.bundle, self._store.load(before)))
        except EdgewiseError as error:
            log.warning("the version before does not load, so quality is not compared: %s", error)

    async def _turn(self) -> None:
        await self._do(self._updater.tick, self._clock())
        while self._heard:
            await self._do(self._updater.news, self._heard.popleft(), self._clock())
        for fetch in await self._do(self._updater.fetches):
            if fetch.sha256 not in self._fetching:
                self._fetching[fetch.sha256] = background(self._fetch(fetch), f"the fetch of {fetch.sha256[:12]}", self._say)
        if (work := await self._do(self._updater.rebuild_due)) is not None:
            try:
                files = await asyncio.to_thread(gently, work.run)
                await self._do(self._updater.rebuilt, work, files, self._clock())
            except EdgewiseError as error:
                await self._do(self._updater.rebuilt, work, None, self._clock(), str(error))
            self._wake.set()
        if (slot := await self._do(self._updater.swap_due)) is not None:
            await self._bring_in(slot)
        running = await self._do(self._updater.active, self.bundle.manifest.name)
        if running is not None and not running.proved:
            await self._do(self._updater.health, self._watched(), self._clock(), running.model)

    def _watched(self) -> Health:
        health = self._health()
        known = self._quality
        return replace(health, quality=known.quality, before=known.before) if known is not None else health

    async def _bring_in(self, slot: Slot) -> None:
        old = self.bundle

        def made() -> tuple[Bundle, Swap]:
            bundle = self._store.load(slot)
            return bundle, self._ready(bundle)

        self._wake.set()
        try:
            bundle, swap = await asyncio.to_thread(gently, made)
            if not await self._do(self._updater.swapped, self._clock()):
                return
            await swap()
        except EdgewiseError as error:
            log.error("version %d of %s cannot be used: %s", slot.version, slot.model, error)
            await self._do(self._updater.refused_to_load, str(error), self._clock())
            self._say(str(error))
            return
        self.bundle, self._quality = bundle, None
        log.info("version %d of %s is in use", slot.version, slot.model, extra={"address": slot.address})
        if not slot.proved:
            self._quality = await asyncio.to_thread(gently, lambda: judged(bundle, old))

    async def _fetch(self, fetch: Fetch) -> None:
        """One try; what came stays."""
        held, place = bytearray(), fetch.at
        try:
            async with aclosing(self._fetcher.get(fetch.path, fetch.at, fetch.size)) as pieces:
                async for _, piece in pieces:
                    held += piece
                    while len(held) >= CHUNK:
                        place = await self._give(fetch.sha256, place, held)
                    if place < 0:
                        return  # the disk did not take it, or nobody wants it: the updater says when to ask again
            if held:
                await self._give(fetch.sha256, place, held)
        except LinkError as error:
            if held:
                await self._give(fetch.sha256, place, held)
            await self._do(self._updater.fetch_failed, fetch.sha256, str(error), self._clock())
        finally:
            self._fetching.pop(fetch.sha256, None)
            self._wake.set()

    async def _give(self, sha256: str, place: int, held: bytearray) -> int:
        chunk = bytes(held[:CHUNK])
        del held[:CHUNK]
        if not await self._do(self._updater.fetched, sha256, place, chunk, self._clock()):
            held.clear()
            return -1
        return place + len(chunk)


def judged(new: Bundle, old: Bundle) -> Health | None:
    """The probe's word on a new version beside the old one, as a Health without frames; None where there is no probe."""
    try:
        found = probe.compared(new, old, new.manifest.probe or old.manifest.probe)
    except InputError as error:
        log.warning("the probe cannot be used: %s", error)
        return None
    return None if found is None else Health(0.0, 0, 0, None, *found)
