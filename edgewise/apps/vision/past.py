"""The charts' hours and days, from the store, so that they outlive a restart: a device's minutes joined to a step of each range.

    10m   minutes      for what was before this server began; its own seconds are finer (`page.py`)
    6h    2 minutes
    7d    1 hour

Steps that are over are kept, since nothing is added to them any more, so a second look costs the newest step alone. It reads in a
thread, a page of rows at a time. The more devices and days, the longer a first look takes (about 7 µs a minute of a device);
frames that come meanwhile wait for a page: 108,000 rows kept a commit up for 6 ms at the most, and 200 ms in one piece.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

from msgspec import Struct

from edgewise.apps.vision.views import plain
from edgewise.node.store.history import Minute

RANGES = {"10m": (600, 60), "6h": (6 * 3600, 120), "7d": (7 * 86_400, 3600)}
KEPT = 600  # steps that are over
MOST_NODES = 64  # devices that are drawn


class Minutes(Protocol):
    """What of `node.store.history.History` is used here."""

    def nodes(self, start: float, stop: float) -> dict[str, Minute]: ...


class Column(Struct, frozen=True):
    """A device over a range, by column: `at` is when a step begins (s since 1970); sums are those of the whole step."""

    node: str
    at: list[int]
    answered: list[int]
    dropped: list[int]
    failed: list[int]
    bytes: list[int]
    energy: list[float]
    p50: list[float | None]
    p95: list[float | None]


class Past:
    """Ranges of a history, for the page."""

    def __init__(self, minutes: Minutes) -> None:
        self._minutes = minutes
        self._over: OrderedDict[tuple[int, int], dict[str, Minute]] = OrderedDict()

    def read(self, range_: str, now: float) -> dict[str, Any]:
        """Every device's columns over a range that ends `now`; the devices with the most frames, where there are many."""
        span, step = RANGES[range_]
        first = int((now - span) // step) * step
        found: dict[str, list[Minute]] = {}
        for start in range(first, int(now) + 1, step):
            for node, sums in self._step(start, step, now).items():
                found.setdefault(node, []).append(sums)
        most = sorted(found, key=lambda node: -sum(m.answered + m.dropped + m.failed for m in found[node]))[:MOST_NODES]
        return {
            "range": range_,
            "now": now,
            "span": span,
            "step": step,
            "nodes": [_column(n, found[n], step) for n in sorted(most)],
        }

    def _step(self, start: int, step: int, now: float) -> dict[str, Minute]:
        known = self._over.get((start, step))
        if known is None:
            known = self._minutes.nodes(start, start + step)
            if start + step < now - 60:  # records come late, a minute at most
                self._over[start, step] = known
                if len(self._over) > KEPT:
                    self._over.popitem(last=False)
        return known


def _column(node: str, rows: list[Minute], step: int) -> Column:
    return Column(
        plain(node),
        [row.at // step * step for row in rows],
        [row.answered for row in rows],
        [row.dropped for row in rows],
        [row.failed for row in rows],
        [row.bytes for row in rows],
        [row.energy for row in rows],
        [row.p50 for row in rows],
        [row.p95 for row in rows],
    )
