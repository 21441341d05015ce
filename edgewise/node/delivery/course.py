"""The course of a rollout: its state as a value, where each node stands in it, and the table that keeps it.

    canary ─ guard holds ─► wide ─ all online nodes run it ─► done
      │  └─ guard broken ──► reverted (by itself, on the canaries alone)         any stage ─ a person ─► reverted
      └──── a person ─► paused ─ a person ─► back to the stage before

A channel has one rollout of a model at a time; when one is done its release is the channel's own, which new nodes get.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from edgewise.core.errors import StoreError
from edgewise.core.rollout import Plan, Stage
from edgewise.node.delivery.roster import Node
from edgewise.node.store.database import Database

_TABLES = (
    "CREATE TABLE IF NOT EXISTS rollouts (channel TEXT, model TEXT, body BLOB NOT NULL, PRIMARY KEY (channel, model))",
    "CREATE TABLE IF NOT EXISTS channels (channel TEXT, model TEXT, release TEXT NOT NULL, floor INTEGER NOT NULL,"
    " PRIMARY KEY (channel, model))",
    "CREATE TABLE IF NOT EXISTS carried (channel TEXT, model TEXT, PRIMARY KEY (channel, model))",
)


class Rollout(Struct, frozen=True, forbid_unknown_fields=True):
    """`plan` of `model` at `version`; `previous` is the release that the channel had (empty: none), and where a revert leads.

    `by` began it, `since` is when the stage began, `sentence` says what it waits for or why it ended, `before` is
    the stage that a paused one goes back to.
    """

    plan: Plan
    model: str
    version: int
    stage: Stage
    by: str
    began: float
    since: float
    previous: str = ""
    canaries: tuple[str, ...] = ()
    sentence: str = ""
    before: Stage = "canary"

    @property
    def open(self) -> bool:
        return self.stage in ("canary", "wide", "paused")


def target(rollout: Rollout | None, own: str, node: Node) -> str:
    """The release that a node is to run of a rollout's model; `own` is the channel's. Empty: none."""
    if rollout is None:
        return own
    release, older = rollout.plan.release, rollout.previous
    model, want = rollout.model, own
    reached = rollout.stage == "wide" or (rollout.stage == "canary" and node.node in rollout.canaries)
    if reached or (rollout.stage == "paused" and node.assigned.get(model) == release):
        want = release
    refused = node.refused.get(model, ())
    if want in refused:  # it put that back: it stays with what it goes back to
        want = older if older and older not in refused else node.assigned.get(model, want)
    return want


class Courses(Struct, frozen=True):
    """What a channel has: its rollouts and its own releases by model."""

    rollouts: dict[str, Rollout]
    own: dict[str, str]

    def targets(self, node: Node) -> dict[str, str]:
        models = {*self.rollouts, *self.own}
        found = {model: target(self.rollouts.get(model), self.own.get(model, ""), node) for model in sorted(models)}
        return {model: release for model, release in found.items() if release}


class Channels:
    """The tables of channels and rollouts. Every method joins an open transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction():
            for table in _TABLES:
                database.execute(table)

    def courses(self, channel: str) -> Courses:
        rows = self._database.execute("SELECT model, release FROM channels WHERE channel = ?", (channel,)).fetchall()
        return Courses({r.model: r for r in self.rollouts(channel)}, dict(rows))

    def rollouts(self, channel: str | None = None) -> list[Rollout]:
        sql = "SELECT body FROM rollouts WHERE channel = COALESCE(?, channel) ORDER BY channel, model"
        return [_read(row[0]) for row in self._database.execute(sql, (channel,)).fetchall()]

    def write(self, rollout: Rollout) -> None:
        with self._database.transaction():
            row = (rollout.plan.channel, rollout.model, msgspec.msgpack.encode(rollout))
            self._database.execute("INSERT OR REPLACE INTO rollouts VALUES (?, ?, ?)", row)

    def own(self, channel: str, model: str) -> str:
        """The channel's own release of a model; empty where it has none."""
        row = self._row(channel, model)
        return str(row[0]) if row is not None else ""

    def floor(self, channel: str, model: str) -> int:
        """The lowest version that nodes of the channel still take."""
        row = self._row(channel, model)
        return int(row[1]) if row is not None else 1

    def set(self, channel: str, model: str, release: str, floor: int) -> None:
        with self._database.transaction():
            row = (channel, model, release, max(floor, self.floor(channel, model)))
            self._database.execute("INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?)", row)
            self._database.execute("DELETE FROM carried WHERE channel = ? AND model = ?", (channel, model))

    def carry(self, channel: str, model: str, release: str, floor: int) -> None:
        """`set` by a node that brought it along from another channel: a person may still say another one."""
        with self._database.transaction():
            self.set(channel, model, release, floor)
            self._database.execute("INSERT INTO carried VALUES (?, ?)", (channel, model))

    def carried(self, channel: str, model: str) -> bool:
        sql = "SELECT 1 FROM carried WHERE channel = ? AND model = ?"
        return self._database.execute(sql, (channel, model)).fetchone() is not None

    def all(self) -> list[tuple[str, str, str]]:
        """Channel, model and its own release."""
        return list(self._database.execute("SELECT channel, model, release FROM channels ORDER BY channel, model").fetchall())

    def _row(self, channel: str, model: str) -> tuple[str, int] | None:
        sql = "SELECT release, floor FROM channels WHERE channel = ? AND model = ?"
        found: tuple[str, int] | None = self._database.execute(sql, (channel, model)).fetchone()
        return found


def _read(body: bytes) -> Rollout:
    try:
        return msgspec.msgpack.decode(body, type=Rollout)
    except msgspec.MsgspecError as error:
        raise StoreError("a rollout cannot be read", got=error) from None
