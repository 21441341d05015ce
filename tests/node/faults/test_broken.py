"""The simulator must be able to fail: parts that are broken on purpose are caught within some seeds, each by the right law."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise.node.faults.invariants import Broken
from edgewise.node.faults.schedule import schedule
from edgewise.node.faults.world import World
from edgewise.node.store.database import SqlDatabase
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import Outbox

SEEDS = 40


def breaches(law: str) -> Iterator[Broken]:
    for seed in range(SEEDS):
        yield from (it for it in World(schedule(seed)).run().broken if it.law == law)


def test_an_outbox_whose_commits_are_not_synced_loses_items(monkeypatch: pytest.MonkeyPatch) -> None:
    execute = SqlDatabase.execute
    lazy = {"pragma synchronous=full": "pragma synchronous=off"}
    monkeypatch.setattr(SqlDatabase, "execute", lambda self, sql, *more: execute(self, lazy.get(sql, sql), *more))
    assert next(breaches("lost"), None)


def test_a_server_without_a_watermark_has_effects_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inbox, "take", lambda *_: "new")
    assert next(breaches("double"), None)


def test_a_server_that_acknowledges_what_it_did_not_see_loses_items(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Inbox.take
    monkeypatch.setattr(Inbox, "take", lambda self, *key: "seen" if take(self, *key) == "gap" else "new")
    assert next(breaches("lost"), None)


def test_bounds_that_drop_without_counting_lose_items(monkeypatch: pytest.MonkeyPatch) -> None:
    count = Outbox._count
    quiet = ("over_bytes", "over_age")
    monkeypatch.setattr(Outbox, "_count", lambda self, kind, what, n: None if what in quiet else count(self, kind, what, n))
    assert next(breaches("lost"), None)
