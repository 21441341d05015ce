"""Files by what is in them: a blob's name is the SHA-256 of its bytes, so a name that is there is the right file, whole.

A blob comes in pieces. They are synced at every `STRIDE` bytes; after a restart the last stride of a partial file is not
believed (a power cut may have left a hole in it) and fetched again. `finish` looks at every byte before the file gets its name.

`Blobs` stands on a Disk, `RemoteBlobs` on any address that fsspec knows (s3://, gs://, file://, memory:// …; extra `storage`).
There a blob is uploaded under another name and moved to its own when it is whole. Neither hashes again at each read: who loads
a model checks it, and a bad sector is found there. How durable the other side of an address is, this does not know.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from edgewise.core.errors import ConfigError, EdgewiseError, ModelError, StoreError
from edgewise.node.store.disk import Disk

STRIDE = 128 << 10
PIECE = 1 << 20
_NAME = re.compile(r"[0-9a-f]{64}")
_PART = ".part"
_COMING = ".coming-"


class Held(Protocol):
    """What both have."""

    def has(self, sha256: str) -> bool: ...
    def size(self, sha256: str) -> int | None: ...
    def read(self, sha256: str, start: int = 0, size: int | None = None) -> bytes: ...
    def names(self) -> list[str]: ...
    def put(self, data: bytes) -> str: ...
    def remove(self, sha256: str) -> None: ...


class Blobs:
    """Blobs in `folder` of `disk`."""

    def __init__(self, disk: Disk, folder: str = "blobs") -> None:
        self._disk, self._folder = disk, folder
        self._written: dict[str, tuple[int, int]] = {}  # partial files of this process: bytes written, bytes synced

    def has(self, sha256: str) -> bool:
        return self.size(sha256) is not None

    def size(self, sha256: str) -> int | None:
        """Bytes of a finished blob; None where there is none."""
        return self._disk.size(self._place(sha256))

    def read(self, sha256: str, start: int = 0, size: int | None = None) -> bytes:
        return self._disk.read(self._place(sha256), start, size)

    def names(self) -> list[str]:
        """Finished blobs."""
        return [name for name in self._disk.names(self._folder) if _NAME.fullmatch(name)]

    def partials(self) -> dict[str, int]:
        """Blobs that are on their way: name -> bytes that are there."""
        names = (name.removesuffix(_PART) for name in self._disk.names(self._folder) if name.endswith(_PART))
        return {name: self.partial(name) for name in names if _NAME.fullmatch(name)}

    def partial(self, sha256: str) -> int:
        """Bytes from the beginning that need not be fetched again, of a blob that is not finished."""
        return self._state(sha256)[0]

    def free(self) -> int | None:
        """Bytes that the disk still takes, where that is known."""
        try:
            return self._disk.free()
        except StoreError:
            return None

    def append(self, sha256: str, at: int, data: bytes) -> None:
        """Bytes at place `at`, which is no later than the end of what is there."""
        written, synced = self._state(sha256)
        if at > written:
            raise StoreError("a piece of a blob would leave a hole", got=f"byte {at}", allowed=f"up to {written}")
        part, rest = self._place(sha256) + _PART, memoryview(data)[max(0, written - at) :]  # what is there already is kept
        while rest:
            piece = rest[: STRIDE - (written - synced)]
            self._disk.write(part, bytes(piece), written if written or self._disk.size(part) is not None else None)
            rest, written = rest[len(piece) :], written + len(piece)
            if written - synced >= STRIDE:
                self._disk.sync(part)
                synced = written
            self._written[sha256] = (written, synced)

    def finish(self, sha256: str, size: int) -> None:
        """All bytes are there: check them and give the file its name, durably. ModelError, and the partial file is gone, where
        they are others. An empty blob needs no `append`."""
        place = self._place(sha256)
        if self.has(sha256):
            self._forget(sha256)
            return
        part = place + _PART
        written, _ = self._state(sha256)
        if written < size:
            raise StoreError("a blob is not all there", got=f"{written} bytes", allowed=f"{size}", hint="Fetch the rest.")
        if not written:
            self._disk.write(part, b"")
        found = _digest(self._disk.read(part, start, PIECE) for start in range(0, max(written, 1), PIECE))
        if written != size or found != sha256:
            self._forget(sha256)
            raise ModelError(
                "a file is not the one that was signed", got=f"{written} bytes, {found[:12]}…", allowed=f"{size}, {sha256[:12]}…"
            )
        self._disk.sync(part)
        self._disk.replace(part, place)
        self._written.pop(sha256, None)

    def put(self, data: bytes) -> str:
        """The name of a whole blob, which is durable when this returns."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            self._forget(sha256)
            self.append(sha256, 0, data)
            self.finish(sha256, len(data))
        return sha256

    def remove(self, sha256: str) -> None:
        """The blob and what there is of a partial one; it is no error when there is neither."""
        self._disk.remove(self._place(sha256))
        self._forget(sha256)

    def give_up(self, sha256: str) -> None:
        """Take away what there is of a partial blob; a whole one stays."""
        self._forget(sha256)

    def _forget(self, sha256: str) -> None:
        self._disk.remove(self._place(sha256) + _PART)
        self._written.pop(sha256, None)

    def _state(self, sha256: str) -> tuple[int, int]:
        """Bytes written and bytes synced of a partial file."""
        if sha256 not in self._written:
            there = self._disk.size(self._place(sha256) + _PART)
            if there is None:
                return 0, 0
            believed = max(0, there - STRIDE)
            self._written[sha256] = (believed, believed)
        return self._written[sha256]

    def _place(self, sha256: str) -> str:
        return f"{self._folder}/{named(sha256)}"


