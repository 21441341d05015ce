"""Items on the sessions, rule by rule: who goes first, how much may go, when it goes again, and what an acknowledgement means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgewise.core.answer import Answer
from edgewise.core.errors import FrameError, StoreError
from edgewise.net import messages, posting
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.items import LARGEST_BODY, Item, pack_items, unpack_items
from edgewise.net.messages import Hello, Reply, Stream
from edgewise.net.session import Acked, Arrived, Closed, DeviceSession, EdgeSession, Limits, News, Posted, Warned
from edgewise.node.store.outbox import MemoryOutbox

HELLO = Hello("cam", "0.1", (Stream(1, "a" * 64, "s8", "affine", 8, (1, 2, 2, 2), "float32"),))


class Pair:
    """A device with an outbox, and its server, joined by hand; `hold` stops what the test wants stopped on its way up."""

    def __init__(self, limits: Limits = Limits(), outbox: MemoryOutbox | None = None) -> None:
        self.outbox = outbox if outbox is not None else MemoryOutbox()
        self.device = DeviceSession(HELLO, self.outbox)
        self.limits = limits
        self.posted: list[Item] = []
        self.acked: list[int] = []
        self.join(0.0)

    def join(self, now: float) -> None:
        self.edge = EdgeSession(self.limits, node="cam")
        self.edge.connected(now)
        self.device.connected(now)
        self.flow(now)

    def flow(self, now: float, *, ack: bool = True, hold: Callable[[Kind], bool] = lambda kind: False) -> None:
        for _ in range(50):
            up = self.device.outgoing(now)
            for data in up:
                if not hold(decode(data, 1 << 20)[0].kind):
                    self.edge.receive(data, now)
            fresh = [e.item for e in self.edge.events() if isinstance(e, Posted)]
            self.posted += fresh
            if ack and fresh:
                self.edge.ack(fresh[-1].seq, now)
            down = self.edge.outgoing(now)
            for data in down:
                self.device.receive(data, now)
            self.acked += [e.seq for e in self.device.events() if isinstance(e, Acked)]
            if not up and not down:
                return
        raise AssertionError("they never fall silent")

    def put(self, *bodies: bytes) -> None:
        for body in bodies:
            self.outbox.put("rows", body, 0.0)
        self.device.stir()

    @property
    def numbers(self) -> list[int]:
        return [item.seq for item in self.posted]


def test_items_go_up_in_order_and_leave_the_outbox_when_they_are_acknowledged() -> None:
    pair = Pair()
    pair.put(*(bytes([n]) * 100 for n in range(200)))
    pair.flow(1.0)
    assert pair.numbers == list(range(1, 201))
    assert [item.body[0] for item in pair.posted] == list(range(200))
    assert pair.acked[-1] == 200
    assert len(pair.outbox) == pair.device.unacknowledged == 0


def test_what_has_no_acknowledgement_stays_within_the_window() -> None:
    pair = Pair(Limits(item_window=1000))
    pair.put(*(bytes(200) for _ in range(20)))
    pair.flow(1.0, ack=False)
    assert pair.numbers == [1, 2, 3, 4]  # 232 bytes each, about
    pair.edge.ack(2, 1.0)
    pair.flow(1.0, ack=False)
    assert pair.numbers == [1, 2, 3, 4, 5, 6]
    assert len(pair.outbox) == 18


def test_an_item_that_is_larger_than_the_window_goes_alone() -> None:
    pair = Pair(Limits(item_window=1000))
    pair.put(bytes(10), bytes(LARGEST_BODY), bytes(10))
    pair.flow(1.0, ack=False)
    assert pair.numbers == [1]
    pair.edge.ack(1, 1.0)
    pair.flow(1.0, ack=False)
    assert pair.numbers == [1, 2]
    pair.edge.ack(2, 1.0)
    pair.flow(1.0)
    assert pair.numbers == [1, 2, 3]


def test_no_item_leaves_while_a_frame_waits_and_few_while_one_is_in_flight() -> None:
    pair = Pair(Limits(credit=1, item_window=1 << 20))
    pair.device.offer(1, 1, b"x", 99.0, 1.0)
    pair.device.offer(2, 1, b"x", 99.0, 1.0)  # replaces the first
    pair.flow(1.0)
    pair.device.offer(3, 1, b"x", 99.0, 1.0)  # waits: the window of frames is full
    pair.put(*(bytes(1000) for _ in range(100)))
    pair.flow(1.0)
    assert pair.numbers == []
    pair.edge.answer(2, Reply(Answer()), 1.0)
    pair.flow(1.0)
    few = len(pair.numbers)
    assert 0 < few * 1000 <= posting.CHUNK  # frame 3 is in flight now
    assert pair.device.outgoing(1.1) == []
    assert pair.device.next_wake() == pytest.approx(1.0 + posting.PACE)
    pair.device.tick(1.0 + posting.PACE)
    pair.flow(1.0 + posting.PACE)
    assert 0 < (len(pair.numbers) - few) * 1000 <= posting.CHUNK
    pair.edge.answer(3, Reply(Answer()), 1.3)
    pair.flow(1.3)
    assert len(pair.numbers) == 100


def test_a_new_connection_begins_with_the_first_that_has_no_acknowledgement() -> None:
    pair = Pair()
    pair.put(b"1", b"2", b"3")
    pair.flow(1.0, ack=False)
    pair.edge.ack(1, 1.0)
    pair.flow(1.0, ack=False)
    pair.device.lost(1.1)
    pair.put(b"4")
    pair.join(2.0)
    assert pair.numbers == [1, 2, 3, 2, 3, 4]
    assert [item.after for item in pair.posted[3:]] == [1, 2, 3]
    assert len(pair.outbox) == 0


def test_what_is_not_acknowledged_for_long_goes_again_on_the_same_connection() -> None:
    pair = Pair()
    pair.put(b"1", b"2")
    pair.flow(1.0, hold=lambda kind: kind is Kind.ITEM)  # lost on the way
    now = 1.0
    while not pair.posted and now < 20.0:
        now += 0.5
        pair.flow(now)
    assert pair.numbers == [1, 2]
    assert now == pytest.approx(1.0 + posting.PATIENCE, abs=0.51)
    assert len(pair.outbox) == 0


def test_items_that_the_outbox_dropped_leave_no_gap() -> None:
    pair = Pair()
    pair.put(b"1", b"2", b"3")
    pair.flow(1.0, ack=False)
    pair.outbox._drop(2, "rows", 1, "over_bytes")  # its bounds, meanwhile
    pair.put(b"4")
    pair.device.lost(1.1)
    pair.join(2.0)
    assert [(item.after, item.seq) for item in pair.posted[3:]] == [(0, 1), (1, 3), (3, 4)]


def test_a_device_that_says_too_much_is_acknowledged_later_and_loses_nothing() -> None:
    limits = Limits(item_window=2000, item_rate=1000.0)
    pair = Pair(limits)
    pair.put(*(bytes(168) for _ in range(50)))  # 200 bytes each on the wire, ten seconds' worth
    pair.flow(1.0)
    at_once = len(pair.acked) and pair.acked[-1]
    assert at_once * 200 <= 2 * limits.item_rate + limits.item_window
    now = 1.0
    while len(pair.outbox):
        now += 0.1
        pair.flow(now)
        assert (len(set(pair.numbers)) * 200 - limits.item_window) <= limits.item_rate * (now - 1.0 + 2.0) + 200
    assert now == pytest.approx(1.0 + 50 * 200 / limits.item_rate - 2.0, abs=1.0)
    assert sorted(set(pair.numbers)) == list(range(1, 51))
    assert pair.edge.counts["acknowledged late"] > 0
    assert pair.device.open and pair.edge.open


def test_a_device_that_ignores_the_window_is_closed() -> None:
    edge = Pair(Limits(item_window=1000)).edge
    for n in range(1, 10):
        edge.receive(encode(Header(Kind.ITEM), pack_items([Item(n - 1, n, "rows", bytes(LARGEST_BODY // 2))])), 1.0)
    assert edge.closed
    assert edge.counts["items over window"] == 1


def test_a_server_that_acknowledges_what_was_not_sent_is_not_believed() -> None:
    pair = Pair()
    pair.put(b"1")
    pair.device.receive(encode(Header(Kind.ACK, 1)), 1.0)
    assert any(isinstance(e, Warned) and "not sent" in e.sentence for e in pair.device.events())
    assert len(pair.outbox) == 1


def test_the_edge_acknowledges_in_a_session_only_what_came_in_it() -> None:
    """What an earlier connection brought may be committed when the next one stands."""
    pair = Pair()
    pair.edge.ack(7, 1.0)
    assert Kind.ACK not in [decode(data, 100)[0].kind for data in pair.edge.outgoing(1.0)]
    pair.put(b"1")
    pair.flow(1.0, ack=False)
    pair.edge.ack(7, 1.0)
    pair.flow(1.0)
    assert pair.acked == [1]


def test_news_come_down_as_they_are() -> None:
    pair = Pair()
    pair.edge.news(b"signed words", 1.0)
    for data in pair.edge.outgoing(1.0):
        pair.device.receive(data, 1.0)
    assert [e.payload for e in pair.device.events() if isinstance(e, News)] == [b"signed words"]


class Broken(MemoryOutbox):
    """A disk that fails while `failing`."""

    failing = False

    def waiting(self, after: int, limit_bytes: int) -> list[Item]:
        if self.failing:
            raise StoreError("the disk failed")
        return super().waiting(after, limit_bytes)

    def acked(self, seq: int) -> None:
        if self.failing:
            raise StoreError("the disk failed")
        super().acked(seq)


def test_a_store_that_fails_is_told_counted_and_tried_again_while_frames_go_on() -> None:
    outbox = Broken()
    pair = Pair(outbox=outbox)
    pair.put(b"1")
    pair.flow(1.0, ack=False)
    outbox.failing = True
    pair.edge.ack(1, 1.0)
    for data in pair.edge.outgoing(1.0):
        pair.device.receive(data, 1.0)
    pair.device.offer(1, 1, b"x", 2.0, 1.0)
    pair.device.stir()
    for data in pair.device.outgoing(1.0):
        pair.edge.receive(data, 1.0)
    assert [e.frame for e in pair.edge.events() if isinstance(e, Arrived)] == [1]
    assert [e.sentence for e in pair.device.events() if isinstance(e, Warned)] == ["the disk failed."]
    assert pair.device.counts["store errors"] == 1
    assert len(outbox) == 1
    outbox.failing = False
    pair.put(b"2")
    for second in range(2, 9):
        pair.flow(second)
    assert len(outbox) == 0


@pytest.mark.parametrize(
    "items",
    [
        [Item(0, 2, "rows", b""), Item(0, 1, "rows", b"")],
        [Item(3, 3, "rows", b"")],
        [Item(0, 1, "rows", bytes(LARGEST_BODY + 1))],
        [],
    ],
)
def test_items_that_cannot_be_are_refused(items: list[Item]) -> None:
    with pytest.raises(FrameError):
        unpack_items(pack_items(items))


def test_items_from_a_device_without_an_outbox_are_refused() -> None:
    device, edge = DeviceSession(HELLO), EdgeSession()
    device.connected(0.0), edge.connected(0.0)
    for data in device.outgoing(0.0):
        edge.receive(data, 0.0)
    edge.outgoing()
    edge.receive(encode(Header(Kind.ITEM), pack_items([Item(0, 1, "rows", b"")])), 0.0)
    header, payload = decode(edge.outgoing()[-1], 1000)
    assert (header.kind, "no outbox" in messages.unpack(messages.Refusal, payload).sentence) == (Kind.REFUSE, True)
    assert not any(isinstance(e, Posted | Closed) for e in edge.events())


def test_behind_a_lost_message_no_item_is_believed_to_be_the_first() -> None:
    """An inbox that does not know the outbox begins where it is told: that must not be behind a message that was lost."""
    pair = Pair()
    lost: list[Kind] = []

    def first(kind: Kind) -> bool:
        if kind is Kind.ITEM and not lost:
            lost.append(kind)
            return True
        return False

    pair.put(b"a")
    pair.flow(1.0, hold=first)
    pair.put(b"b")
    pair.flow(2.0)
    assert lost and pair.edge.closed and not pair.posted
    pair.join(3.0)
    pair.flow(3.0)
    assert [item.body for item in pair.posted] == [b"a", b"b"]
