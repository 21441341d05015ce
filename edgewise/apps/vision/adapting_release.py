"""Releases of what was learned: files on the shelf, a signature by the adapter's key, a rollout with canaries and guard, its
outcome.

One rollout is on its way at a time. A version waits until the channel is free: a person's rollout goes first. What delivery says
of it (done, reverted by the guard, reverted by a person) is the outcome that the adapter hears. A recall leads to an
older version: by reverting where that is the one before, and else as a release of the same files under a new number; devices that
hold them fetch nothing.

It signs for nothing but the model that it was made for, and does not know how the version came about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from edgewise.apps.vision import trust
from edgewise.apps.vision.adapting_words import Outcome, Recall, Version
from edgewise.apps.vision.publish import release_of
from edgewise.apps.vision.stock import CHANNEL, Stock
from edgewise.core.artifact import MANIFEST, Grid, Manifest, Things
from edgewise.core.errors import ConfigError, EdgewiseError, ModelError
from edgewise.core.release import Release
from edgewise.core.rollout import Condition, Plan
from edgewise.node.delivery.course import Rollout
from edgewise.node.delivery.guard import parse
from edgewise.node.delivery.words import digest
from edgewise.runtime.slots import gently

BY = "adapter"  # who stands in the audit log
LIFE = 90.0  # days of a release
ABOUT = 400  # characters
WORST = "failed<5%"  # the guard where none is said
PROBED = "quality>-10pt failed<5%"  # and where the bundle brings a probe of what it must not forget
ENDS = {"reverted": "devices were taken back from it", "refused": "its rollout could not begin"}


class Manner(Struct, frozen=True, forbid_unknown_fields=True):
    """How a version goes out: the share of canaries, for how long (s) and how many frames they are watched, and the guard."""

    canary: float = 0.1
    window: float = 20.0
    least: int = 20
    guard: tuple[Condition, ...] = ()


class Underway(Struct, frozen=True):
    """A release of ours: the shipment, its version and address, whether it leads back, and the stage that was seen last."""

    number: int
    version: int
    address: str
    digest: str
    back: bool
    stage: str = ""


class Releases:
    """Of the model `name` in the channel of all devices; `keys` hold the adapter's key."""

    def __init__(self, stock: Stock, keys: Path, name: str, manner: Manner) -> None:
        self.name, self._stock, self._keys, self._manner = name, stock, keys, manner
        self.underway: Underway | None = None

    async def publish(self, word: Version | Recall, now: float) -> Release:
        """Put a version on the shelf and publish it; it is not on its way yet. A sentence is raised where it cannot be."""
        if digest(word.files[MANIFEST]) != word.address:
            raise ModelError(
                "a version is another one than its address says", got=digest(word.files[MANIFEST])[:12], allowed=word.address[:12]
            )
        routes = word.routes.items() if isinstance(word, Version) else ()
        known, about = self._stock.delivery.releases(), f"learned: {word.why}"[:ABOUT]
        floor = max((row.floor for row in known if row.name == self.name), default=1)
        release, blobs = release_of(word.files, routes, None, known, now, LIFE, floor, about)
        await asyncio.to_thread(gently, partial(self._put, blobs))
        envelope = trust.sign_adapted(self._keys, release)
        self._stock.delivery.publish(envelope, CHANNEL, False, BY)
        self.underway = Underway(word.number, release.version, word.address, envelope.digest, isinstance(word, Recall))
        return release

    def _put(self, blobs: Mapping[str, bytes]) -> None:
        for data in blobs.values():
            self._stock.blobs.put(data)

    def turn(self) -> tuple[Underway, str, str] | None:
        """Begin what waits where the channel is free, and look at what is on its way: the release, a stage that is new, and
        why.
        """
        ours = self.underway
        if ours is None:
            return None
        there = self._rollout()
        if there is None or there.plan.release != ours.digest:
            if there is not None and there.open:
                return None  # a person's rollout, or what we began before a restart: it goes first
            if ours.stage:  # another one took its place
                return self._ended(ours, "reverted", "another rollout took its place.")
            try:
                self._start(ours)
            except EdgewiseError as error:
                return self._ended(ours, "refused", str(error))
            there = self._rollout()
        if there is None or there.stage == ours.stage:
            return None
        if there.stage in ("done", "reverted"):
            return self._ended(ours, there.stage, there.sentence)
        self.underway = Underway(ours.number, ours.version, ours.address, ours.digest, ours.back, there.stage)
        return self.underway, there.stage, there.sentence

    def _ended(self, ours: Underway, stage: str, why: str) -> tuple[Underway, str, str]:
        self.underway = None
        return ours, stage, why

    def _start(self, ours: Underway) -> None:
        manner = self._manner
        if ours.back:  # where there was something good before, nobody needs to try it first
            plan = Plan(CHANNEL, ours.digest, 1.0, 0.0, (), 0)
        else:
            plan = Plan(CHANNEL, ours.digest, manner.canary, manner.window, manner.guard, manner.least)
        self._stock.delivery.start(plan, BY)

    def _rollout(self) -> Rollout | None:
        return next((r for r in self._stock.rollouts.rollouts(CHANNEL) if r.model == self.name), None)

    def takers(self, of: Underway) -> int:
        """Nodes that were given a release, and fetched it therefore. What a recall leads to they hold."""
        nodes = self._stock.rollouts.nodes()
        return 0 if of.back else sum(of.address in node.ever.get(self.name, ()) for node in nodes)

    def settle(self) -> None:
        """Take back what was on its way when the server ended: nobody knows any more what it was learned for."""
        there = self._rollout()
        if there is not None and there.open and there.by == BY:
            self._stock.delivery.act(CHANNEL, "revert", self.name, BY)

    @property
    def busy(self) -> bool:
        """Whether something is on its way, ours or a person's."""
        there = self._rollout()
        return self.underway is not None or (there is not None and there.open)

    def own(self) -> Release | None:
        """What the devices of the channel are to run when no rollout is open."""
        found = self._stock.rollouts.own(CHANNEL, self.name)
        return self._stock.rollouts.release(found) if found else None

    def files(self, release: Release) -> dict[str, bytes]:
        """The files of a release by name."""
        return {name: self._stock.blobs.read(entry.sha256) for name, entry in release.files.items()}


def outcome(of: Underway, stage: str) -> Outcome | None:
    """What the adapter is to hear of a stage; nothing while it is on its way. Figures stay in the log: reasons are counted."""
    if stage == "done":
        return Outcome(of.number, of.address)
    return Outcome(of.number, of.address, ENDS[stage]) if stage in ENDS else None


def checked(manner: Manner) -> Manner:
    """The same, where it can be meant; a ConfigError says what cannot."""
    if not 0 < manner.canary <= 1 or not 0 <= manner.window <= 21_600 or manner.least < 0:
        raise ConfigError(
            "versions cannot go out so",
            got=f"{manner.canary:g} of the devices for {manner.window:g} s and {manner.least} frames",
            allowed="a share above 0, up to 6 h, 0 frames or more",
        )
    return manner


def guarded(words: str, manifest: Manifest) -> tuple[Condition, ...]:
    """The guard of versions in a user's words; ours where there are none.

    What was learned in the dark may well cost something on a probe of all weathers: that bound is wide.
    """
    if words:
        return parse(words)
    probed = bool(manifest.probe) and isinstance(manifest.decoding, Grid | Things)
    return parse(PROBED if probed else WORST)
