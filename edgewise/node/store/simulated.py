"""A disk in memory whose power can be cut: what `disk.py` promises, and nothing beyond it.

It has a page cache. What was written since the last sync is lost or kept by chance at a `cut`, each sector of 512 bytes for
itself, so that a write may be torn or come out of order; the length of a file and the names in a folder are kept or lost by
chance too. An atomic `replace` happens wholly or not at all. (ALICE, Pillai et al., OSDI 2014, tells what real file systems do
of this.)

    cut_at(n)   power fails at the n-th operation that changes the disk: it raises PowerCut, and so does everything until `cut`
    cut()       the power is gone and comes back: un-synced things are lost or torn, every open database is dead
    kill()      only the process is gone: the page cache stays, every open database is dead
    full, capacity, read_only, operations (how many have changed the disk so far)

`connect` runs the real SQLite on this disk (`vfs.py`, extra `faults`). One `random.Random` decides everything, so that a run that
is repeated with the same seed and the same calls loses the same bytes.

It does not know drives that lie about a sync, sectors that rot, or a sector that holds a write before the last one.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from edgewise.core.errors import StoreError
from edgewise.node.store.database import Connection, Database, Engine, Parameters, Rows, SqlDatabase, opened
from edgewise.node.store.disk import checked

if TYPE_CHECKING:
    from edgewise.node.store.vfs import Handle

SECTOR = 512
_NOTHING = bytes(SECTOR)


class PowerCut(BaseException):
    """The machine is off. Nothing may catch this but whoever switches it on again."""


class Stored:
    """A file's bytes as programs see them, and what the disk holds of those that changed since the last sync."""

    __slots__ = ("before", "data", "length")

    def __init__(self) -> None:
        self.data = bytearray()
        self.before: dict[int, bytes] = {}  # sector -> what is on the disk
        self.length = 0  # on the disk

    def write(self, data: bytes | memoryview, at: int) -> None:
        end = at + len(data)
        self._touch(at, end)
        if at > len(self.data):
            self.data.extend(bytes(at - len(self.data)))
        self.data[at:end] = data

    def truncate(self, size: int) -> None:
        self._touch(min(size, len(self.data)), max(size, len(self.data)))
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def sync(self) -> None:
        self.before.clear()
        self.length = len(self.data)

    def lose(self, draw: random.Random) -> None:
        """The power is gone: none, some or all of what was not synced is lost."""
        kept = draw.choice((0.0, 0.5, 1.0))
        there = len(self.data)
        length = self.length if draw.random() >= kept else there
        self.data.extend(bytes(max(0, self.length - there)))
        for sector, before in self.before.items():
            start = sector * SECTOR
            if start >= there or draw.random() >= kept:
                self.data[start : start + SECTOR] = before
        del self.data[length:]
        self.sync()

    def _touch(self, start: int, end: int) -> None:
        before, data, length = self.before, self.data, self.length
        for sector in range(start // SECTOR, -(-end // SECTOR)):
            if sector not in before:
                place = sector * SECTOR
                old = bytes(data[place : min(place + SECTOR, length)])
                before[sector] = old if len(old) == SECTOR else old + _NOTHING[len(old) :]


class SimulatedDisk:
    def __init__(self, draw: random.Random) -> None:
        self.full = self.read_only = self.off = False
        self.capacity: int | None = None
        self.operations = 0
        self.files: dict[str, Stored] = {}
        self.life = 0
        self.locks: dict[str, Handle] = {}
        self._draw = draw
        self._durable: dict[str, Stored] = {}
        self._cut_in = 0
        self._open: list[SimulatedDatabase] = []

    # Faults

    def cut_at(self, n: int) -> None:
        """Power fails at the n-th operation from now (1 is the next); 0 takes it back."""
        self._cut_in = n

    def cut(self) -> None:
        """Power fails now, and comes back."""
        self._end()
        for name in sorted(self.files.keys() | self._durable.keys()):
            now, then = self.files.get(name), self._durable.get(name)
            if now is not then and self._draw.random() < 0.5:
                if then is None:
                    del self.files[name]
                else:
                    self.files[name] = then
        for name in sorted(self.files):
            self.files[name].lose(self._draw)
        self._durable = dict(self.files)

    def kill(self) -> None:
        """The process dies; what it wrote is still on its way to the disk."""
        self._end()

    def _end(self) -> None:
        self.life += 1
        self.off, self._cut_in = True, 0  # off while SQLite tidies up, which a dead process does not
        for database in self._open:
            database.bury()
        self._open.clear()
        self.locks.clear()
        self.off = False

    # The disk

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        data = self._file(path).data
        return bytes(data[start : None if size is None else start + size])

    def write(self, path: str, data: bytes, at: int | None = None) -> None:
        checked(path)
        self.powered()
        if self.read_only:
            raise _read_only(path)
        there = self.size(path)
        if at is not None and (there or 0) < at:
            raise StoreError(f"a write to {path} would leave a hole", got=f"byte {at}", allowed="up to the file's end")
        struck = self.strike()
        file = self.files[path] if there is not None else self.make(path)
        if at is None:
            file.truncate(0)
        place = at or 0
        fits = min(len(data), self.room(file, place + len(data)) - place)
        if fits:
            file.write(memoryview(data)[:fits], place)
        if struck:
            raise PowerCut
        if fits < len(data):
            raise _full(path)

    def sync(self, path: str) -> None:
        file = self._file(path)
        if self.strike():
            raise PowerCut
        file.sync()
        self.settle(path)

    def replace(self, source: str, target: str) -> None:
        checked(target)
        file = self._file(source)
        if self.read_only:
            raise _read_only(target)
        struck = self.strike()
        if struck and self._draw.random() < 0.5:
            raise PowerCut
        self.files[target] = file
        del self.files[source]
        self.settle(source)
        self.settle(target)
        if struck:
            raise PowerCut

    def remove(self, path: str) -> None:
        checked(path)
        self.powered()
        if path not in self.files:
            return
        if self.read_only:
            raise _read_only(path)
        struck = self.strike()
        del self.files[path]
        if struck:
            raise PowerCut

    def names(self, folder: str) -> list[str]:
        self.powered()
        split = (name.rpartition("/") for name in self.files)
        return sorted(last for first, _, last in split if first == folder)

    def size(self, path: str) -> int | None:
        checked(path)
        self.powered()
        file = self.files.get(path)
        return None if file is None else len(file.data)

    def free(self) -> int | None:
        self.powered()
        if self.full:
            return 0
        return None if self.capacity is None else max(0, self.capacity - self._used())

    def connect(self, path: str) -> Database:
        """Real SQLite on this disk; StoreError where its Python module is not installed."""
        try:
            from edgewise.node.store import vfs
        except ImportError:
            raise StoreError(
                "SQLite cannot run on a simulated disk", got="no module apsw", hint="Install edgewise[faults]."
            ) from None
        checked(path)
        self.powered()
        if self.read_only and path not in self.files:
            raise _read_only(path)
        return opened(self, path, lambda: vfs.connection(self, path), vfs.APSW, self._made)

    def _made(self, connection: Connection, engine: Engine, name: str) -> SqlDatabase:
        database = SimulatedDatabase(self, connection, engine, name)
        self._open.append(database)
        return database

    # For the VFS, and for what is above

    def powered(self) -> None:
        if self.off:
            raise PowerCut

    def strike(self) -> bool:
        """Count an operation that changes the disk; True where the power fails in it, when all is off from now on."""
        self.powered()
        self.operations += 1
        if self._cut_in:
            self._cut_in -= 1
            self.off = not self._cut_in
        return self.off

    def make(self, path: str) -> Stored:
        """A new file, whose name is not on the disk yet."""
        self.files[path] = Stored()
        return self.files[path]

    def settle(self, path: str) -> None:
        """Bring the names in the folder of `path` to the disk."""
        folder = path.rpartition("/")[0]
        for name in [n for n in self._durable if n not in self.files and n.rpartition("/")[0] == folder]:
            del self._durable[name]
        self._durable.update((n, f) for n, f in self.files.items() if n.rpartition("/")[0] == folder)

    def room(self, file: Stored, end: int) -> int:
        """Up to where `file` can be written, of a wish for `end`."""
        there = len(file.data)
        if end <= there or (not self.full and self.capacity is None):
            return end
        more = 0 if self.full else max(0, (self.capacity or 0) - self._used())
        return min(end, there + more)

    def closed(self, database: SimulatedDatabase) -> None:
        if database in self._open:
            self._open.remove(database)

    def _file(self, path: str) -> Stored:
        checked(path)
        self.powered()
        if path not in self.files:
            raise StoreError("there is no such file in the store", got=path)
        return self.files[path]

    def _used(self) -> int:
        return sum(len(file.data) for file in self.files.values())


class SimulatedDatabase(SqlDatabase):
    """The same database on a disk that may lose its power: then each call raises PowerCut, as its process is gone."""

    def __init__(self, disk: SimulatedDisk, connection: Connection, engine: Engine, name: str) -> None:
        super().__init__(connection, engine, name)
        self._disk, self._life = disk, disk.life

    def execute(self, sql: str, params: Parameters = ()) -> Rows:
        self._powered()
        try:
            return super().execute(sql, params)
        finally:
            self._powered()  # SQLite went on without a disk: what it says since is not to be heard

    def close(self) -> None:
        self._powered()
        try:
            super().close()
        finally:
            self._disk.closed(self)
            self._powered()

    def bury(self) -> None:
        """Its process is gone: free the memory; nothing reaches the disk any more."""
        try:
            self._connection.close()
        except self._engine.errors:
            return

    def _powered(self) -> None:
        if self._disk.off or self._disk.life != self._life:
            raise PowerCut


def _full(path: str) -> StoreError:
    return StoreError("the disk is full", got=f"no room for {path}", hint="Free some space; what is stored stays.")


def _read_only(path: str) -> StoreError:
    return StoreError("the disk cannot be written", got=path, hint="Is it mounted read-only?")
