"""The law of the session: whatever the network, the clock and both sides do, every offered frame ends exactly once."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.answer import Answer
from edgewise.net.frame import Header, Kind, decode, encode
from edgewise.net.messages import Hello, Reply, Stream
from edgewise.net.session import (
    Answered,
    Arrived,
    Cancelled,
    Closed,
    DeviceSession,
    Dropped,
    EdgeSession,
    Failed,
    Limits,
    Opened,
    Posted,
)
from edgewise.node.store.outbox import MemoryOutbox


def hello(base: int = 0) -> Hello:
    good = Stream(base + 1, "a" * 64, "s8", "affine", 8, (1, 2, 2, 2), "float32")
    return Hello("cam", "0.1", (good, Stream(base + 2, "b", "x", "jpeg", 75, (4, 4, 3), "uint8")))


HELLO = hello()
LIMITS = Limits(credit=2, max_payload=64, garbage_burst=4.0)

SECONDS = st.floats(0.0, 2.0)
STEPS = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from([1, 1, 1, 2, 9, -9]), st.integers(0, 80), st.floats(-0.1, 3.0)),
    st.tuples(
        st.sampled_from(
            [
                "up",
                "down",
                "all up",
                "all down",
                "too slow",
                "answer",
                "refuse",
                "work",
                "work",
                "connect",
                "lose",
                "duplicate",
                "swap",
                "lose one",
                "put",
                "commit",
                "renew",
            ]
        )
    ),
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("flip"), st.integers(0, 1 << 30)),
    st.tuples(st.just("garbage"), st.binary(max_size=40)),
    st.tuples(st.just("forge"), st.sampled_from(Kind), st.integers(0, 12), st.binary(max_size=12)),
    st.tuples(st.just("credit"), st.integers(1, 4)),
)


class World:
    """Both sides and the two directions between them, in virtual time; `hostile` steps touch what is on its way."""

    def __init__(self) -> None:
        self.now = 100.0
        self.outbox = MemoryOutbox(epoch="e")
        self.device = DeviceSession(HELLO, self.outbox)
        self.edge: EdgeSession | None = None
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.owed: deque[int] = deque()
        self.offered: list[int] = []
        self.ends: Counter[int] = Counter()
        self.answered: set[int] = set()
        self.watermark = 0
        self.base = 0  # numbers of streams count from here; -9 above is the stream before the last renewal
        self.wide = LIMITS.credit

    def settle(self) -> None:
        for data in self.device.outgoing(self.now):
            self.up.append(data)
        for event in self.device.events():
            if isinstance(event, Answered | Dropped | Failed):
                self.ends[event.frame] += 1
            if isinstance(event, Closed):
                self.edge = None
                self.up.clear()
                self.down.clear()
        if self.edge is not None:
            self.down.extend(self.edge.outgoing(self.now))
            for event in self.edge.events():
                if isinstance(event, Arrived):
                    self.owed.append(event.frame)
                elif isinstance(event, Cancelled):
                    self.owed.remove(event.frame)
                elif isinstance(event, Closed):
                    self.owed.clear()
                elif isinstance(event, Posted):
                    self.watermark = max(self.watermark, event.item.seq)
        else:
            self.owed.clear()
        for side in (self.device, self.edge):
            wake = side.next_wake() if side else None
            assert wake is None or wake > self.now, "a rim would spin"
        assert all(n == 1 for n in self.ends.values())
        assert self.device.in_flight <= self.wide

    def step(self, step: tuple) -> None:
        word, *rest = step
        if word == "offer":
            stream, size, left = rest
            self.offered.append(len(self.offered) + 1)
            self.device.offer(self.offered[-1], max(1, self.base + stream), bytes(size), self.now + left, self.now)
        elif word == "wait":
            self.now += rest[0]
            self.device.tick(self.now)
            if self.edge:
                self.edge.tick(self.now)
        elif word == "connect" and not self.device.open:
            self.up.clear()
            self.down.clear()
            self.owed.clear()
            self.edge = EdgeSession(LIMITS, node="cam", admit=lambda s: "no such model." if s.id % 10 == 2 else None)
            self.wide = LIMITS.credit
            self.edge.connected(self.now)
            self.device.connected(self.now)
        elif word == "lose":
            self.device.lost(self.now)
        elif word == "up" and self.up and self.edge:
            self.edge.receive(self.up.popleft(), self.now)
        elif word == "down" and self.down:
            self.device.receive(self.down.popleft(), self.now)
        elif word in ("all up", "all down"):
            while self.up if word == "all up" and self.edge else self.down if word == "all down" else ():
                self.step((word[4:],))
                self.settle()
        elif word == "too slow":  # the server does not answer in time, and hears so
            for one in (("offer", 1, 8, 0.1), ("all up",), ("wait", 0.2), ("all up",), ("all down",)):
                self.step(one)
                self.settle()
        elif word == "work":
            for _ in range(3):
                for one in ("up", "answer", "down"):
                    self.step((one,))
                    self.settle()
        elif word in ("answer", "refuse") and self.owed and self.edge:
            frame = self.owed.popleft()
            said = (
                self.edge.answer(frame, Reply(Answer()), self.now)
                if word == "answer"
                else self.edge.refuse(frame, "no.", self.now)
            )
            assert said
        elif word == "credit" and self.edge and self.edge.open:
            self.edge.grant(rest[0], self.now)
            self.wide = max(self.wide, rest[0])
        elif word == "renew" and not self.device.renewing:
            self.base += 10
            self.device.renew(hello(self.base), self.now)
        elif word == "put":
            self.outbox.put("rows", b"row", 0.0)
            self.device.stir()
        elif word == "commit" and self.edge:
            self.edge.ack(self.watermark, self.now)
        elif word == "duplicate" and self.up:
            self.up.append(self.up[0])
        elif word == "swap" and self.up:
            self.up.rotate(1)
        elif word == "lose one" and self.up:
            self.up.pop()
        elif word == "flip":
            for way in (self.up, self.down):
                if way and way[0]:
                    data = bytearray(way[0])
                    bit = rest[0] % (8 * len(data))
                    data[bit // 8] ^= 1 << bit % 8
                    way[0] = bytes(data)
        elif word == "garbage":
            self.up.appendleft(rest[0])
            self.down.appendleft(rest[0])
        elif word == "forge":
            kind, frame, payload = rest
            self.up.appendleft(encode(Header(kind, frame, 1), payload))
            self.down.appendleft(encode(Header(kind, frame), payload))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_every_offered_frame_ends_exactly_once(steps: list[tuple]) -> None:
    world = World()
    for step in [("connect",), ("work",), *steps]:
        world.step(step)
        world.settle()
    world.device.lost(world.now)
    world.settle()
    assert world.ends == Counter(world.offered)
    counts = world.device.counts
    ends = ("answered", "superseded", "expired", "deadline", "connection lost", "not connected", "refused")
    assert sum(counts[key] for key in ends) == counts["offered"] == len(world.offered)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.tuples(st.just("offer"), st.just(1), st.integers(0, 64), st.floats(0.5, 3.0)), st.tuples(st.just("work"))),
        max_size=40,
    )
)
def test_a_kind_network_loses_nothing(steps: list[tuple]) -> None:
    """Without time passing, what was sent is answered: only newest-wins drops."""
    world = World()
    for step in [("connect",), ("work",), *steps, ("work",), ("work",)]:
        world.step(step)
        world.settle()
    assert world.device.counts["answered"] + world.device.counts["superseded"] == len(world.offered)
    assert world.edge is not None and world.edge.owed == 0 == world.device.in_flight


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.builds(lambda k, f, p: encode(Header(k, f), p), st.sampled_from(Kind), st.integers(0, 9), st.binary(max_size=20)),
        max_size=40,
    )
)
def test_the_border_takes_arbitrary_bytes_and_says_so(messages: list[bytes]) -> None:
    """Either side, any state: never an exception, everything counted, the connection closed at most once."""
    for session in (EdgeSession(LIMITS), DeviceSession(HELLO)):
        session.connected(0.0)
        closed = 0
        for i, data in enumerate(messages):
            session.receive(data, i * 1e-3)
            closed += sum(isinstance(e, Closed) for e in session.events())
            for out in session.outgoing():
                decode(out, 1 << 20)
        assert closed <= 1
        assert session.counts["unreadable"] <= LIMITS.garbage_burst + 20


def test_opened_says_the_same_on_both_sides() -> None:
    world = World()
    world.step(("connect",))
    world.up.extend(world.device.outgoing())
    assert world.edge is not None
    world.edge.receive(world.up.popleft(), world.now)
    for data in world.edge.outgoing():
        world.device.receive(data, world.now)
    [here], [there] = world.device.events(), world.edge.events()
    assert isinstance(here, Opened)
    assert here == there
    assert here.welcome.refused == {2: "no such model."}