class RemoteBlobs:
    """Blobs in the folder at `url`; `options` go to fsspec as they are (credentials, endpoint)."""

    def __init__(self, url: str, **options: Any) -> None:
        try:
            import fsspec
        except ImportError:
            raise ConfigError("blobs at an address need fsspec", got=url, hint="Install edgewise[storage].") from None
        self.url = url
        try:
            self._files, self._folder = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:  # no such protocol, or its own package is missing
            raise ConfigError("there is no way to this address", got=f"{url}: {error}", allowed="one that fsspec knows") from None
        with self._sentences("open"):
            self._files.makedirs(self._folder, exist_ok=True)

    def has(self, sha256: str) -> bool:
        return self.size(sha256) is not None

    def size(self, sha256: str) -> int | None:
        place = self._place(sha256)
        with self._sentences(sha256):
            try:
                return int(self._files.info(place)["size"])
            except FileNotFoundError:
                return None

    def read(self, sha256: str, start: int = 0, size: int | None = None) -> bytes:
        """As of a Disk: up to `size` bytes from `start`, fewer where the blob ends."""
        there = self.size(sha256)
        if there is None:
            raise StoreError("there is no such file in the store", got=f"{sha256} at {self.url}")
        end = there if size is None else min(there, start + size)
        if start >= end:
            return b""
        with self._sentences(sha256):
            return bytes(self._files.cat_file(self._place(sha256), start, end))

    def names(self) -> list[str]:
        return sorted(name for name in self._listed() if _NAME.fullmatch(name))

    def put(self, data: bytes) -> str:
        """The name of the blob, which is there whole when this returns."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.has(sha256):
            return sha256
        place = self._place(sha256)
        coming = f"{place}{_COMING}{secrets.token_hex(4)}"
        with self._sentences(sha256):
            self._files.pipe_file(coming, data)
            found = int(self._files.info(coming)["size"])
            if found != len(data):
                self._files.rm_file(coming)
                raise StoreError("an upload was cut short", got=f"{found} bytes", allowed=f"{len(data)}", hint="Try again.")
            self._files.mv(coming, place)
        return sha256

    def remove(self, sha256: str) -> None:
        """It is no error when there is none."""
        with self._sentences(sha256):
            try:
                self._files.rm_file(self._place(sha256))
            except FileNotFoundError:
                return

    def swept(self) -> int:
        """Take away what unfinished uploads left, when none is under way; how many there were."""
        left = [name for name in self._listed() if _COMING in name]
        with self._sentences("sweep"):
            for name in left:
                self._files.rm_file(f"{self._folder}/{name}")
        return len(left)

    def _listed(self) -> list[str]:
        with self._sentences("list"):
            self._files.invalidate_cache(self._folder)
            return [str(path).rstrip("/").rpartition("/")[2] for path in self._files.ls(self._folder, detail=False)]

    def _place(self, sha256: str) -> str:
        return f"{self._folder}/{named(sha256)}"

    @contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        try:
            yield
        except EdgewiseError:
            raise
        except Exception as error:  # the border to foreign code: clients of object stores raise classes of their own
            name = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
            raise StoreError("the store cannot be reached", got=f"{what} at {self.url}: {name}{error}") from error


def named(sha256: str) -> str:
    if not _NAME.fullmatch(sha256):
        raise StoreError("a blob has no such name", got=repr(sha256[:80]), allowed="64 hex digits")
    return sha256


def _digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()
