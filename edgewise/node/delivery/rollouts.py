"""The server's side of delivery, without I/O: releases published, rollouts judged, each node told what it is to run.

A person publishes, starts, pauses, resumes, reverts; the guard alone goes wide or back by itself (`stages.py` has its rules,
`course.py` the stages). Everything is in one database, written before it is told, so that a restart at any point goes on; every
act stands in the audit log with who did it.

    rim                                        here
    a device's connection begins, lives        seen(node, now)
    an item of kind report                     report(body, now, node), in the inbox's transaction; bad input never raises
    each second                                tick(now)
    for each connected node after that         news(node, now): to be sent where it is another object than the one sent last

It does not know sockets, nor whether who asks may: roles are checked before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from edgewise.core.errors import ConfigError, IdentityError, InputError
from edgewise.core.release import Envelope, Release
from edgewise.core.rollout import Plan, Report
from edgewise.node.delivery.audit import Audit
from edgewise.node.delivery.course import Channels, Rollout
from edgewise.node.delivery.guard import text
from edgewise.node.delivery.roster import Node, Roster
from edgewise.node.delivery.shelf import Shelf
from edgewise.node.delivery.telling import LIFE, Sign, Teller
from edgewise.node.delivery.turns import Turns
from edgewise.node.delivery.witness import Witness
from edgewise.node.store.blobs import Held
from edgewise.node.store.database import Database


class State(Struct, frozen=True):
    """Everything at one moment, for a page and a terminal: nodes and when they were seen, rollouts, channels' own releases."""

    at: float
    nodes: tuple[Node, ...]
    seen: dict[str, float]
    rollouts: tuple[Rollout, ...]
    channels: tuple[tuple[str, str, str], ...]
    releases: dict[str, Release]


