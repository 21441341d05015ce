"""Items of all devices on their way into the server's store: what came within INTERVAL becomes one transaction, then it is told.

An effect and the watermark that says so are committed together, so that an item counts once whatever happens between. Where the
store fails (a full disk), what came waits here and is tried again; nothing is acknowledged meanwhile, so a device sends no more
than its window. Where the items of one device break their own commit, the others' do not suffer.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct

from edgewise.core.errors import StoreError
from edgewise.net.items import Item

log = logging.getLogger("edgewise.intake")
Post = Callable[[str, str, list[Item]], int | None]
"""Node, epoch of its outbox, items: the number up to which all have their effect, or None where items are missing between."""
Transaction = Callable[[], AbstractContextManager[object]]
INTERVAL = 0.05  # s between two commits
RETRY = 1.0  # s until a store that failed is tried again


class Taken(Struct, frozen=True):
    """What became of the items of one outbox: committed up to `seq`, or refused with a sentence."""

    node: str
    epoch: str
    seq: int | None
    sentence: str = ""


def take_all(node: str, epoch: str, items: list[Item]) -> int | None:
    """No store and no effect: everything counts as taken."""
    return items[-1].seq


class Intake:
    """`post` has the effect of items and moves the watermark, within a `transaction`; `failing` says why the store fails."""

    def __init__(self, post: Post = take_all, transaction: Transaction = nullcontext) -> None:
        self.counts: Counter[str] = Counter()
        self.failing = ""
        self._post, self._transaction = post, transaction
        self._waiting: dict[tuple[str, str], list[Item]] = {}
        self._next = -math.inf

    @property
    def due(self) -> float:
        """When (s) `commit` has something to do; infinite where nothing waits."""
        return self._next if self._waiting else math.inf

    def add(self, node: str, epoch: str, item: Item) -> None:
        """One more item; one that waits already is not kept twice."""
        waiting = self._waiting.setdefault((node, epoch), [])
        if waiting and item.seq <= waiting[-1].seq:
            self.counts["items repeated"] += 1
        else:
            waiting.append(item)

    def commit(self, now: float) -> list[Taken]:
        """What waits, in one transaction; empty where the store failed."""
        waiting, self._waiting = self._waiting, {}
        self._next = now + INTERVAL
        try:
            with self._transaction():
                taken = [Taken(node, epoch, self._post(node, epoch, items)) for (node, epoch), items in waiting.items()]
        except StoreError as error:
            self._failed(waiting, error, now)
            return []
        except Exception:  # a border: one device's items must not hold up the others'
            log.exception("a commit of %d outboxes failed", len(waiting))
            return self._one_by_one(waiting, now)
        self.failing = ""
        self.counts["commits"] += 1
        return taken

    def _one_by_one(self, waiting: dict[tuple[str, str], list[Item]], now: float) -> list[Taken]:
        taken: list[Taken] = []
        for (node, epoch), items in waiting.items():
            try:
                with self._transaction():
                    taken.append(Taken(node, epoch, self._post(node, epoch, items)))
            except StoreError as error:
                self._failed({(node, epoch): items}, error, now)
            except Exception as error:  # the border of one device's items
                log.exception("the items of %s failed", node)
                self.counts["items that failed"] += len(items)
                taken.append(Taken(node, epoch, None, f"its items failed: {type(error).__name__}."))
        return taken

    def _failed(self, waiting: dict[tuple[str, str], list[Item]], error: StoreError, now: float) -> None:
        self._waiting |= waiting
        self._next = now + RETRY
        self.failing = f"items of devices cannot be stored: {error}"
        self.counts["commits failed"] += 1
        log.error("items of devices cannot be stored: %s", error)
