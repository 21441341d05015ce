"""Rows of the ledger on their way to the server: a bounded queue, sent in batches, never in the way of a frame.

The session asks for a batch only when no frame waits. The queue outlives a lost connection; when it is full, the oldest rows
make room, counted.
"""

from __future__ import annotations

import math
from collections import Counter, deque

from edgewise.core.answer import FrameRecord
from edgewise.net.messages import Welcome, pack_records

BATCH = 32
INTERVAL = 0.25


class Telemetry:
    """At most `limit` rows wait; `due` is when (s) the next batch may go."""

    def __init__(self, limit: int, counts: Counter[str]) -> None:
        self.limit, self.counts = limit, counts
        self.due = -math.inf
        self._rows: deque[FrameRecord] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, record: FrameRecord) -> None:
        if len(self._rows) >= self.limit:
            self._rows.popleft()
            self.counts["records dropped"] += 1
        self._rows.append(record)

    def batch(self, welcome: Welcome, now: float) -> bytes | None:
        """The payload of one RECORD frame within the server's limits, or None where nothing can go."""
        if welcome.records_per_second <= 0:
            self._forget(len(self._rows))
            return None
        rows = [self._rows[i] for i in range(min(BATCH, len(self._rows)))]
        while rows:
            payload = pack_records(rows)
            if len(payload) <= welcome.max_payload:
                for _ in rows:
                    self._rows.popleft()
                self.counts["records sent"] += len(rows)
                self.due = now + max(INTERVAL, len(rows) / welcome.records_per_second)
                return payload
            if len(rows) == 1:  # larger than any frame may be
                self._forget(1)
            rows = rows[: len(rows) // 2]
        return None

    def _forget(self, n: int) -> None:
        for _ in range(n):
            self._rows.popleft()
        self.counts["records dropped"] += n
