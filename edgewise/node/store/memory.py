"""A few values by key that a node must not forget: what `net.signing.Verifier` remembers of documents, for one."""

from __future__ import annotations

from edgewise.node.store.database import Database


class Memory:
    """`put` is durable when it returns, or when the transaction that it joined ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute("create table if not exists memory (key text primary key, value blob not null) without rowid")

    def get(self, key: str) -> bytes | None:
        row = self._database.execute("select value from memory where key=?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        self._database.execute("insert or replace into memory values (?, ?)", (key, value))
