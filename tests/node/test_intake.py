"""Items at the server: one commit for many, each effect once, and nobody held up by another's trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgewise.core.errors import ModelError, StoreError
from edgewise.net.items import Item
from edgewise.net.messages import Hello
from edgewise.net.session import Closed, DeviceSession, News, Warned
from edgewise.node.edge import Edge
from edgewise.node.intake import INTERVAL, RETRY, Intake, Taken
from edgewise.node.store.database import in_memory
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import MemoryOutbox


class Store:
    """A database with an inbox, and effects beside it; it fails while `failing`, and on bodies that are `poison`."""

    def __init__(self) -> None:
        self.database = in_memory()
        self.inbox = Inbox(self.database)
        self.database.execute("create table effects (node text, seq integer)")
        self.failing = False
        self.commits = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.database.transaction():
            yield
            if self.failing:
                raise StoreError("the disk is full")
        self.commits += 1

    def post(self, node: str, epoch: str, items: list[Item]) -> int | None:
        for item in items:
            verdict = self.inbox.take(node, epoch, item.after, item.seq)
            if verdict == "gap":
                return None
            if verdict == "new":
                self.database.execute("insert into effects values (?, ?)", (node, item.seq))
            if item.body == b"poison":
                raise ValueError("a bug")
        return items[-1].seq

    def effects(self, node: str) -> list[int]:
        return [seq for (seq,) in self.database.execute("select seq from effects where node=? order by rowid", (node,))]


def item(seq: int, body: bytes = b"") -> Item:
    return Item(seq - 1, seq, "rows", body)


def test_what_comes_within_the_interval_is_one_commit_and_a_repeated_item_is_kept_once() -> None:
    store = Store()
    intake = Intake(store.post, store.transaction)
    intake.add("a", "e", item(1))
    assert intake.due <= 0.0
    assert intake.commit(0.0) == [Taken("a", "e", 1)]
    for node in ("a", "b"):
        for seq in (1, 2, 3, 2, 3):
            intake.add(node, "e", item(seq))
    assert intake.due == INTERVAL
    assert intake.commit(INTERVAL) == [Taken("a", "e", 3), Taken("b", "e", 3)]
    assert store.commits == 2
    assert store.effects("a") == store.effects("b") == [1, 2, 3]
    assert intake.due == float("inf")


def test_a_store_that_fails_keeps_what_came_and_undoes_what_was_half_done() -> None:
    store = Store()
    intake = Intake(store.post, store.transaction)
    intake.add("a", "e", item(1))
    store.failing = True
    assert intake.commit(0.0) == []
    assert "disk is full" in intake.failing
    assert store.effects("a") == []
    intake.add("a", "e", item(1))  # the device lost patience
    intake.add("a", "e", item(2))
    assert intake.due == RETRY
    store.failing = False
    assert intake.commit(RETRY) == [Taken("a", "e", 2)]
    assert store.effects("a") == [1, 2]
    assert intake.failing == ""


def test_items_that_break_a_commit_break_only_their_own() -> None:
    store = Store()
    intake = Intake(store.post, store.transaction)
    for node, body in (("a", b""), ("b", b"poison"), ("c", b"")):
        intake.add(node, "e", item(1, body))
    taken = {t.node: t for t in intake.commit(0.0)}
    assert (taken["a"].seq, taken["b"].seq, taken["c"].seq) == (1, None, 1)
    assert "ValueError" in taken["b"].sentence
    assert [store.effects(n) for n in "abc"] == [[1], [], [1]]


# At the edge's sessions --------------------------------------------------------------------------------------------------


class Site:
    """An edge with a store, and devices joined to it by hand."""

    def __init__(self) -> None:
        self.store = Store()
        self.told: dict[str, bytes | None] = {}
        self.edge = Edge(
            lambda s: None, lambda s: s.point, post=self.store.post, transaction=self.store.transaction, news=self.news
        )
        self.devices: dict[int, DeviceSession] = {}

    def news(self, node: str) -> bytes | None:
        if node == "odd":
            raise ModelError("a release is gone")
        return self.told.get(node)

    def device(self, node: str, now: float, outbox: MemoryOutbox | None = None) -> DeviceSession:
        session = DeviceSession(Hello(node, "0", ()), MemoryOutbox() if outbox is None else outbox)
        number = self.edge.connected(node, now)
        session.connected(now)
        self.devices[number] = session
        self.flow(now)
        return session

    def flow(self, now: float) -> None:
        for _ in range(6):
            for number, session in self.devices.items():
                for data in session.outgoing(now):
                    self.edge.receive(number, data, now)
                for data in self.edge.outgoing(number):
                    session.receive(data, now)


def test_an_acknowledgement_follows_the_commit() -> None:
    site = Site()
    outbox = MemoryOutbox()
    device = site.device("a", 0.0, outbox)
    for _ in range(3):
        outbox.put("rows", b"", 0.0)
    device.stir()
    site.store.failing = True
    site.flow(1.0)
    assert (len(outbox), device.unacknowledged) == (3, 3)
    site.store.failing = False
    site.edge.tick(1.0 + RETRY)
    site.flow(1.0 + RETRY)
    assert (len(outbox), site.store.effects("a")) == (0, [1, 2, 3])


def test_a_second_connection_of_a_node_ends_the_first_and_no_other() -> None:
    site = Site()
    first, other = site.device("a", 0.0), site.device("b", 0.0)
    second = site.device("a", 1.0)
    assert [d.open for d in (first, other, second)] == [False, True, True]
    (closed,) = [e for e in first.events() if isinstance(e, Closed)]
    assert "another connection of a" in closed.reason
    assert site.edge.totals()["superseded"] == 1
    site.edge.lost(1, 2.0)  # the first one's socket goes at last
    site.told["a"] = b"new"
    site.edge.notify("a", 2.0)
    site.flow(2.0)
    assert [e.payload for e in second.events() if isinstance(e, News)] == [b"new"]


def test_a_gap_ends_the_session_with_a_sentence_and_is_healed_by_sending_again() -> None:
    site = Site()
    outbox = MemoryOutbox()
    device = site.device("a", 0.0, outbox)
    outbox.put("rows", b"1", 0.0)
    device.stir()
    assert len(device.outgoing(0.1)) == 1  # lost on its way
    outbox.put("rows", b"2", 0.0)
    device.stir()
    site.flow(0.2)
    assert site.store.effects("a") == [] and not device.open
    assert any(isinstance(e, Closed) and "missing" in e.reason for e in device.events())
    number = site.edge.connected("a", 1.0)
    device.connected(1.0)
    site.devices = {number: device}
    site.flow(1.0)
    assert (site.store.effects("a"), len(outbox)) == ([1, 2], 0)


def test_news_are_told_when_a_node_opens_and_when_there_are_new_ones() -> None:
    site = Site()
    site.told["a"] = b"first"
    device, silent = site.device("a", 0.0), site.device("b", 0.0)
    site.told["a"] = b"second"
    for node in ("a", "b", "nobody"):
        site.edge.notify(node, 1.0)
    site.flow(1.0)
    assert [e.payload for e in device.events() if isinstance(e, News)] == [b"first", b"second"]
    assert not [e for e in silent.events() if isinstance(e, News)]
    assert site.device("odd", 2.0).open
    assert site.edge.totals()["news failed"] == 1


def test_a_warning_reaches_the_node_that_it_is_for() -> None:
    site = Site()
    device = site.device("a", 0.0)
    site.edge.warn("a", "what was that?", "unreadable rows", 1.0)
    site.flow(1.0)
    assert [e.sentence for e in device.events() if isinstance(e, Warned)] == ["what was that?"]
