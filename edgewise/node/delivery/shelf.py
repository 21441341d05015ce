"""The shelf of a server: releases as they were signed, and the bytes of those that it still holds.

A release is published when its signature holds, its version is above every one before, and each file is here with the hash and
size that it signs. A bounded number of versions stays; an older one goes when no node runs it or is to, and no rollout may go
back to it. It does not know who may publish: the trust says so.
"""

from __future__ import annotations

from collections.abc import Collection

from edgewise.core.errors import ConfigError, IdentityError
from edgewise.core.release import Envelope, FileEntry, Release, Trust, document, pack, unpack
from edgewise.net.checks import published
from edgewise.node.store.blobs import Held
from edgewise.node.store.database import Database

KEEP = 4  # newest versions of each model
HELD, LEAVING, GONE = 1, 0, -1  # the files of a release: here, to be removed, removed
_TABLE = """CREATE TABLE IF NOT EXISTS releases (digest TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL,
address TEXT NOT NULL, envelope BLOB NOT NULL, at REAL NOT NULL, held INTEGER NOT NULL)"""


class Shelf:
    """Every method joins an open transaction; blobs are removed after it."""

    def __init__(self, database: Database, blobs: Held) -> None:
        self._database, self._blobs = database, blobs
        self._releases: dict[str, tuple[Release, bytes]] = {}  # by digest, which names one value for ever
        with database.transaction():
            database.execute(_TABLE)

    def judge(self, envelope: Envelope | bytes, trust: bytes, now: float) -> tuple[Envelope, Release]:
        """The release in an envelope that may be published; IdentityError or ConfigError, a sentence, where it may not."""
        if not trust:
            raise IdentityError("no trust: this server has no trust to judge a release by", hint="edgewise keys init makes one.")
        given, found, _ = published(envelope, document(unpack(trust), Trust), now)
        sql = "SELECT version, address, digest FROM releases WHERE name = ? ORDER BY version DESC, at DESC LIMIT 1"
        newest = self._database.execute(sql, (found.name,)).fetchone()
        if newest is not None and found.version <= newest[0] and (found.version, found.address) != tuple(newest[:2]):
            raise ConfigError(
                f"a version of {found.name} must be above the one before",
                got=found.version,
                allowed=f"{newest[0] + 1} or more; {newest[0]} again for the same bytes",
            )
        absent = self.missing(found)
        if absent:
            got = ", ".join(f"{e.sha256[:12]} ({e.size} bytes)" for e in absent[:4])
            raise ConfigError(
                f"files of {found.name} {found.version} are not here", got=got, hint="Send them before the release."
            )
        return given, found

    def refused(self, digest: str, trust: bytes, now: float) -> str:
        """Why devices that hold this release would refuse it: its signatures by the trust of now. Empty: they would not."""
        release, envelope = self._both(digest) or (None, None)
        if release is None or envelope is None or not trust:
            return ""
        try:
            published(envelope, document(unpack(trust), Trust), now, held=(release.address,))
        except IdentityError as error:
            return str(error)
        return ""

    def missing(self, release: Release) -> list[FileEntry]:
        """Files of a release that are not here whole, deltas too."""
        wanted = {e.sha256: e for e in (*release.files.values(), *(r.delta for r in release.routes))}
        return [entry for entry in wanted.values() if self._blobs.size(entry.sha256) != entry.size]

    def put(self, envelope: Envelope, release: Release, now: float) -> None:
        row = (envelope.digest, release.name, release.version, release.address, pack(envelope), now)
        with self._database.transaction():
            self._database.execute("INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?, ?, ?, 1)", row)

    def get(self, digest: str) -> Release | None:
        found = self._both(digest)
        return found[0] if found is not None else None

    def envelope(self, digest: str) -> bytes | None:
        found = self._both(digest)
        return found[1] if found is not None else None

    def holds(self, digest: str) -> bool:
        row = self._database.execute("SELECT held FROM releases WHERE digest = ?", (digest,)).fetchone()
        return row is not None and row[0] == HELD

    def digests(self) -> list[str]:
        """Of the releases that are held, newest first."""
        rows = self._database.execute(f"SELECT digest FROM releases WHERE held = {HELD} ORDER BY name, version DESC, at DESC")
        return [row[0] for row in rows.fetchall()]

    def retire(self, protected: Collection[str], addresses: Collection[str]) -> list[Release]:
        """Let go of old versions, but not of those digests and addresses."""
        kept: dict[str, set[str]] = {}
        gone: list[Release] = []
        with self._database.transaction():
            for digest in self.digests():
                release = self.get(digest)
                if release is None:
                    continue
                versions = kept.setdefault(release.name, set())
                if len(versions) < KEEP or digest in protected or release.address in addresses or release.address in versions:
                    versions.add(release.address)
                else:
                    gone.append(release)
                    self._database.execute(f"UPDATE releases SET held = {LEAVING} WHERE digest = ?", (digest,))
        return gone

    def sweep(self) -> int:
        """Remove the files of releases that were let go, and that no other needs; how many."""
        rows = self._database.execute(f"SELECT digest FROM releases WHERE held = {LEAVING}").fetchall()
        old = {sha for (digest,) in rows if (r := self.get(digest)) is not None for sha in _files(r)}
        needed = {sha for digest in self.digests() if (r := self.get(digest)) is not None for sha in _files(r)}
        gone = [sha for sha in sorted(old - needed) if self._blobs.has(sha)]
        for sha in gone:
            self._blobs.remove(sha)
        if rows:
            self._database.execute(f"UPDATE releases SET held = {GONE} WHERE held = {LEAVING}")
        return len(gone)

    def _both(self, digest: str) -> tuple[Release, bytes] | None:
        if digest not in self._releases:
            row = self._database.execute("SELECT envelope FROM releases WHERE digest = ?", (digest,)).fetchone()
            if row is None:
                return None
            data = bytes(row[0])
            self._releases[digest] = (document(unpack(data), Release), data)
        return self._releases[digest]


def _files(release: Release) -> set[str]:
    return {e.sha256 for e in release.files.values()} | {r.delta.sha256 for r in release.routes}
