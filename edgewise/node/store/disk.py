"""A disk: a folder of files with the few operations that a store needs, and their promises about a power cut.

    write     in the page cache: it may be lost, in part or whole and in any order, until `sync`
    sync      the file's bytes and its name are on the disk when it returns
    replace   one name takes another's place, whole, and durably so when it returns; the bytes must have been synced before
    remove    a file may come back after a power cut

Paths are relative, with `/` between their parts, and never leave the folder. Every failure is a StoreError with a sentence.

`RealDisk` is a folder of the operating system; `simulated.py` has one whose power can be cut. It does not know what a lying drive
does (one that answers a sync before the bytes are down): nothing above it could tell either. Nor does it follow who else changes
the folder: a symbolic link put there leads where it leads.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from edgewise.core.errors import StoreError
from edgewise.node.store.database import STDLIB, Database, opened

LOCK_WAIT = 1.0  # s that an opener waits for the owner before it, who may be just ending


class Disk(Protocol):
    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes from `start`, up to `size` of them; fewer where the file ends. StoreError where there is no such file."""
        ...

    def write(self, path: str, data: bytes, at: int | None = None) -> None:
        """At None the file becomes `data`; else `data` is put at that place, which is at most the file's end."""
        ...

    def sync(self, path: str) -> None: ...
    def replace(self, source: str, target: str) -> None: ...
    def remove(self, path: str) -> None:
        """It is no error when there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Files (no folders) in `folder`, sorted, by their last part; none where there is no such folder."""
        ...

    def size(self, path: str) -> int | None: ...
    def free(self) -> int | None:
        """Bytes that can still be written, where it is known."""
        ...

    def connect(self, path: str) -> Database:
        """The database in file `path` (and others whose names begin with it), made where there is none."""
        ...


def checked(path: str) -> PurePosixPath:
    """`path` as one that cannot leave the folder; StoreError where it could."""
    parts = path.split("/")
    if not path or "\0" in path or "\\" in path or any(part in ("", ".", "..") for part in parts) or ":" in parts[0]:
        raise StoreError("a path may not leave the store", got=repr(path[:100]), allowed="relative, without ..")
    return PurePosixPath(path)


class RealDisk:
    """The files of one folder, which is made where there is none."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        with sentences(str(folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._named: set[str] = set()  # files whose names this process knows to be on the disk

    def __repr__(self) -> str:
        return f"RealDisk({str(self.folder)!r})"

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        with sentences(path), self._place(path).open("rb") as file:
            file.seek(start)
            return file.read() if size is None else file.read(size)

    def write(self, path: str, data: bytes, at: int | None = None) -> None:
        place = self._place(path)
        with sentences(path):
            self._make_folder(place.parent)
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if at is None else 0)
            file = os.open(place, flags, 0o644)
            try:
                if at is not None and os.fstat(file).st_size < at:
                    raise StoreError(f"a write to {path} would leave a hole", got=f"byte {at}", allowed="up to the file's end")
                os.lseek(file, at or 0, os.SEEK_SET)
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
            finally:
                os.close(file)

    def sync(self, path: str) -> None:
        place = self._place(path)
        with sentences(path):
            _flush(place, os.O_RDWR)
            if path not in self._named:
                _flush_folder(place.parent)
                self._named.add(path)

    def replace(self, source: str, target: str) -> None:
        old, new = self._place(source), self._place(target)
        with sentences(source):
            self._make_folder(new.parent)
            old.replace(new)
            _flush_folder(new.parent)
            if old.parent != new.parent:
                _flush_folder(old.parent)
            self._named.discard(source)
            self._named.add(target)

    def remove(self, path: str) -> None:
        with sentences(path):
            self._place(path).unlink(missing_ok=True)
            self._named.discard(path)

    def names(self, folder: str) -> list[str]:
        with sentences(folder):
            try:
                with os.scandir(self._place(folder) if folder else self.folder) as entries:
                    return sorted(entry.name for entry in entries if entry.is_file())
            except FileNotFoundError:
                return []

    def size(self, path: str) -> int | None:
        with sentences(path):
            try:
                return self._place(path).stat().st_size
            except FileNotFoundError:
                return None

    def free(self) -> int | None:
        with sentences(str(self.folder)):
            return shutil.disk_usage(self.folder).free

    def connect(self, path: str) -> Database:
        place = self._place(path)
        with sentences(path):
            self._make_folder(place.parent)
        return opened(
            self, path, lambda: sqlite3.connect(place, LOCK_WAIT, isolation_level=None, check_same_thread=False), STDLIB
        )

    def _place(self, path: str) -> Path:
        return self.folder / checked(path)

    def _make_folder(self, folder: Path) -> None:
        if not folder.exists():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            _flush_folder(folder.parent)


@contextmanager
def sentences(path: str) -> Iterator[None]:
    """Failures of the operating system as sentences about `path`."""
    try:
        yield
    except OSError as error:
        raise told(path, error) from None


def told(path: str, error: OSError) -> StoreError:
    """What an error of the operating system is to a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("the disk is full", got=f"no room for {path}", hint="Free some space; what is stored stays.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError("the disk cannot be written", got=f"{path}: {error.strerror}", hint="Is it mounted read-only?")
    if error.errno == errno.ENOENT:
        return StoreError("there is no such file in the store", got=path)
    return StoreError("the disk failed", got=f"{path}: {error.strerror or error}")


def _flush(place: Path, flags: int) -> None:
    file = os.open(place, flags)
    try:
        if sys.platform == "darwin":  # there a plain fsync leaves the bytes in the drive's own cache
            import fcntl

            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
        else:
            os.fsync(file)
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows has no handle of a folder to flush
        _flush(folder, os.O_RDONLY)
