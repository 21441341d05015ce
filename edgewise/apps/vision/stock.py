"""What an edge server keeps and hands out, opened from its folder and wired together: inbox, history, releases, rollouts, files.

    edge.db     watermarks of items, history by minute, releases, rollouts, nodes, audit log (one owner)
    blobs/      files by their hash; or any address that fsspec knows

The bundles that the server answers by are published as version 1 and made the own release of the channel `main`, where the
publisher's key is in the keys' folder: so a first rollout has a version to go back to. Without that key somebody publishes them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path

from msgspec.structs import replace

from edgewise.apps.vision import trust
from edgewise.apps.vision.delivery import Delivery
from edgewise.apps.vision.fleet import NodeRow
from edgewise.apps.vision.publish import DAY, prepare
from edgewise.core.answer import FrameRecord
from edgewise.core.artifact import MANIFEST, parse
from edgewise.core.errors import ConfigError, EdgewiseError, FrameError, IdentityError, StoreError
from edgewise.core.release import Envelope, Release
from edgewise.net.items import Item
from edgewise.net.listen import Peer
from edgewise.net.transport import Transport
from edgewise.node.background import within
from edgewise.node.delivery.news import pack_news, unpack_news
from edgewise.node.delivery.rollouts import Rollouts
from edgewise.node.delivery.words import KIND
from edgewise.node.server import EdgeServer
from edgewise.node.store.blobs import Blobs, RemoteBlobs
from edgewise.node.store.disk import RealDisk
from edgewise.node.store.history import History
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.staged import Staged
from edgewise.node.tails import Tails
from edgewise.runtime.bundle import Bundle, bundle_files
from edgewise.runtime.slots import gently, warm

log = logging.getLogger("edgewise.stock")
CHANNEL = "main"
OWN_DAYS = 3650.0
EVERY = 1.0  # s between two looks at what is on its way
AGAIN = 300.0  # s until something that failed is tried again, at the most


class Failed:
    """Versions that did not load here, and when each is tried again: never, or after ever longer pauses by a steady clock."""

    def __init__(self) -> None:
        self._tries: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    def waits(self, address: str) -> bool:
        return time.monotonic() < self._until.get(address, 0.0)

    def note(self, address: str, passing: bool) -> float:
        """The pause (s) from now on; none ends for what is not `passing`."""
        self._tries[address] += 1
        pause = min(AGAIN, EVERY * 2.0 ** min(self._tries[address], 20)) if passing else inf
        self._until[address] = time.monotonic() + pause
        return pause

    def forget(self, address: str) -> None:
        self._tries.pop(address, None)
        self._until.pop(address, None)


class Stock:
    """Of the server whose keys are in `keys`; `elsewhere` is an address for files, "" for the folder's own."""

    def __init__(
        self,
        folder: Path,
        keys: Path,
        elsewhere: str = "",
        said: Callable[[], dict[str, NodeRow]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        disk = RealDisk(folder)
        self.database = disk.connect("edge.db")
        here = Blobs(disk)
        self.blobs = Staged(here, RemoteBlobs(elsewhere)) if elsewhere else here
        self.inbox, self.history = Inbox(self.database), History(self.database)
        self._keys, self._clock = keys, clock
        self._trust = trust.keep(keys, clock())
        self.rollouts = Rollouts(self.database, self.blobs, trust.assigner(keys), self._trust, channel=CHANNEL)
        self.delivery = Delivery(self.rollouts, self.blobs, self.database, said, clock)
        self._here: Counter[str] = Counter()  # open connections by node
        self._told: dict[str, bytes] = {}
        self._knows: dict[str, bytes] = {}  # the trust that a node was told on its connection of now
        self._stirred = asyncio.Event()
        self._untrusted = ""  # why the trust cannot be kept; "" where it can
        self.failing = ""  # why the store fails; "" where it does not
        self.delivery.on_act = self._stirred.set

    def close(self) -> None:
        self.database.close()

    # What the server of frames asks

    def news(self, node: str) -> bytes | None:
        """What a node is to be told; the trust is in it once a connection, for it is a third of the bytes."""
        try:
            found = self.rollouts.news(node, self._clock())
        except StoreError:  # nothing is told that could not be written down; `keep` says why, and looks again
            return None
        if found is None:
            return None
        self._told[node] = found
        news = unpack_news(found)
        if self._knows.get(node) == news.trust:
            return pack_news(replace(news, trust=b""))
        self._knows[node] = news.trust
        return found

    def rows(self, node: str, records: list[FrameRecord]) -> None:
        self.history.add(node, records, self._clock())

    def items(self, node: str, kind: str, items: list[Item]) -> None:
        """Items other than rows; those of a kind that nobody knows are refused, and count as taken."""
        for item in items:
            if kind == KIND:
                self.rollouts.report(item.body, self._clock(), node)
            else:
                error = FrameError("an item is of an unknown kind", got=kind, allowed=KIND)
                self.delivery.refused(node, "item", error)

    async def handle(self, server: EdgeServer, transport: Transport, peer: Peer) -> None:
        """One connection of a device, which is there as long as any of its connections is."""
        self._here[peer.node] += 1
        self._knows.pop(peer.node, None)
        with suppress(StoreError):  # a full disk ends no session: `keep` says so, and tries again
            self.rollouts.seen(peer.node, self._clock())
        try:
            await server.handle(transport, peer)
        finally:
            self._here[peer.node] -= 1
            if not self._here[peer.node]:
                del self._here[peer.node]
                self._told.pop(peer.node, None)
                self._knows.pop(peer.node, None)
                with suppress(StoreError):  # a full disk: by the clock it is seen soon enough that the node is away
                    self.rollouts.gone(peer.node, self._clock())

    # What it does by itself

    def own(self, folders: Mapping[str, Path]) -> None:
        """Publish the served bundles as what devices come with (see above), unless their model has a release already."""
        now = self._clock()
        for name, folder in folders.items():
            if self.rollouts.own(CHANNEL, name) or not trust.key_path(self._keys, trust.PUBLISHER).exists():
                continue
            try:
                envelope = self._signed(folder, now)
                release = self.rollouts.publish(envelope, "edge", now)
                self.rollouts.adopt(CHANNEL, envelope.digest, "edge", now)
            except IdentityError as error:  # the trust asks for more than the key that is here
                hint = f"edgewise publish BUNDLE --channel {CHANNEL} --own --key FILE"
                log.warning("%s is not published as what devices come with: %s (%s)", name, error, hint)
                continue
            log.info("%s version %d is what devices come with", name, release.version)

    def _signed(self, folder: Path, now: float) -> Envelope:
        known = [row for row in self.delivery.releases() if row.name == parse(bundle_files(folder)[MANIFEST]).name]
        release, blobs = prepare(folder, [], None, known, now, OWN_DAYS, None, "what devices come with")
        for data in blobs.values():
            self.blobs.put(data)
        return trust.sign_release(self._keys, release)

    async def keep(self, server: EdgeServer, tails: Tails) -> None:
        """Judge rollouts, tell nodes what is new, and hold every version that a node may run; until cancelled."""
        held = frozenset(tails.models)
        failed = Failed()
        checked = self._clock()
        while True:
            try:
                checked = self._look(server, checked)
                await self._hold(tails, held, failed)
                self.failing = ""
            except StoreError as error:  # a full disk ends no server: it is tried again
                if str(error) != self.failing:
                    log.error("delivery waits for the store: %s", error)
                self.failing = str(error)
            self._stirred.clear()
            await within(self._stirred.wait(), EVERY)

    def _look(self, server: EdgeServer, checked: float) -> float:
        """Once: judge, sign, and tell who is to hear something else than it was told last."""
        now = self._clock()
        for node in self._here:
            self.rollouts.seen(node, now)
        self.delivery.tick()
        checked = self._trusted(checked, now)
        for node in list(self._here):
            if self.rollouts.news(node, now) is not self._told.get(node):
                server.notify(node)
        return checked

    def _trusted(self, checked: float, now: float) -> float:
        """Tell nodes a trust that was changed on the disk (a key, a revocation); a day after the last look, renew it."""
        try:
            if not 0 <= now - checked <= DAY:
                checked = now - DAY + AGAIN
                trust.keep(self._keys, now)
                checked = now
            found = trust.envelope(self._keys)
            if found != self._trust:
                trust.read(self._keys)  # a file that is torn is told to nobody
        except (OSError, IdentityError, ConfigError) as error:  # the folder is full, or gone: the trust of before is told on
            if str(error) != self._untrusted:
                log.error("the site's trust is not kept: %s", error)
            self._untrusted = str(error)
            return checked
        self._untrusted = ""
        if found != self._trust:
            self._trust = found
            self.rollouts.retrust(found, "edge", now)
        return checked

    async def _hold(self, tails: Tails, began_with: frozenset[str], failed: Failed) -> None:
        """Load the tails of versions that came, and let go of those that left.

        A version that does not load is told once. Where its files cannot be read now, it is tried again, ever more rarely.
        """
        wanted = {release.address: release for release in self.rollouts.held()}
        for address, release in wanted.items():
            if address in tails.models or failed.waits(address):
                continue
            try:
                tails.add(await asyncio.to_thread(gently, partial(self._load, release)))
                log.info("version %d of %s can be answered", release.version, release.name, extra={"address": address})
                failed.forget(address)
            except EdgewiseError as error:
                pause = failed.note(address, passing=isinstance(error, StoreError))
                more = f" Tried again in {pause:.0f} s." if pause < inf else ""
                self.rollouts.audit.bounded(
                    self._clock(), "edge", "not loaded", f"{release.name} {release.version}", f"{error}{more}"
                )
                log.error("version %d of %s does not load here: %s%s", release.version, release.name, error, more)
        for address in set(tails.models) - set(wanted) - began_with:
            tails.drop(address)

    def _load(self, release: Release) -> Bundle:
        bundle = Bundle.load(self.blobs.read(release.files[MANIFEST].sha256), self.blobs.read)
        warm(bundle, ("head", "tail"))
        return bundle
