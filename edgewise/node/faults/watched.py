"""An outbox that the witness looks over the shoulder of: what it says that it took must not be lost from then on.

An item that joins a transaction is durable when that ends, so it is told at the end of the piece of work in which it was put,
and only if the outbox still has its number then. The code under test is the outbox itself; nothing of it is replaced.
"""

from __future__ import annotations

from edgewise.node.faults.invariants import Witness
from edgewise.node.store.database import Database
from edgewise.node.store.outbox import Bounds, Outbox


class Watched(Outbox):
    """`settle` tells the witness what has become durable since the last call."""

    def __init__(self, database: Database, bounds: Bounds, epoch: str, node: str, witness: Witness) -> None:
        super().__init__(database, bounds, epoch)
        self._node, self._witness = node, witness
        self._pending: dict[int, tuple[str, bytes]] = {}

    def put(self, kind: str, body: bytes, now: float) -> int:
        seq = super().put(kind, body, now)
        self._pending[seq] = (kind, body)
        return seq

    def settle(self) -> None:
        if not self._pending:
            return
        last = self.last
        for seq, (kind, body) in self._pending.items():
            if seq <= last:
                self._witness.put(self._node, self.epoch, seq, kind, body)
        self._pending.clear()
