"""The books of one device: what it says that it sent, against the fates that the server was told, without believing either.

The two sides come by different ways, so they never speak of the same moment. The law that is checked is therefore one of time:
fates that a status speaks of must be in the books `SETTLE` seconds later, and the books must not hold more than was ever
sent. What is shown adds up at every moment: sent = answered + dropped + failed + under way + on the way + lost.

A device that starts again counts from 0 again (seen by its frame numbers, or by a count that falls): its lives are added
up. A server that starts again finds a device in the middle of its life: what was told to the earlier one is counted apart.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from msgspec import Struct

from edgewise.apps.vision.status import NodeStatus
from edgewise.core.answer import FrameRecord
from edgewise.web.tally import Counts, Tally

SETTLE = 6.0  # s that a record may take from its status to the books
DISORDER = 16  # frames by which records may overtake one another; a device in flight has fewer
KEPT = 64  # statuses that still wait to be settled


class Accounts(Struct, frozen=True):
    """The sum of a device or of all. `sent` is None where the device has not said; the other terms are 0 then.

    `open` frames have no fate yet, `coming` ones have one of which the record is on its way, `lost` records will never come,
    `before` were told to an earlier server, `missing` should be here by now, and `excess` were never sent.
    """

    counts: Counts
    total: int
    sent: int | None = None
    open: int = 0
    coming: int = 0
    lost: int = 0
    before: int = 0
    missing: int = 0
    excess: int = 0

    @property
    def adds_up(self) -> bool:
        return self.missing == 0 and self.excess == 0


class _Said(NamedTuple):
    """A status that waits to be settled: when it came, the fates that it spoke of, and what the books held then."""

    at: float
    told: int
    held: int


class Books:
    """The tally of a device beside its own count."""

    def __init__(self, node: str) -> None:
        self.tally = Tally(node)
        self._status: NodeStatus | None = None
        self._newest = -1  # frame number
        self._base = 0  # records of earlier lives
        self._base_lost = 0
        self._before: int | None = None  # unknown until the first status is settled
        self._said: deque[_Said] = deque(maxlen=KEPT)
        self._missing = self._excess = 0

    def add(self, record: FrameRecord) -> None:
        if record.frame + DISORDER < self._newest:
            self._start_again(self.tally.total)
        self._newest = max(self._newest, record.frame)
        self.tally.add(record)

    def said(self, status: NodeStatus, now: float) -> None:
        earlier = self._status
        if status.sent is not None and earlier is not None and earlier.sent is not None and status.sent < earlier.sent:
            ended = status.sent - status.open - status.records_lost
            since = self.tally.total - (self._said[-1].held + self._base if self._said else self._base)
            self._start_again(self.tally.total - max(0, min(ended, since)))
        self._status = status
        if status.sent is None:
            return
        self._said.append(_Said(now, status.sent - status.open - status.records_lost, self._life))
        self._settle(now, status.sent)

    def accounts(self, now: float) -> Accounts:
        said, total = self._status, self.tally.total
        if said is None or said.sent is None:
            return Accounts(self.tally.counts(), total)
        self._settle(now, said.sent)
        before = self._before or 0
        rest = max(0, said.sent - self._life - said.records_lost - before)
        open_ = min(said.open, rest)
        missing = min(self._missing, rest - open_)
        lost = self._base_lost + said.records_lost
        return Accounts(
            counts=self.tally.counts(),
            total=total,
            sent=total + lost + before + rest,
            open=open_,
            coming=rest - open_ - missing,
            lost=lost,
            before=before,
            missing=missing,
            excess=self._excess,
        )

    @property
    def _life(self) -> int:
        """Records of the device's present life."""
        return self.tally.total - self._base

    def _settle(self, now: float, sent: int) -> None:
        """Judge the statuses that are old enough: by now their fates are here, or they are missing."""
        while self._said and now - self._said[0].at >= SETTLE:
            said = self._said.popleft()
            if self._before is None:
                self._before = max(0, said.told - self._life)
            self._missing = max(0, said.told - self._life - self._before)
            self._excess = max(0, said.held + self._before - sent)
        if self._missing and self._before is not None:
            # What came late after all is missing no longer.
            self._missing = min(self._missing, max(0, sent - self._life - self._before))

    def _start_again(self, base: int) -> None:
        if self._status is not None:
            self._base_lost += self._status.records_lost
        self._base, self._newest, self._status = base, -1, None
        self._before = self._before or 0
        self._missing = self._excess = 0
        self._said.clear()


def overall(books: list[Accounts]) -> Accounts:
    """The sum over all devices; whole only where each of them has said what it sent.

    >>> overall([Accounts(Counts(3), 3, 4, open=1), Accounts(Counts(2), 2, 2)]).sent
    6
    """
    counts = Counts()
    for each in books:
        counts = counts.plus(each.counts)
    sent = [b.sent for b in books if b.sent is not None]
    return Accounts(
        counts=counts,
        total=counts.total,
        sent=sum(sent) if books and len(sent) == len(books) else None,
        **{term: sum(getattr(b, term) for b in books) for term in ("open", "coming", "lost", "before", "missing", "excess")},
    )
