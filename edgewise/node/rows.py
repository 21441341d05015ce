"""Rows of the ledger on their way into the outbox: BATCH of them, or those of `interval` seconds, become one item of kind `rows`.

It stands between the session and an outbox, so that it knows of each row whether it waits here, is on the server, or was dropped
by the outbox's bounds: an item that the session was never given, and that the outbox does not have any more, is lost. What a
power cut finds in the batch is lost with it: that is the price of one commit for many rows. A commit keeps the device's loop
waiting: where it takes long (a memory card), batches come more rarely, so that it takes no more than SHARE of the time.

It does not know rows of an earlier life of the device: they are the outbox's alone.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from edgewise.core.answer import Answer, FrameRecord
from edgewise.core.errors import StoreError
from edgewise.net.items import LARGEST_BODY, Item
from edgewise.net.items import Outbox as Waiting
from edgewise.net.messages import pack_records

KIND = "rows"
BATCH = 32
SHARE = 0.02
RAREST = 2.0  # s


class Outbox(Waiting, Protocol):
    """An outbox that things are put into; see `edgewise.node.store.outbox`."""

    @property
    def oldest(self) -> int | None: ...

    def put(self, kind: str, body: bytes, now: float) -> int: ...


class Rows:
    """`clock` gives the wall's seconds, which the outbox counts the age of items with. To the session it is the outbox itself."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Callable[[], float],
        interval: float = 0.25,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.outbox, self.interval = outbox, interval
        self._least, self._timer = interval, timer
        self.due = math.inf  # when (s) the batch becomes an item
        self.lost = 0
        self.sentence = ""  # why the store does not take rows; "" where it does
        self._clock = clock
        self._batch: list[FrameRecord] = []
        self._put: deque[tuple[int, int]] = deque()  # number of an item and its rows
        self._rows = 0  # rows in all of these
        self._given: set[int] = set()  # numbers that the session was given
        self._away: deque[tuple[int, int]] = deque()  # those of them that the outbox has dropped since: they may have arrived

    @property
    def epoch(self) -> str:
        return self.outbox.epoch

    @property
    def waiting_rows(self) -> int:
        """Rows of this life that no server has acknowledged."""
        return len(self._batch) + self._rows

    def add(self, record: FrameRecord, now: float) -> bool:
        """Take a row in; true when that made an item.

        The server has its own answers; it is told only those that it did not give.
        """
        known = record.mode in ("split", "image")
        self._batch.append(msgspec.structs.replace(record, answer=Answer()) if known else record)
        self.due = min(self.due, now + self.interval)
        return len(self._batch) >= BATCH and self.flush()

    def tick(self, now: float) -> bool:
        """True when the batch's time had come."""
        return now >= self.due and self.flush()

    def flush(self) -> bool:
        """Put the batch into the outbox now; true when there was one."""
        rows, self._batch, self.due = self._batch, [], math.inf
        if rows:
            self._store(rows)
        return bool(rows)

    def waiting(self, after: int, limit_bytes: int) -> list[Item]:
        items = self.outbox.waiting(after, limit_bytes)
        self._given.update(item.seq for item in items)
        return items

    def acked(self, seq: int) -> None:
        self.outbox.acked(seq)
        while self._away and self._away[0][0] <= seq:
            self._rows -= self._away.popleft()[1]
        while self._put and self._put[0][0] <= seq:
            number, rows = self._put.popleft()
            self._rows -= rows
            if number not in self._given:
                self.lost += rows
        self._given = {n for n in self._given if n > seq}

    def _forget(self) -> None:
        """What the outbox has dropped waits no longer: it is lost, unless it was sent. So no time offline fills the memory."""
        oldest = self.outbox.oldest
        while self._put and (oldest is None or self._put[0][0] < oldest):
            number, rows = self._put.popleft()
            if number in self._given:
                self._away.append((number, rows))
            else:
                self._rows -= rows
                self.lost += rows

    def _store(self, rows: list[FrameRecord]) -> None:
        body = pack_records(rows)
        if len(body) > LARGEST_BODY and len(rows) > 1:
            half = len(rows) // 2
            self._store(rows[:half])
            self._store(rows[half:])
            return
        if len(body) > LARGEST_BODY:
            self.lost += 1
            return
        began = self._timer()
        try:
            number = self.outbox.put(KIND, body, self._clock())
            self.sentence = ""
            self.interval = min(max(self._least, (self._timer() - began) / SHARE), RAREST)
            self._put.append((number, len(rows)))
            self._rows += len(rows)
            rows = []
            self._forget()
        except StoreError as error:
            self.lost += len(rows)
            self.sentence = str(error)
