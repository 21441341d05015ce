"""The simulator must be able to fail: parts that are broken on purpose are caught within some seeds, each by the right law."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice

import pytest

from edgewise.core.release import Trust
from edgewise.net import checks, posting
from edgewise.node.delivery import courier
from edgewise.node.faults.invariants import Broken
from edgewise.node.faults.report import story, until_broken
from edgewise.node.faults.schedule import schedule
from edgewise.node.faults.world import World
from edgewise.node.store.blobs import Blobs
from edgewise.node.store.database import SqlDatabase
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import Outbox

SEEDS = 60


def breaches(*laws: str, kind: str = "") -> Iterator[Broken]:
    """Breaches of `laws` in some schedules that have a fault of this kind."""
    plans = (it for it in map(schedule, range(1000)) if not kind or any(f.kind == kind for f in it.faults))
    for plan in islice(plans, SEEDS):
        yield from (it for it in World(plan).run().broken if it.law in laws)


def test_an_outbox_whose_commits_are_not_synced_loses_items(monkeypatch: pytest.MonkeyPatch) -> None:
    execute = SqlDatabase.execute
    lazy = {"pragma synchronous=full": "pragma synchronous=off"}
    monkeypatch.setattr(SqlDatabase, "execute", lambda self, sql, *more: execute(self, lazy.get(sql, sql), *more))
    assert next(breaches("lost"), None)


def test_a_server_without_a_watermark_has_effects_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inbox, "take", lambda *_: "new")
    assert next(breaches("double"), None)


def test_a_server_that_takes_what_comes_behind_a_gap_loses_items(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Inbox.take
    monkeypatch.setattr(Inbox, "take", lambda self, *key: "seen" if take(self, *key) == "gap" else "new")
    monkeypatch.setattr(posting.Posting, "number", 0, raising=False)
    assert next(breaches("lost", "double"), None)


def test_an_effect_without_its_watermark_in_one_transaction_happens_twice_or_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlDatabase, "transaction", lambda self: nullcontext())
    assert next(breaches("lost", "double", kind="torn write"), None)


def test_bounds_that_drop_without_counting_lose_items(monkeypatch: pytest.MonkeyPatch) -> None:
    count = Outbox._count
    quiet = ("over_bytes", "over_age")
    monkeypatch.setattr(Outbox, "_count", lambda self, kind, what, n: None if what in quiet else count(self, kind, what, n))
    assert next(breaches("lost"), None)


def test_an_updater_that_loads_bytes_unseen_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def finish(self: Blobs, sha256: str, size: int) -> None:
        self._disk.sync(self._place(sha256) + ".part")
        self._disk.replace(self._place(sha256) + ".part", self._place(sha256))

    monkeypatch.setattr(Blobs, "finish", finish)
    monkeypatch.setattr(courier, "check", lambda release, found: None)
    assert next(breaches("torn", kind="corrupt"), None)


def test_a_verifier_that_believes_every_signature_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "signers", lambda given, keys, role, name: frozenset(k.public for k in keys.values()))
    monkeypatch.setattr("edgewise.net.signing.signers", checks.signers)
    monkeypatch.setattr("edgewise.net.signing.trusted", lambda envelope, root, now: checks.opened(envelope, Trust))
    assert next(breaches("torn", kind="forged news"), None)


def test_the_story_of_a_breach_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inbox, "take", lambda *_: "new")
    before = next(it for it in (World(schedule(seed)).run() for seed in range(SEEDS)) if it.broken)
    outcome, _, lines = story(before.seed)
    assert outcome == before  # to keep the lines changes nothing
    assert until_broken(outcome, lines)[-1].endswith(outcome.broken[0].sentence)
