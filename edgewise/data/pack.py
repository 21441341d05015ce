"""A Pack: named files in a folder or in one uncompressed tar, read where they lie.

Names are relative, with `/`, in natural order (`frame 9` before `frame 10`), so that a folder and a tar of it are the same
pack. A tar is indexed once and its members are then read by their offset: nothing is unpacked, no file stays open, and a
pack that vanishes while it is in use is noticed at the next read. It does not know what the files mean.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Protocol

from edgewise.core.errors import SourceError

MAX_BYTES = 256_000_000  # one file of a pack is read whole


class Pack(Protocol):
    """`names` in natural order; `read` gives one file's bytes, or SourceError where it is gone or too large; `stamp` is another
    one once a file was replaced (its size, time and place), without reading it.
    """

    path: Path
    names: tuple[str, ...]

    def read(self, name: str) -> bytes: ...

    def stamp(self, name: str) -> tuple[int, ...]: ...


def natural(name: str) -> list[str | int]:
    """A sorting key in which runs of digits count as numbers.

    >>> sorted(["10.jpg", "9.jpg"], key=natural)
    ['9.jpg', '10.jpg']
    """
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(re.split(r"([0-9]{1,18})", name))]


def open_pack(path: str | Path) -> Pack:
    """The folder or tar at `path`."""
    path = Path(path)
    try:
        if path.is_dir():
            return FolderPack(path)
        if path.is_file():
            return TarPack(path)
    except OSError as error:
        raise SourceError("the pack cannot be read", got=f"{path} ({error.strerror})") from None
    raise SourceError(
        "there is no such file or folder", got=path, hint="Check the path; relative paths start at the current folder."
    )


class FolderPack:
    """All files below a folder, hidden ones apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        self.names = tuple(sorted((name for name in found if not _hidden(name)), key=natural))

    def read(self, name: str) -> bytes:
        return _whole(self.path / name)

    def stamp(self, name: str) -> tuple[int, ...]:
        return _stamp(self.path / name)


class FilePack:
    """A single file as a pack of one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: tuple[str, ...] = (path.name,)

    def read(self, name: str) -> bytes:
        return _whole(self.path)

    def stamp(self, name: str) -> tuple[int, ...]:
        return _stamp(self.path)


class TarPack:
    """The regular files of an uncompressed tar."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tarfile.open(path, "r:") as tar:
                plain = [m for m in tar.getmembers() if m.isfile() and not m.issparse()]
        except (tarfile.TarError, EOFError, ValueError):
            raise SourceError(
                "the file is not an uncompressed tar",
                got=path,
                allowed="a folder or a .tar of files",
                hint="Decompress it first (`gzip -d`, `xz -d`), or unpack it and give the folder.",
            ) from None
        self._places = {m.name.removeprefix("./"): (m.offset_data, m.size) for m in plain if not _hidden(m.name)}
        self.names = tuple(sorted(self._places, key=natural))

    def read(self, name: str) -> bytes:
        if name not in self._places:
            raise SourceError("the tar has no such file", got=f"{name} in {self.path}")
        offset, size = self._places[name]
        _check_size(size, name)
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise SourceError("the file is gone or unreadable", got=f"{self.path} ({error.strerror})") from None
        if len(data) != size:
            raise SourceError("the tar ends inside a file", got=f"{len(data)} of {size} bytes of {name} in {self.path}")
        return data

    def stamp(self, name: str) -> tuple[int, ...]:
        return (*self._places.get(name, ()), *_stamp(self.path))


def _stamp(file: Path) -> tuple[int, ...]:
    """Bytes and time (ns) of a file; nothing where it is gone."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _whole(file: Path) -> bytes:
    try:
        _check_size(file.stat().st_size, file.name)
        return file.read_bytes()
    except OSError as error:
        raise SourceError("the file is gone or unreadable", got=f"{file} ({error.strerror})") from None


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise SourceError("the file is too large", got=f"{name} with {size} bytes", allowed=f"{MAX_BYTES} bytes")
