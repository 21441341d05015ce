"""The courier of a device: what is still to be fetched, pieces into blobs, a delta into files. It knows no trial.

Bytes are believed by their hash alone. A delta that does not give exactly what the release signs is thrown away, and the whole
files come; a whole file that is another one is thrown away and fetched again, ever more rarely.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from msgspec import Struct

from edgewise.core.errors import ModelError, StoreError
from edgewise.core.release import FileEntry, Release
from edgewise.node.delivery import ways
from edgewise.node.delivery.slots import Goal, Slots
from edgewise.node.delivery.ways import CHUNK, SPARE, Fetch, Way
from edgewise.node.delivery.words import digest
from edgewise.node.store.blobs import Blobs

Files = Mapping[str, bytes]


class Build(Protocol):
    """The files of `release` out of those of its base and a delta; an InputError where that cannot be.

    Its sizes are checked after, so it must itself bound what it makes by the sizes that the release signs.
    """

    def __call__(self, release: Release, base: Files, delta: bytes) -> Files: ...


class Rebuild(Struct, frozen=True):
    """A delta is here: apply it (`run` is pure computing and reading, fit for a thread)."""

    goal: Goal
    base: str
    read: Callable[[], tuple[Files, bytes]]
    build: Build

    def run(self) -> Files:
        """The release's files; InputError where the delta is no good, StoreError where the base cannot be read."""
        base, delta = self.read()
        found = self.build(self.goal.release, base, delta)
        check(self.goal.release, found)
        return found


def check(release: Release, found: Files) -> None:
    """ModelError unless `found` is the release, to the byte."""
    if set(found) != set(release.files):
        got = ", ".join(sorted(found)[:8]) or "none"
        raise ModelError("a delta gives other files than the release has", got=got, allowed=", ".join(sorted(release.files)))
    for name, entry in release.files.items():
        if len(found[name]) != entry.size or digest(found[name]) != entry.sha256:
            got = f"{name}: {len(found[name])} bytes, {digest(found[name])[:12]}…"
            raise ModelError("a delta gives another file than was signed", got=got, allowed=f"{entry.size}, {entry.sha256[:12]}…")


class Courier:
    """Reads slots for the bases that are held; writes blobs."""

    def __init__(self, slots: Slots, blobs: Blobs, build: Build) -> None:
        self._slots, self._blobs, self._build = slots, blobs, build

    def way(self, goal: Goal) -> Way:
        bases = {s.address for _, s in self._slots.all() if s.model == goal.release.name and self.whole(s.files)}
        return ways.way(goal.release, self._blobs.has, self._blobs.partial, bases, goal.spoilt)

    def short(self, goal: Goal, way: Way, reserve: int) -> str:
        """Why the disk has no room for a version, where it must keep `reserve` bytes free; empty where it has."""
        needed = ways.need(goal.release, way, self._blobs.has, self._blobs.partial)
        return ways.short(needed, reserve, self._blobs.free()) if needed else ""

    def make_room(self, goal: Goal) -> None:
        """Where hardly anything is free, what is half fetched of a version goes: the outbox needs the room."""
        free = self._blobs.free()
        if free is not None and free < SPARE:
            for entry in (*goal.release.files.values(), *(route.delta for route in goal.release.routes)):
                if self._blobs.partial(entry.sha256):
                    self._blobs.give_up(entry.sha256)

    def whole(self, files: Mapping[str, FileEntry]) -> bool:
        return not ways.missing(files, self._blobs.has)

    def rebuild(self, goal: Goal, base: str) -> Rebuild | None:
        """The work of a delta that is here; None where it is not."""
        route = next((r for r in goal.release.routes if r.base == base and self._blobs.has(r.delta.sha256)), None)
        slot = next((s for _, s in self._slots.all() if s.address == base), None)
        if route is None or slot is None:
            return None

        def read() -> tuple[Files, bytes]:
            held = {name: self._blobs.read(entry.sha256) for name, entry in slot.files.items()}
            for name, entry in slot.files.items():
                if digest(held[name]) != entry.sha256:
                    raise ModelError("a file of the version in use is damaged on the disk", got=name, allowed=entry.sha256)
            return held, self._blobs.read(route.delta.sha256)

        return Rebuild(goal, base, read, self._build)

    def store(self, entries: Mapping[str, FileEntry], files: Files) -> None:
        """Put files that are here, and were checked, where fetched ones go; they are durable when this returns."""
        for name, entry in entries.items():
            if not self._blobs.has(entry.sha256):
                self._blobs.remove(entry.sha256)  # what was fetched of it
                for at in range(0, entry.size, CHUNK):
                    self._blobs.append(entry.sha256, at, files[name][at : at + CHUNK])
                self._blobs.finish(entry.sha256, entry.size)

    def open(self, files: Collection[FileEntry]) -> list[Fetch]:
        """What is still to be fetched of these."""
        return ways.fetches([entry for entry in files if entry.size], self._blobs.has, self._blobs.partial)

    def beside(self, goal: Goal) -> Collection[FileEntry]:
        """The smallest whole file that is missing."""
        return ways.missing(goal.release.files, self._blobs.has)[:1]

    def take(self, entry: FileEntry, at: int, data: bytes) -> bool:
        """Write a piece; whether the file is whole now. ModelError where it is another file, or has no end."""
        if at + len(data) > entry.size:
            raise ModelError("a file has no end", got=f"byte {at + len(data)}", allowed=f"{entry.size}, as signed")
        held = self._blobs.partial(entry.sha256)
        if at > held or at + len(data) <= held:
            return False  # it came twice, or what was before it was lost
        self._blobs.append(entry.sha256, at, data)
        return self.close(entry)

    def holds(self, entry: FileEntry, stop: int) -> bool:
        """Whether the bytes up to `stop` are here."""
        return self._blobs.has(entry.sha256) or self._blobs.partial(entry.sha256) >= stop

    def close(self, entry: FileEntry) -> bool:
        """Check a file that is all here and give it its name."""
        if self._blobs.has(entry.sha256):
            return True
        if self._blobs.partial(entry.sha256) < entry.size:
            return False
        self._blobs.finish(entry.sha256, entry.size)
        return True

    def damaged(self, files: Mapping[str, FileEntry]) -> list[str]:
        """Names of files that are missing or not what they were on the disk; those are removed, to be fetched again."""
        found = []
        for name, entry in files.items():
            try:
                sound = self._blobs.has(entry.sha256) and digest(self._blobs.read(entry.sha256)) == entry.sha256
            except StoreError:
                sound = False
            if not sound:
                found.append(name)
                self._blobs.remove(entry.sha256)
        return found

    def collect(self) -> int:
        """Remove the blobs that no slot and no goal needs, partial ones too; how many."""
        needed = set(self._slots.needed())
        for goal in self._slots.goals():
            if goal.state in ("fetching", "ready"):
                needed |= {entry.sha256 for entry in goal.release.files.values()}
                needed |= {route.delta.sha256 for route in goal.release.routes if route.base not in goal.spoilt}
        gone = [name for name in sorted({*self._blobs.names(), *self._blobs.partials()}) if name not in needed]
        for name in gone:
            self._blobs.remove(name)
        return len(gone)
