"""A site for the benchmarks of delivery: its keys, what it signs, and files by their hash behind a TLS port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from edgewise.apps.vision import keys, trust
from edgewise.apps.vision.depot import Depot
from edgewise.core.artifact import MANIFEST
from edgewise.core.release import Assignment, FileEntry, Release, Route, pack, unpack
from edgewise.net.identity import server_context
from edgewise.net.listen import Listener, Peer
from edgewise.net.signing import load_key, sign
from edgewise.net.transport import WebSocketTransport
from edgewise.node.delivery.news import News, pack_news
from edgewise.node.delivery.words import digest
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.disk import RealDisk

DAY = 86_400.0


class Site:
    """Keys in `folder`; `put` holds files, `release` signs a version, `news` says that a node is to run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keys.init(folder)
        self.blobs = Blobs(RealDisk(folder / "files"))
        self.root = (folder / trust.ROOT_PUBLIC).read_text().strip()
        self._trust = trust.envelope(folder)
        self._publisher = load_key(trust.key_path(folder, trust.PUBLISHER))
        self._channel = load_key(trust.key_path(folder, trust.CHANNEL))

    def put(self, data: bytes) -> FileEntry:
        entry = FileEntry(digest(data), len(data))
        if not self.blobs.has(entry.sha256):
            self.blobs.append(entry.sha256, 0, data)
            self.blobs.finish(entry.sha256, entry.size)
        return entry

    def release(self, name: str, version: int, files: Mapping[str, bytes], routes: Mapping[str, bytes] = {}) -> bytes:
        """A packed envelope; `routes` are deltas by the address that they lead from."""
        entries = {file: self.put(data) for file, data in files.items()}
        ways = tuple(Route(base, self.put(delta)) for base, delta in routes.items())
        now = time.time()
        document = Release(name, version, entries[MANIFEST].sha256, entries, now, now + 30 * DAY, routes=ways)
        return pack(sign(document, {trust.PUBLISHER: self._publisher}))

    def news(self, node: str, sequence: int, name: str, release: bytes) -> bytes:
        now = time.time()
        document = Assignment(node, "yard", sequence, {name: unpack(release).digest}, now, now + DAY)
        return pack_news(News(pack(sign(document, {trust.CHANNEL: self._channel})), (release,), self._trust))

    async def serve(self) -> tuple[Listener, int]:
        """The files behind TLS on a free port of loopback."""

        async def nobody(transport: WebSocketTransport, peer: Peer) -> None:
            await transport.close()

        routes = [web.get(r"/files/{sha256:[0-9a-f]{64}}", Depot(self.blobs).give)]
        listener = Listener(nobody, server_context(keys.server_identity(self.folder)), routes=routes)
        return listener, await listener.start("127.0.0.1")
