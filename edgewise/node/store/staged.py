"""Blobs that come in pieces and end up elsewhere: pieces wait on the own disk, whole files go to a remote address.

Reads come from the remote. What is on its way survives a restart as `Blobs` does it; a file whose upload fails stays in pieces
here and is finished by the next try.
"""

from __future__ import annotations

from edgewise.core.errors import StoreError
from edgewise.node.store.blobs import Blobs, RemoteBlobs


class Staged:
    """`here` for pieces, `there` for whole files; both sides together have what a server's depot asks of blobs."""

    def __init__(self, here: Blobs, there: RemoteBlobs) -> None:
        self._here, self._there = here, there

    def has(self, sha256: str) -> bool:
        return self._there.has(sha256)

    def size(self, sha256: str) -> int | None:
        return self._there.size(sha256)

    def read(self, sha256: str, start: int = 0, size: int | None = None) -> bytes:
        return self._there.read(sha256, start, size)

    def names(self) -> list[str]:
        return self._there.names()

    def remove(self, sha256: str) -> None:
        self._there.remove(sha256)

    def put(self, data: bytes) -> str:
        return self._there.put(data)

    def partial(self, sha256: str) -> int:
        return self._here.size(sha256) or self._here.partial(sha256)

    def append(self, sha256: str, at: int, data: bytes) -> None:
        self._here.append(sha256, at, data)

    def finish(self, sha256: str, size: int) -> None:
        """Check the hash, bring the file to the remote, and take the pieces away."""
        if not self._here.has(sha256):
            self._here.finish(sha256, size)
        if self._there.put(self._here.read(sha256)) != sha256:
            raise StoreError("an upload is another file than it was", got=sha256)
        self._here.remove(sha256)
