"""The inbox of a server: which items of which outbox have had their effect, so that none has it twice.

An outbox is (node, epoch); its watermark is the number up to which everything counts. `take` belongs in one transaction with
the effect of the item: either both are on the disk, or neither, and the item comes again.

An outbox that this server has never heard of begins where its device says: what it had acknowledged before, another life of
this database took (counted as `begun`). Of each node the last `EPOCHS` outboxes are remembered; a device makes a new one only
with a new database or, without a store, at each start.
"""

from __future__ import annotations

from typing import Literal

from edgewise.core.errors import FrameError
from edgewise.net.items import LAST
from edgewise.node.store.database import Database

EPOCHS = 64
Verdict = Literal["new", "seen", "gap"]

_TABLE = (
    "create table if not exists inbox (node text not null, epoch text not null, watermark integer not null,"
    " taken integer not null, seen integer not null, begun integer not null, used integer not null,"
    " primary key (node, epoch)) without rowid"
)


class Inbox:
    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(_TABLE)

    def take(self, node: str, epoch: str, after: int, seq: int) -> Verdict:
        """Is item `seq`, which follows `after`, new (and now counts), seen before, or where others are missing?"""
        if not 0 <= after < seq <= LAST:
            raise FrameError("an item follows none that could be before it", got=f"{seq} after {after}", allowed="rising numbers")
        database = self._database
        with database.transaction():
            watermark = self.watermark(node, epoch)
            if watermark is None:
                self._begin(node, epoch, after)
                watermark = after
            if seq <= watermark:
                database.execute("update inbox set seen=seen+1 where node=? and epoch=?", (node, epoch))
                return "seen"
            if after > watermark:
                return "gap"
            database.execute("update inbox set watermark=?, taken=taken+1 where node=? and epoch=?", (seq, node, epoch))
            return "new"

    def skip(self, node: str, epoch: str, after: int) -> None:
        """Go on behind number `after`: what this outbox had acknowledged up to there, a later life of this database took, which a
        copy of an earlier one has replaced (counted as `begun`).
        """
        self._database.execute(
            "update inbox set watermark=max(watermark, ?), begun=? where node=? and epoch=?", (after, after, node, epoch)
        )

    def watermark(self, node: str, epoch: str) -> int | None:
        """Up to which number all items of this outbox count; None of one that is not known."""
        row = self._database.execute("select watermark from inbox where node=? and epoch=?", (node, epoch)).fetchone()
        return None if row is None else int(row[0])

    @property
    def counts(self) -> dict[str, int]:
        """Items that had their effect (`taken`), came again (`seen`), and outboxes whose beginning is not known (`begun`)."""
        row = self._database.execute("select total(taken), total(seen), total(begun > 0) from inbox").fetchone()
        return {name: int(value) for name, value in zip(("taken", "seen", "begun"), row)}

    def _begin(self, node: str, epoch: str, after: int) -> None:
        (used,) = self._database.execute("select coalesce(max(used), 0) + 1 from inbox where node=?", (node,)).fetchone()
        self._database.execute("insert into inbox values (?, ?, ?, 0, 0, ?, ?)", (node, epoch, after, after, used))
        self._database.execute("delete from inbox where node=? and used <= ?", (node, used - EPOCHS))