class Rollouts:
    """`sign` signs an assignment with this server's channel key; `trust` is the site's trust envelope, told with all news.

    Nodes that were never seen join `channel`. `life` (s) is how long an assignment holds.
    """

    def __init__(
        self, database: Database, blobs: Held, sign: Sign, trust: bytes = b"", *, channel: str = "main", life: float = LIFE
    ) -> None:
        self.audit = Audit(database)
        self._database, self._default, self._life = database, channel, life
        self._roster, self._channels, self._shelf = Roster(database), Channels(database), Shelf(database, blobs)
        self._teller = Teller(database, self._roster, self._channels, self._shelf, sign, trust, life)
        self._turns = Turns(database, self._roster, self._channels, self._shelf, self.audit, lambda: self._teller.trust)
        self._witness = Witness(self._roster, self._channels, self._shelf, self.audit)
        self._shelf.sweep()

    # What a person does

    def publish(self, envelope: Envelope | bytes, by: str, now: float) -> Release:
        """Take a release in; IdentityError or ConfigError, audited, where it may not be. The same again changes nothing."""
        with self._audited(now, by, "publish"):
            given, release = self._shelf.judge(envelope, self._teller.trust, now)
            if not self._shelf.holds(given.digest):
                with self._database.transaction():
                    self._shelf.put(given, release, now)
                    self.audit.add(now, by, "publish", f"{release.name} {release.version}", f"{given.digest} {release.about}")
                self._turns.retire(now)
        return release

    def adopt(self, channel: str, digest: str, by: str, now: float) -> None:
        """Make a published release the channel's own without a rollout: what its first nodes come with."""
        with self._audited(now, by, "adopt"):
            release = self._published(digest)
            begun = release.name in self._channels.courses(channel).rollouts
            said = begun or not self._channels.carried(channel, release.name)
            if said and self._channels.own(channel, release.name) not in ("", digest):
                raise ConfigError(f"the channel {channel} has its own {release.name} already", hint="Start a rollout.")
            with self._database.transaction():
                self._channels.set(channel, release.name, digest, 1)
                self._roster.look(channel)
                self.audit.add(now, by, "adopt", f"{channel} {release.name} {release.version}", digest)

    def start(self, plan: Plan, by: str, now: float) -> Rollout:
        """Begin a rollout: the canaries get the release, the others keep theirs."""
        with self._audited(now, by, "start"):
            release = self._published(plan.release)
            name, channel = f"{release.name} {release.version}", plan.channel
            running = self._channels.courses(channel).rollouts.get(release.name)
            if running is not None and running.open:
                got = f"{running.model} {running.version}, {running.stage}"
                raise ConfigError(
                    f"the channel {channel} has a rollout already", got=got, hint="Revert it, or wait until it is done."
                )
            own = self._channels.own(channel, release.name)
            if own == plan.release:
                raise ConfigError(f"the channel {channel} has this release already", got=name)
            if release.version < self._channels.floor(channel, release.name):
                floor = self._channels.floor(channel, release.name)
                raise ConfigError(f"{name} is below the floor of the channel {channel}", allowed=f"{floor} or more")
            older = self._shelf.get(own)
            if older is not None and release.version < older.version:
                hint = f"Revert, or publish it again as version {older.version + 1} or more."
                raise ConfigError(f"{name} is older than what the channel {channel} has", allowed=older.version, hint=hint)
            longest = self._life / 4  # a device must still be on trial when its canary is judged
            if not 0 <= plan.window <= longest:
                raise ConfigError("a window is too long", got=f"{plan.window:.0f} s", allowed=f"{longest:.0f} s")
            if now >= release.expires:
                raise ConfigError(f"{name} has ended", hint="Sign and publish it again.")
            same = older is not None and older.address == release.address
            previous = own or self._turns.before(channel, release)
            rollout = Rollout(plan, release.name, release.version, "wide" if same else "canary", by, now, now, previous)
            with self._database.transaction():
                self._turns.afresh(channel, release.name, plan.release)
                rollout = self._turns.with_canaries(rollout, now)
                self._channels.write(rollout)
                self._roster.look(channel, rollout.canaries if rollout.stage == "canary" else None)
                said = f"{len(rollout.canaries)} canaries; guard {text(plan.guard) or 'none'}; {plan.window:g} s"
                self.audit.add(now, by, "start", f"{channel} {name}", said)
        return rollout

    def pause(self, channel: str, by: str, now: float, model: str = "") -> Rollout:
        """Nobody gets the release who has it not; who has it keeps it."""
        with self._audited(now, by, "pause"):
            rollout = self._rollout(channel, model)
            if rollout.stage not in ("canary", "wide"):
                raise ConfigError("there is nothing to pause", got=f"{channel} {rollout.model}: {rollout.stage}")
            return self._turns.turn(
                replace(rollout, stage="paused", before=rollout.stage, sentence=f"Paused by {by}."), by, "pause", now
            )

    def resume(self, channel: str, by: str, now: float, model: str = "") -> Rollout:
        with self._audited(now, by, "resume"):
            rollout = self._rollout(channel, model)
            if rollout.stage != "paused":
                raise ConfigError("there is nothing to resume", got=f"{channel} {rollout.model}: {rollout.stage}")
            return self._turns.turn(replace(rollout, stage=rollout.before, sentence=""), by, "resume", now)

    def revert(self, channel: str, by: str, now: float, model: str = "") -> Rollout:
        """Back to the release before, on all nodes; ConfigError where there is none, it is below a floor, or no longer held."""
        with self._audited(now, by, "revert"):
            rollout = self._rollout(channel, model)
            if rollout.stage == "reverted":
                raise ConfigError(f"{channel} {rollout.model} is reverted already", got=f"version {rollout.version}")
            barrier = self._turns.barrier(rollout, now)
            if barrier:
                raise ConfigError(barrier)
            return self._turns.reverted(rollout, by, now, f"Reverted by {by}.")

    def move(self, node: str, channel: str, by: str, now: float) -> None:
        """Put a node into a channel."""
        with self._audited(now, by, "move"):
            known = self._roster.node(node)
            if known is None:
                raise ConfigError("there is no such node", got=node, allowed="one that connected once")
            with self._database.transaction():
                self._turns.brought(known, channel)
                self._roster.put(replace(known, channel=channel), renew=0.0)
                self.audit.add(now, by, "move", node, f"From {known.channel} to {channel}.")

    def retrust(self, trust: bytes, by: str, now: float, *, anew: bool = False) -> None:
        """Tell all nodes a new trust; `anew`: sign every assignment again, as when the channel's key changed."""
        with self._database.transaction():
            self.audit.add(now, by, "trust", "", "Assignments are signed again." if anew else "")
            if anew:
                for node in self._roster.of():
                    self._roster.put(replace(node, bump=True), renew=0.0)
        self._teller.trust = trust

    # What nodes do

    def seen(self, node: str, now: float) -> None:
        """The node is connected now."""
        if not self._roster.knows(node) and self._roster.node(node) is None:
            with self._database.transaction():
                self._roster.add(node, self._default, now)
                self.audit.bounded(now, node, "join", self._default)
        self._roster.saw(node, now)

    def gone(self, node: str, now: float) -> None:
        """The node's connection ended."""
        self._roster.lost(node, now)
        self._teller.forget(node)

    def report(self, report: Report | bytes, now: float, node: str = "") -> bool:
        """Take a report, of the node that the connection is of; false where it is refused, which is audited and never raised."""
        with self._database.transaction():
            found = self._witness.read(report, node, now)
            if found is None:
                return False
            known = self._roster.node(found.node)
            if known is None:
                known = self._roster.add(found.node, self._default, now)
            self._roster.saw(found.node, now)
            self._witness.take(found, known, now)
        return True

    def news(self, node: str, now: float) -> bytes | None:
        """What to tell a node; the same object as long as nothing changed. None: nothing."""
        return self._teller.news(node, now)

    def tick(self, now: float) -> None:
        """Judge what is on its way, and sign what is due."""
        self._roster.write(now)
        self._turns.tick(now)
        self._teller.prepare_waiting(now)

    # What is known

    def nodes(self) -> list[Node]:
        return self._roster.of()

    def rollouts(self, channel: str | None = None) -> list[Rollout]:
        return self._channels.rollouts(channel)

    def held(self) -> list[Release]:
        """Every version whose bytes are here, newest first: those whose frames this server can answer."""
        return [release for digest in self._shelf.digests() if (release := self._shelf.get(digest)) is not None]

    def release(self, digest: str) -> Release | None:
        return self._shelf.get(digest)

    def own(self, channel: str, model: str) -> str:
        """The digest of a channel's own release; empty where it has none."""
        return self._channels.own(channel, model)

    def state(self, now: float) -> State:
        nodes, rollouts, channels = tuple(self.nodes()), tuple(self.rollouts()), tuple(self._channels.all())
        named = {r.plan.release for r in rollouts} | {r.previous for r in rollouts} | {c[2] for c in channels}
        named |= {digest for node in nodes for digest in (*node.assigned.values(), *(s.release for s in node.said.values()))}
        releases = {digest: release for digest in named if (release := self._shelf.get(digest)) is not None}
        return State(now, nodes, self._roster.last_seen(), rollouts, channels, releases)

    # Looking up

    def _published(self, digest: str) -> Release:
        release = self._shelf.get(digest)
        if release is None or not self._shelf.holds(digest):
            raise ConfigError("there is no such release here", got=digest[:12], hint="Publish it first.")
        return release

    def _rollout(self, channel: str, model: str) -> Rollout:
        found = [r for r in self._channels.rollouts(channel) if model in ("", r.model)]
        if not found:
            raise ConfigError("there is no such rollout", got=f"{channel} {model}".strip(), hint="edgewise rollout begins one.")
        if len(found) > 1:
            raise ConfigError(
                f"the channel {channel} has several models", got="none named", allowed=", ".join(r.model for r in found)
            )
        return found[0]

    @contextmanager
    def _audited(self, now: float, by: str, what: str) -> Iterator[None]:
        """What a person asks for and does not get stands in the log as well."""
        try:
            yield
        except (InputError, IdentityError) as error:
            self.audit.bounded(now, by, f"{what} refused", "", str(error))
            raise
