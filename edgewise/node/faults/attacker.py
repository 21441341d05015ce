"""Somebody on the wire who says what the site did not: old news again, news of another node, news with a bit changed, and news
that is signed well by keys which nobody trusts, for a version whose files can even be had.

TLS keeps such a one out; here it is let in, so that what stands behind TLS is tried.
"""

from __future__ import annotations

import random

from edgewise.core.artifact import MANIFEST
from edgewise.core.release import Assignment, FileEntry, Key, Release, Trust, pack
from edgewise.net.signing import public, sign
from edgewise.node.delivery.news import News, pack_news
from edgewise.node.faults.clock import DAY, EPOCH
from edgewise.node.faults.network import flipped
from edgewise.node.faults.publisher import CHANNEL, MODEL, PARTS, Publisher, sha


class Attacker:
    """`blobs` are the files of a version that nobody published; whoever asks for them gets them."""

    def __init__(self, publisher: Publisher, draw: random.Random) -> None:
        self._publisher, self._draw = publisher, draw
        files = {name: draw.randbytes(2_000) for name in (*PARTS, MANIFEST)}
        self.blobs = {sha(data): data for data in files.values()}
        entries = {name: FileEntry(sha(data), len(data)) for name, data in files.items()}
        self._release = Release(MODEL, 1000, sha(files[MANIFEST]), entries, EPOCH - DAY, EPOCH + 100 * DAY)

    def replayed(self, node: str, heard: dict[str, list[bytes]]) -> bytes | None:
        """Something that was said before, to this node or to another."""
        all_heard = [payload for name in sorted(heard) for payload in heard[name]]
        return self._draw.choice(all_heard) if all_heard else None

    def forged(self, node: str, heard: dict[str, list[bytes]]) -> bytes:
        """News that the site never said."""
        own = heard.get(node, [])
        if own and self._draw.random() < 0.4:
            return flipped(self._draw.choice(own), self._draw)
        stranger = self._publisher.stranger
        release = sign(self._release, {"publisher": stranger})
        assignment = Assignment(node, CHANNEL, 1 << 40, {MODEL: release.digest}, EPOCH, EPOCH + DAY)
        given = sign(assignment, {"channel": stranger})
        keys = {"publisher": Key(public(stranger), "publisher"), "channel": Key(public(stranger), "channel")}
        trust = Trust(1 << 40, EPOCH, EPOCH + 300 * DAY, keys)
        root = self._draw.choice((None, stranger))
        return pack_news(News(pack(given), (pack(release),), pack(sign(trust, {"root": root})) if root is not None else b""))
