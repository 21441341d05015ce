"""SQLite's way onto a simulated disk: a VFS (<https://www.sqlite.org/vfs.html>) in Python, through apsw (extra `faults`).

Its device characteristics are those of SQLite's own VFS for Unix: power-safe overwrite, and a journal's name is brought to the
disk with its first sync. There is no shared memory, which a database with one owner needs none of. After a power cut the
callbacks do nothing and raise nothing, since SQLite would turn an exception into a code of its own: the database above looks at
the disk and raises.

One VFS serves all disks; a file's name begins with the number of its disk.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, cast

import apsw

from edgewise.node.store.database import Connection, Engine

if TYPE_CHECKING:
    from edgewise.node.store.simulated import SimulatedDisk, Stored

NAME = "edgewise-simulated"
_CODES: dict[type, int] = {
    apsw.BusyError: 5,
    apsw.LockedError: 6,
    apsw.ReadOnlyError: 8,
    apsw.IOError: 10,
    apsw.CorruptError: 11,
    apsw.FullError: 13,
    apsw.CantOpenError: 14,
    apsw.NotADBError: 26,
}
APSW = Engine(apsw.Error, lambda error: _CODES.get(type(error), 1))
_JOURNAL = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_SUPER_JOURNAL

_disks: weakref.WeakValueDictionary[int, SimulatedDisk] = weakref.WeakValueDictionary()
_numbers: weakref.WeakKeyDictionary[SimulatedDisk, int] = weakref.WeakKeyDictionary()
_next = itertools.count(1)


def connection(disk: SimulatedDisk, path: str) -> Connection:
    """SQLite on the file `path` of `disk`."""
    if disk not in _numbers:
        _numbers[disk] = next(_next)
        _disks[_numbers[disk]] = disk
    return cast(Connection, apsw.Connection(f"{_numbers[disk]}/{path}", vfs=_VFS.name))


class _Simulated(apsw.VFS):
    def __init__(self) -> None:
        self.name = NAME
        super().__init__(NAME, base="")  # randomness, sleep and the time of day are the system's

    def xFullPathname(self, name: str) -> str:
        return name

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> Handle:  # type: ignore[override]
        if name is None:
            raise apsw.CantOpenError("no temporary files on a simulated disk")
        disk, path = _split(name if isinstance(name, str) else name.filename())
        file = disk.files.get(path)
        created = file is None
        if file is None:
            if disk.off or not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(path)
            if disk.read_only:
                raise apsw.CantOpenError("the disk is read-only")
            disk.strike()
            file = disk.make(path)
        flags[1] = flags[0]
        return Handle(disk, path, file, created and bool(flags[0] & _JOURNAL))

    def xAccess(self, pathname: str, flags: int) -> bool:
        disk, path = _split(pathname)
        return path in disk.files

    def xDelete(self, filename: str, syncdir: bool) -> None:
        disk, path = _split(filename)
        if disk.off:
            return
        if path not in disk.files:
            raise apsw.IOError(path)
        if disk.read_only:
            raise apsw.IOError("the disk is read-only")
        struck = disk.strike()
        del disk.files[path]
        if syncdir and not struck:
            disk.settle(path)

    def excepthook(self, *args: object) -> bool:
        return True  # each error is told where it is raised


class Handle:
    """An open file: what SQLite calls sqlite3_file."""

    __slots__ = ("_disk", "_file", "_life", "_name_is_new", "_path")

    def __init__(self, disk: SimulatedDisk, path: str, file: Stored, name_is_new: bool) -> None:
        self._disk, self._path, self._file, self._life = disk, path, file, disk.life
        self._name_is_new = name_is_new

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._dead():
            return
        disk, end = self._disk, offset + len(data)
        if disk.read_only:
            raise apsw.ReadOnlyError("the disk is read-only")
        if disk.room(self._file, end) < end:
            raise apsw.FullError("the disk is full")
        disk.strike()
        self._file.write(data, offset)

    def xTruncate(self, newsize: int) -> None:
        if self._dead():
            return
        if self._disk.read_only:
            raise apsw.ReadOnlyError("the disk is read-only")
        self._disk.strike()
        self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:
        if self._dead() or self._disk.strike():
            return
        self._file.sync()
        if self._name_is_new:
            self._disk.settle(self._path)
            self._name_is_new = False

    def xFileSize(self) -> int:
        return len(self._file.data)

    def xLock(self, level: int) -> None:
        if self._dead() or level == apsw.SQLITE_LOCK_NONE:
            return
        if self._disk.locks.setdefault(self._path, self) is not self:
            raise apsw.BusyError("another process has it")

    def xUnlock(self, level: int) -> None:
        if level == apsw.SQLITE_LOCK_NONE and not self._dead() and self._disk.locks.get(self._path) is self:
            del self._disk.locks[self._path]

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None:
        self.xUnlock(apsw.SQLITE_LOCK_NONE)

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 512

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def _dead(self) -> bool:
        return self._disk.off or self._disk.life != self._life


def _split(name: str) -> tuple[SimulatedDisk, str]:
    number, _, path = name.partition("/")
    return _disks[int(number)], path


_VFS = _Simulated()
