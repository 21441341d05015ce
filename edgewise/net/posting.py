"""A device's items on their way up: what may go now, what has gone and is not acknowledged, and when it must go again.

Frames come first. While none is in flight, items go as long as the window of unacknowledged bytes has room; while some are, one
message each PACE s. The window doubles while acknowledgements come within QUICK s, and halves when they do not: so a backlog of
days costs a frame about that much delay at the most, on a fast link and on a slow one. A server that wants a device to be
slower acknowledges later.

An item that has no ACK after PATIENCE s is sent again; a new connection begins with the first that has none.
"""

from __future__ import annotations

import math
from collections import Counter, deque

from edgewise.core.errors import FrameError, StoreError
from edgewise.net.items import Item, Outbox, pack_items

LEAST = 2 << 10  # bytes of the window at first, and at the least
CHUNK = 8 << 10  # bytes of one message, but for an item that is larger by itself
QUICK = 0.25  # s
PACE = 0.25  # s between two messages while frames are in flight
LOOK = 0.5  # s after which an outbox that was empty is looked into again, unless somebody says that it is not
PATIENCE = 5.0  # s without an ACK, doubled each time
LONGEST = 60.0


class Posting:
    """One outbox over all connections of a session; `window` (bytes) is the server's."""

    def __init__(self, outbox: Outbox | None, counts: Counter[str]) -> None:
        self.outbox, self.counts = outbox, counts
        self._most = self._window = 0
        self._under: deque[tuple[int, int, float]] = deque()  # number, size and time of items without an ACK
        self._bytes = 0
        self._said = self._highest = self._acked = 0
        self.number = 0  # of the last message since the first item without an ACK was said: a lost one leaves a gap
        self._look = self._next = -math.inf
        self._again, self._patience = math.inf, PATIENCE

    @property
    def epoch(self) -> str:
        return self.outbox.epoch if self.outbox is not None else ""

    @property
    def unacknowledged(self) -> int:
        """Items on their way."""
        return len(self._under)

    def open(self, window: int) -> None:
        """A server welcomes us."""
        self._most, self._window, self._patience = window, min(LEAST, window), PATIENCE
        self._highest = 0
        self._rewind()

    def close(self) -> None:
        self._window = 0
        self._under.clear()
        self._bytes, self._again = 0, math.inf

    def stir(self) -> None:
        """Something was put into the outbox."""
        self._look = -math.inf

    def wake(self, now: float, busy: bool) -> float:
        """When (s) something is to be done that no message brings about; what is due already waits for the wire to be free."""
        waits = busy and now < self._next and self._look <= self._next and self._room() > 0
        return min(self._again, self._next) if waits else self._again

    def advance(self, now: float) -> None:
        if now >= self._again:
            self.counts["items sent again"] += len(self._under)
            self._patience = min(2 * self._patience, LONGEST)
            self._rewind()

    def take(self, now: float, busy: bool) -> bytes | None:
        """The payload of an ITEM frame that may go now; `busy` says that frames are in flight. StoreError: it is tried again."""
        room = self._room()
        if self.outbox is None or room <= 0 or now < self._look or (busy and now < self._next):
            return None
        try:
            items = self.outbox.waiting(self._said, min(room, CHUNK))
        except StoreError:
            self.counts["store errors"] += 1
            self._look = now + PATIENCE
            raise
        if not items:
            self._look = now + LOOK
            return None
        if self._under and items[0].cost > room:
            self._look = math.inf  # until an ACK makes room
            return None
        fit = _fitting(items, min(room, CHUNK))
        self._sent(fit, now)
        return pack_items(fit)

    def acked(self, seq: int, now: float) -> bool:
        """Whether an ACK says something new; FrameError where it lies. StoreError: it is said again with the next one."""
        if seq > self._highest or self.outbox is None:
            raise FrameError("an item was acknowledged that was not sent", got=seq, allowed=f"up to {self._highest}")
        used = self._bytes
        while self._under and self._under[0][0] <= seq:
            _, size, sent_at = self._under.popleft()
            self._bytes -= size
            self._judge(used, now - sent_at)
            used = 0
        self._said = max(self._said, seq)
        self._look = min(self._look, now)
        if seq <= self._acked:
            return False
        self._patience = PATIENCE
        self._again = now + PATIENCE if self._under else math.inf
        try:
            self.outbox.acked(seq)
        except StoreError:
            self.counts["store errors"] += 1
            raise
        self._acked = seq
        return True

    def _judge(self, used: int, took: float) -> None:
        """An ACK came `took` seconds after its item, when `used` bytes were under way (0: it was judged already)."""
        if took > QUICK and used:
            self._window = max(min(LEAST, self._most), self._window // 2)
        elif 2 * used >= self._window:
            self._window = min(self._most, 2 * self._window)

    def _room(self) -> int:
        """Bytes that may go; something may always go where nothing is under way."""
        return self._window - self._bytes if self._under else self._window

    def _sent(self, items: list[Item], now: float) -> None:
        for item in items:
            self._under.append((item.seq, item.cost, now))
            self._bytes += item.cost
        self._said = items[-1].seq
        self.number += 1
        self._highest = max(self._highest, self._said)
        self._next = now + PACE
        self._again = min(self._again, now + self._patience)
        self.counts["items sent"] += len(items)

    def _rewind(self) -> None:
        """Begin again with the first item that is not acknowledged."""
        self._under.clear()
        self._bytes = self._said = self.number = 0
        self._look = self._next = -math.inf
        self._again = math.inf


def _fitting(items: list[Item], room: int) -> list[Item]:
    """The first of `items`, and those behind it that fit into `room` bytes on the wire with it."""
    for n, item in enumerate(items):
        room -= item.cost
        if n and room < 0:
            return items[:n]
    return items
