"""Delivery as an edge server offers it to people: acts with a sentence each, the fleet, releases, the audit log, and files.

It stands between `api.py`, which knows who asks, and `node.delivery.rollouts`, which decides. Here two things are remembered
beside the rollouts, in the same database: for which channels a release was published, so that `latest` means something, and what
the canaries of a rollout measured, so that the figures stay beside the limits after they went back.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import msgspec

from edgewise.apps.vision.depot import Depot, Shelf
from edgewise.apps.vision.fleet import Fleet, NodeRow, ReleaseRow
from edgewise.apps.vision.standing import Key, fleet, healths, key
from edgewise.core.errors import ConfigError, EdgewiseError
from edgewise.core.release import Envelope, canonical
from edgewise.core.rollout import Health, Plan
from edgewise.node.delivery.audit import Entry
from edgewise.node.delivery.guard import text
from edgewise.node.delivery.rollouts import Rollouts, State
from edgewise.node.store.database import Database

NAMED = 8  # nodes that a sentence names
DEEDS = ("pause", "resume", "revert")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS meant (digest TEXT, channel TEXT, PRIMARY KEY (digest, channel)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS measured (channel TEXT, model TEXT, began REAL, body BLOB NOT NULL,"
    " PRIMARY KEY (channel, model)) WITHOUT ROWID",
)
_HEALTHS = msgspec.msgpack.Decoder(dict[str, Health])


class Delivery:
    """`said()` gives what the page knows of each node (`PageState.nodes`). Everything here is quick, but for files."""

    def __init__(
        self,
        rollouts: Rollouts,
        blobs: Shelf,
        database: Database,
        said: Callable[[], dict[str, NodeRow]] = dict,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.depot = Depot(blobs)
        self.rollouts = rollouts
        self.on_act: Callable[[], None] = lambda: None  # told after an act, so that nodes hear of it at once
        self._database, self._said, self._wall = database, said, wall
        with database.transaction():
            for table in _TABLES:
                database.execute(table)
        self._kept = self._read_kept()

    # Acts: each gives a sentence, or raises one

    def publish(self, envelope: Envelope, channel: str, own: bool, by: str) -> str:
        """Take a release in for a channel; with `own` it is what the channel's nodes came with: there is a way back to it."""
        release = self.rollouts.publish(envelope, by, self._wall())
        if channel:
            with self._database.transaction():
                self._database.execute("INSERT OR REPLACE INTO meant VALUES (?, ?)", (envelope.digest, channel))
        said = f"{release.name} version {release.version} ({release.address[:8]}) is published"
        if own:
            self.rollouts.adopt(channel, envelope.digest, by, self._wall())
            return f"{said}, and is what the nodes of {channel} have to begin with."
        return f"{said}{f' for {channel}' if channel else ''}; no node runs it before a rollout."

    def start(self, plan: Plan, by: str) -> str:
        rollout = self.rollouts.start(plan, by, self._wall())
        self.on_act()
        more = f" and {len(rollout.canaries) - NAMED} more" if len(rollout.canaries) > NAMED else ""
        others = ", ".join(sorted({node.channel for node in self.rollouts.nodes()})) or "no channel yet"
        names = (
            ", ".join(rollout.canaries[:NAMED]) + more
            or f"none, for no node is there: nodes are in {others}; edgewise move NODE --channel {plan.channel} puts some there"
        )
        guarded = f"under {text(plan.guard)}" if plan.guard else "with no guard but the nodes' own"
        return (
            f"{rollout.model} version {rollout.version} goes to the canaries of {plan.channel} first ({names}), "
            f"for {plan.window:g} s, {guarded}."
        )

    def act(self, channel: str, deed: str, model: str, by: str) -> str:
        """Pause, resume or revert the rollout of a channel."""
        if deed not in DEEDS:
            raise ConfigError("a rollout cannot do this", got=deed, allowed=", ".join(DEEDS))
        now = self._wall()
        done = {"pause": self.rollouts.pause, "resume": self.rollouts.resume, "revert": self.rollouts.revert}[deed]
        rollout = done(channel, by, now, model)
        self.on_act()
        name = f"{rollout.model} version {rollout.version}"
        if deed == "pause":
            return f"{channel} is paused: no further node takes {name}."
        if deed == "resume":
            return f"{channel} goes on with {name}."
        return f"{channel} goes back from {name}: each node takes the version before that it still holds."

    def move(self, node: str, channel: str, by: str) -> str:
        self.rollouts.move(node, channel, by, self._wall())
        self.on_act()
        return f"{node} is in {channel} now, and gets what that channel runs."

    def refused(self, who: str, what: str, error: EdgewiseError) -> None:
        """Write down what somebody was refused for who he was, or what he sent."""
        self.rollouts.audit.bounded(self._wall(), who, "refused", what, str(error))

    # What there is to know

    def fleet(self) -> Fleet:
        state = self.rollouts.state(self._wall())
        self._keep(state)
        return fleet(state, self._said(), self._kept)

    def releases(self) -> tuple[ReleaseRow, ...]:
        """Releases whose files are here, newest first."""
        meant: dict[str, list[str]] = {}
        for digest, channel in self._database.execute("SELECT digest, channel FROM meant ORDER BY channel").fetchall():
            meant.setdefault(digest, []).append(channel)
        rows = []
        for release in self.rollouts.held():
            digest = hashlib.sha256(canonical(release)).hexdigest()
            rows.append(
                ReleaseRow(
                    release.name,
                    release.version,
                    digest,
                    release.address,
                    release.issued,
                    release.expires,
                    release.floor,
                    tuple(meant.get(digest, ())),
                    release.about,
                )
            )
        return tuple(rows)

    def audit(self, most: int) -> list[Entry]:
        """The newest entries, newest first."""
        return self.rollouts.audit.last(most)

    def tick(self) -> None:
        """Judge rollouts, and keep what the canaries measured before a node that went back forgets it."""
        if any(rollout.stage == "canary" for rollout in self.rollouts.rollouts()):
            self._keep(self.rollouts.state(self._wall()))
        self.rollouts.tick(self._wall())

    def _keep(self, state: State) -> None:
        nodes = {node.node: node for node in state.nodes}
        for rollout in state.rollouts:
            now = healths(rollout, nodes)
            before = self._kept.get(key(rollout), {})
            if not now or all(before.get(name) == health for name, health in now.items()):
                continue
            both = {**before, **now}
            self._kept[key(rollout)] = both
            with self._database.transaction():
                row = (rollout.plan.channel, rollout.model, rollout.began, msgspec.msgpack.encode(both))
                self._database.execute("INSERT OR REPLACE INTO measured VALUES (?, ?, ?, ?)", row)
        there = {key(rollout) for rollout in state.rollouts}
        for over in [known for known in self._kept if known not in there]:
            del self._kept[over]

    def _read_kept(self) -> dict[Key, dict[str, Health]]:
        rows = self._database.execute("SELECT channel, model, began, body FROM measured").fetchall()
        return {Key(channel, model, began): _HEALTHS.decode(body) for channel, model, began, body in rows}
