"""The law of items: whatever cuts, delays, doubles, reorders and loses messages, whenever either side is killed, and however
the outbox's bounds bite, each item that is not given up has its effect exactly once, in order; after quiet everything is
acknowledged.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.answer import Answer
from edgewise.net.items import Item
from edgewise.net.messages import Hello, Reply, Stream
from edgewise.net.session import Arrived, Closed, DeviceSession, EdgeSession, Limits, Posted
from edgewise.node.store.database import in_memory
from edgewise.node.store.inbox import Inbox
from edgewise.node.store.outbox import Bounds, MemoryOutbox

HELLO = Hello("cam", "0.1", (Stream(1, "a" * 64, "s8", "affine", 8, (1, 2, 2, 2), "float32"),))
LIMITS = Limits(credit=2, item_window=400, item_rate=2000.0)

STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 300)),
    st.tuples(st.just("put"), st.integers(0, 300)),
    st.tuples(
        st.sampled_from(
            [
                "up",
                "up",
                "all up",
                "down",
                "all down",
                "commit",
                "commit",
                "connect",
                "cut",
                "double up",
                "double down",
                "swap up",
                "swap down",
                "lose up",
                "lose down",
                "kill device",
                "kill server",
                "frame",
            ]
        )
    ),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
)


class World:
    """An outbox and an inbox that outlive everything, the sessions between them, and what is on its way."""

    def __init__(self, room: int) -> None:
        self.now = 0.0
        self.outbox = MemoryOutbox(Bounds(bytes=room))
        self.inbox = Inbox(in_memory())
        self.effects: list[int] = []
        self.put: list[int] = []
        self.frame = 0
        self.device = DeviceSession(HELLO, self.outbox)
        self.edge: EdgeSession | None = None
        self.posted: list[Item] = []  # and not committed
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()

    def settle(self) -> None:
        self.up.extend(self.device.outgoing(self.now))
        for event in self.device.events():
            if isinstance(event, Closed):
                self.cut()
        if self.edge is not None:
            self.down.extend(self.edge.outgoing(self.now))
            for event in self.edge.events():
                if isinstance(event, Posted):
                    self.posted.append(event.item)
                elif isinstance(event, Arrived):
                    self.edge.answer(event.frame, Reply(Answer()), self.now)
                elif isinstance(event, Closed):
                    self.cut()
                    break
        wake = self.device.next_wake()
        assert wake is None or wake > self.now, "a rim would spin"
        assert self.effects == sorted(set(self.effects)), "twice, or out of order"

    def cut(self) -> None:
        self.up.clear()
        self.down.clear()
        self.device.lost(self.now)
        self.device.events()
        self.edge = None

    def commit(self) -> None:
        """One transaction: effects and watermark; a gap ends the session."""
        items, self.posted = self.posted, []
        for item in items:
            verdict = self.inbox.take("cam", self.outbox.epoch, item.after, item.seq)
            if verdict == "gap":
                if self.edge is not None:
                    self.edge.bye("items are missing", self.now)
                return
            if verdict == "new":
                self.effects.append(item.seq)
        if items and self.edge is not None:
            self.edge.ack(items[-1].seq, self.now)

    def step(self, word: str, value: float = 0) -> None:
        way = self.up if word.endswith("up") else self.down
        if word == "put":
            self.put.append(self.outbox.put("rows", bytes(int(value)), self.now))
            self.device.stir()
        elif word == "wait":
            self.now += value
            self.device.tick(self.now)
            if self.edge is not None:
                self.edge.tick(self.now)
        elif word == "connect":
            if self.device.open:
                return
            self.cut()
            self.edge = EdgeSession(LIMITS, node="cam")
            self.edge.connected(self.now)
            self.device.connected(self.now)
        elif word == "cut":
            self.cut()
        elif word == "commit":
            self.commit()
        elif word == "kill device":
            self.cut()
            self.device = DeviceSession(HELLO, self.outbox)
        elif word == "kill server":
            self.cut()
            self.posted.clear()
        elif word == "frame":
            self.frame += 1
            self.device.offer(self.frame, 1, bytes(50), self.now + 1.0, self.now)
        elif word in ("up", "down"):
            self.deliver(way)
        elif word.startswith("all"):
            while way and self.edge is not None:
                self.deliver(way)
                self.settle()
        elif way:
            if word.startswith("double"):
                way.append(way[0])
            elif word.startswith("swap"):
                way.rotate(1)
            else:
                way.pop()

    def deliver(self, way: deque[bytes]) -> None:
        if way is self.up and way and self.edge is not None:
            self.edge.receive(way.popleft(), self.now)
        elif way is self.down and way:
            self.device.receive(way.popleft(), self.now)

    def quiet(self) -> None:
        """A network that works, for a while."""
        for _ in range(400):
            for step in (("connect",), ("all up",), ("commit",), ("all down",), ("wait", 0.25)):
                self.step(*step)
                self.settle()
            if not len(self.outbox):
                return
        raise AssertionError(f"{len(self.outbox)} items are never acknowledged")


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=80), st.sampled_from([1500, 1 << 20]))
def test_every_item_counts_once_in_order_and_quiet_ends_with_all_of_them_acknowledged(steps: list[tuple], room: int) -> None:
    world = World(room)
    for step in [("connect",), ("all up",), ("all down",), *steps]:
        world.step(*step)
        world.settle()
    world.quiet()
    counts = world.outbox.counts.get("rows")
    dropped = counts.dropped if counts else 0
    missing = set(world.put) - set(world.effects)
    assert len(missing) <= dropped, "an item is gone that the outbox did not give up"
    assert set(world.effects) <= set(world.put)
    assert world.device.unacknowledged == 0
