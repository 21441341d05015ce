"""The roster of a server: each node, its channel, what it was assigned and what it said. A table of whole values.

A node that was never heard of joins the default channel when it is first seen. Who is online is kept in memory and written down
now and then; everything else is written in the transaction of whoever changes it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from edgewise.core.errors import StoreError
from edgewise.core.rollout import Health, Step
from edgewise.node.store.database import Database

ONLINE = 60.0  # s since a node was seen
WRITE = 30.0  # s between two writings of when it was
_TABLES = (
    "CREATE TABLE IF NOT EXISTS nodes (node TEXT PRIMARY KEY, channel TEXT NOT NULL, seen REAL NOT NULL, renew REAL NOT NULL,"
    " body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS nodes_channel ON nodes (channel)",
    "CREATE INDEX IF NOT EXISTS nodes_renew ON nodes (renew)",
)


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """What a node said last of a model: `running` (an address), and the step of `release`, under assignment `sequence`.

    `health` is that of `release` on this node, the latest that there is; `at` is the server's time.
    """

    running: str
    release: str
    version: int
    step: Step
    sequence: int
    at: float
    sentence: str = ""
    health: Health | None = None


class Node(Struct, frozen=True, forbid_unknown_fields=True):
    """`assigned`: model → release, under `sequence`, of which `began` is the first that named it.

    `ever`: addresses it was given, and `origin` the one that it came with. `refused`: model → releases that it put back, so that
    it keeps the one before. `bump`: the next assignment gets a new number though nothing else changes. `kept`: model → release
    whose trial is over there. `diverged`: a sentence, where it runs what it was never given; `again`: when it was told anew.
    """

    node: str
    channel: str
    joined: float
    sequence: int = 0
    assigned: dict[str, str] = {}
    began: dict[str, int] = {}
    ever: dict[str, tuple[str, ...]] = {}
    origin: dict[str, str] = {}
    said: dict[str, Said] = {}
    refused: dict[str, tuple[str, ...]] = {}
    bump: bool = False
    kept: dict[str, str] = {}
    diverged: str = ""
    again: float = 0.0
    expires: float = 0.0
    envelope: bytes = b""


class Roster:
    """Every method joins an open transaction. `renew` is when a node's assignment is to be looked at again; 0: at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, float] = {}
        self._written = 0.0
        with database.transaction():
            for table in _TABLES:
                database.execute(table)

    def node(self, name: str) -> Node | None:
        row = self._database.execute("SELECT body FROM nodes WHERE node = ?", (name,)).fetchone()
        return _read(row[0]) if row is not None else None

    def due(self, name: str) -> float | None:
        """When this node's assignment is to be looked at; None: the node is unknown."""
        row = self._database.execute("SELECT renew FROM nodes WHERE node = ?", (name,)).fetchone()
        return float(row[0]) if row is not None else None

    def add(self, name: str, channel: str, now: float) -> Node:
        node = Node(name, channel, now)
        with self._database.transaction():
            body = msgspec.msgpack.encode(node)
            self._database.execute("INSERT INTO nodes VALUES (?, ?, ?, 0, ?)", (name, channel, now, body))
        return node

    def put(self, node: Node, renew: float | None = None) -> None:
        """Write a node; `renew` None leaves that as it is."""
        with self._database.transaction():
            body = msgspec.msgpack.encode(node)
            sql = "UPDATE nodes SET channel = ?, body = ?, renew = COALESCE(?, renew) WHERE node = ?"
            self._database.execute(sql, (node.channel, body, renew, node.node))

    def look(self, channel: str, nodes: Iterable[str] | None = None) -> None:
        """Look at the assignments of a channel again, or of some of its nodes."""
        with self._database.transaction():
            if nodes is None:
                self._database.execute("UPDATE nodes SET renew = 0 WHERE channel = ?", (channel,))
            else:
                for name in nodes:
                    self._database.execute("UPDATE nodes SET renew = 0 WHERE node = ?", (name,))

    def of(self, channel: str | None = None) -> list[Node]:
        sql = "SELECT body FROM nodes WHERE channel = COALESCE(?, channel) ORDER BY node"
        return [_read(row[0]) for row in self._database.execute(sql, (channel,)).fetchall()]

    def waiting(self, now: float, farthest: float, most: int = 1000) -> list[str]:
        """Nodes that are online and whose assignment is to be looked at; beyond `farthest` a clock was wrong."""
        sql = "SELECT node FROM nodes WHERE renew <= ? OR renew > ? ORDER BY renew LIMIT ?"
        rows = self._database.execute(sql, (now, farthest, most + 4096)).fetchall()
        return [row[0] for row in rows if self.away(row[0], now) == 0][:most]

    def knows(self, name: str) -> bool:
        """Whether this process saw the node before."""
        return name in self._seen

    def saw(self, name: str, now: float) -> None:
        self._seen[name] = now

    def lost(self, name: str, now: float) -> None:
        """The node's connection ended."""
        self._seen.pop(name, None)
        self._write({name: now - ONLINE - 1e-3})

    def away(self, name: str, now: float) -> float:
        """Seconds since the node was seen last; 0 while it is online."""
        last = self._seen.get(name)
        if last is None:
            row = self._database.execute("SELECT seen FROM nodes WHERE node = ?", (name,)).fetchone()
            last = float(row[0]) if row is not None else now - 1e9
        if last > now + ONLINE:  # the clock was ahead when that was written: nobody knows since when, so since just now
            return ONLINE
        return max(0.0, now - last) if now - last > ONLINE else 0.0

    def last_seen(self) -> dict[str, float]:
        rows = self._database.execute("SELECT node, seen FROM nodes").fetchall()
        return {name: self._seen.get(name, seen) for name, seen in rows}

    def write(self, now: float) -> None:
        """Write down who was seen, not too often; those not seen for an hour are forgotten here.

        After a clock that was ahead, a time of seeing that is to come is rewritten as the last moment of being online.
        """
        if 0 <= now - self._written < WRITE:
            return
        if now < self._written:
            self._seen = {name: at for name, at in self._seen.items() if at <= now + ONLINE}
        gone = (now - ONLINE - 1e-3, now + ONLINE)
        with self._database.transaction():
            self._database.execute("UPDATE nodes SET seen = ? WHERE seen > ?", gone)
        self._write({name: at for name, at in self._seen.items() if at >= self._written - 1e-3})
        self._written = now
        self._seen = {name: at for name, at in self._seen.items() if now - at < 3600}

    def _write(self, seen: dict[str, float]) -> None:
        with self._database.transaction():
            for name, at in seen.items():
                self._database.execute("UPDATE nodes SET seen = ? WHERE node = ?", (at, name))


def _read(body: bytes) -> Node:
    try:
        return msgspec.msgpack.decode(body, type=Node)
    except msgspec.MsgspecError as error:
        raise StoreError("a node of the roster cannot be read", got=error) from None
