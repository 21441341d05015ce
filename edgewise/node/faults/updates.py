"""The delivery half of a simulated device: the rim around an Updater, for one process.

Loading a version reads every byte of it from the disk, and the witness sees what was loaded. A version that is bad in its own
way does not load, ends the process, answers too late, or answers worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgewise.core.answer import FrameRecord
from edgewise.core.errors import EdgewiseError, StoreError
from edgewise.core.release import Release
from edgewise.net.signing import Verifier, public
from edgewise.node.delivery.courier import Rebuild
from edgewise.node.delivery.slots import Slot
from edgewise.node.delivery.trial import Bounds
from edgewise.node.delivery.updater import Updater
from edgewise.node.faults.camera import Watch
from edgewise.node.faults.download import Download
from edgewise.node.faults.publisher import MODEL, Version, patched
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.database import Database
from edgewise.node.store.memory import Memory
from edgewise.node.store.outbox import Outbox

if TYPE_CHECKING:
    from edgewise.node.faults.device import Device

CRASH = 0.4  # s after which a version that is bad in this way ends the process
LOADING = 0.05  # s that a version takes to load, in a thread, while the one before answers
BEAT = 1.0  # s between two looks at health
TRIAL = Bounds(boots=3, failed=0.5, frames=8, longest=3600.0, pace=1.0)


class Updates:
    """`updater` is the real one. StoreErrors of the constructor and of `begin` mean that the process cannot start."""

    def __init__(self, device: Device, database: Database, outbox: Outbox) -> None:
        self._device, self._publisher = device, device.publisher
        self.blobs = Blobs(device.disk)
        self.verifier = Verifier(public(self._publisher.root), device.name, Memory(database))
        self.updater = Updater(
            device.name, database, self.blobs, self.verifier, outbox, built, self._loadable, bounds=TRIAL, inline=device.inline
        )
        self.watch: Watch | None = None
        self._downloads: dict[str, Download] = {}
        self._loading = self._building = False
        self._stirred = True  # whether something happened that may ask for a file or a swap

    def begin(self) -> bool:
        """Bring into use what this device has; False where nothing of it loads."""
        device, first = self._device, self._publisher.first
        self.updater.begin(MODEL, first.address, first.files, device.clock.now())
        self.updater.restarted(device.clock.now())
        for _ in range(2):  # the version in use, else the one that stands by
            slot = self.updater.running
            if slot is not None and self._load(slot):
                self._use(slot)
                return True
        return False

    @property
    def version(self) -> Version:
        assert self.watch is not None
        return self.watch.version

    def news(self, payload: bytes) -> None:
        self._stirred = True
        self.updater.news(payload, self._device.clock.now())

    def saw(self, record: FrameRecord) -> None:
        if self.watch is not None:
            self.watch.saw(record)

    def beat(self) -> None:
        """Some time has passed."""
        device, self._stirred = self._device, True
        if self.watch is not None:
            self.updater.health(self.watch.health(device.timeline.now), device.clock.now())
        self.updater.tick(device.clock.now())

    def turn(self) -> None:
        """Fetch what is wanted, and load what is there."""
        if not self._stirred:
            return
        self._stirred = False
        wanted = {fetch.sha256: fetch for fetch in self.updater.fetches()}
        for sha256 in [s for s in self._downloads if s not in wanted]:
            self._downloads.pop(sha256).give_up()
        for sha256, fetch in wanted.items():
            if sha256 not in self._downloads:
                self._downloads[sha256] = Download(self._device, self, fetch)
                self._device.say(f"fetches {sha256[:12]} from byte {fetch.at} of {fetch.size}")
                self._downloads[sha256].begin()
        if not self._building and (work := self.updater.rebuild_due()) is not None and not self._device.inline:
            self._building = True
            self._device.later(LOADING, lambda: self._rebuild(work))
        if not self._loading and self.updater.swap_due() is not None:
            self._loading = True
            self._device.later(LOADING, self._swap)

    # What a Download tells

    def piece(self, download: Download, at: int, data: bytes, last: bool) -> None:
        self._stirred = True
        if last:
            self._downloads.pop(download.fetch.sha256, None)
        if not self.updater.fetched(download.fetch.sha256, at, data, self._device.clock.now()) and not last:
            self._downloads.pop(download.fetch.sha256, None)
            download.give_up()
        self._device.turn()

    def broke_off(self, download: Download, sentence: str) -> None:
        self._stirred = True
        self._downloads.pop(download.fetch.sha256, None)
        self._device.say(f"could not fetch {download.fetch.sha256[:12]}: {sentence}")
        self.updater.fetch_failed(download.fetch.sha256, sentence, self._device.clock.now())
        self._device.turn()

    # Inside

    def _rebuild(self, work: Rebuild) -> None:
        """A thread is done with a delta."""
        self._building, self._stirred = False, True
        now = self._device.clock.now()
        try:
            files = work.run()
        except EdgewiseError as error:
            self.updater.rebuilt(work, None, now, str(error))
        else:
            self.updater.rebuilt(work, files, now)
        self._device.turn()

    def _swap(self) -> None:
        self._loading, self._stirred = False, True
        slot = self.updater.swap_due()
        if slot is not None and self._load(slot) and self.updater.swapped(self._device.clock.now()):
            self._device.swaps += 1
            self._use(slot)
        self._device.turn()

    def _load(self, slot: Slot) -> bool:
        """Read every byte, as a session of onnxruntime would."""
        device = self._device
        try:
            files = {name: self.blobs.read(entry.sha256) for name, entry in slot.files.items()}
        except StoreError as error:
            self.updater.refused_to_load(str(error), device.clock.now())
            return False
        device.witness.loaded(device.name, slot.address, files)
        return slot.address in self._publisher.versions

    def _use(self, slot: Slot) -> None:
        device, version = self._device, self._publisher.versions[slot.address]
        standby = next((self._publisher.versions.get(s.address) for s in self.updater.status.standby), None)
        self.watch = Watch(version, standby, device.timeline.now)
        device.say(f"uses version {version.number}{'' if slot.proved else ' on trial'}")
        if version.bad == "crash":
            device.later(CRASH, lambda: device.kill(again_after=0.5))

    def _loadable(self, release: Release) -> str | None:
        version = self._publisher.versions.get(release.address)
        return "It does not load: an operator is unknown." if version is not None and version.bad == "load" else None


def built(release: Release, base: Mapping[str, bytes], delta: bytes) -> dict[str, bytes]:
    """The simulated `build` of an Updater."""
    return patched(base, delta)
