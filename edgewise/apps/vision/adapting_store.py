"""The samples that wait for the adapting process: bounded in number and bytes, the budget of each device kept, all loss counted.

A device keeps to its upload budget by itself; one that does not (broken, or taken over) is stopped here, after what a
budget allows with a minute's grace. Where the process is slower than the devices, the oldest sample that is no audit makes way:
audits stand for all frames, and without them nobody knows whether anything is gained. Pictures are held in memory alone, and for
as long as they wait. It does not know who learns from them.
"""

from __future__ import annotations

from collections import Counter, deque

from edgewise.core.learning import Sample
from edgewise.net.allowance import Allowances

MOST, LARGEST = 512, 64 << 20  # samples and bytes that wait
GRACE = 60.0  # s of the budget that a device may have saved up
OVER = 1.5  # times the budget: clocks differ, and headers count here
LEAST = 64 << 10  # bytes that any device may have saved up, so that one large picture is not refused for ever


class Held:
    """`budget` (B/s) is that of each device; `counts` says what came, what was displaced and what was refused."""

    def __init__(self, budget: float, most: int = MOST, largest: int = LARGEST) -> None:
        self.counts: Counter[str] = Counter()
        self._allowed = Allowances(OVER * budget, max(OVER * GRACE * budget, LEAST))
        self._most, self._largest = most, largest
        self._waiting: deque[tuple[str, float, Sample, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """Of all that waits."""
        return self._bytes

    def add(self, node: str, sample: Sample, size: int, at: float, carried: bool = False) -> str:
        """Why a sample is refused; "" where it waits now. What was `carried` by a frame cost nothing of the budget of
        learning.
        """
        if not carried and not self._allowed.take(node, size, at):
            self.counts["over budget"] += 1
            return f"{node} sends more to be learned from than its budget allows."
        while self._waiting and (len(self._waiting) >= self._most or self._bytes + size > self._largest):
            self._displace()
        if size > self._largest:
            self.counts["too large"] += 1
            return "a sample is too large to be held."
        self._waiting.append((node, at, sample, size))
        self._bytes += size
        self.counts["samples"] += 1
        return ""

    def take(self) -> tuple[str, float, Sample, int] | None:
        """The oldest: node, when it came (s), the sample and its bytes."""
        if not self._waiting:
            return None
        found = self._waiting.popleft()
        self._bytes -= found[3]
        return found

    def _displace(self) -> None:
        place = next((i for i, (_, _, sample, _) in enumerate(self._waiting) if not sample.audit), 0)
        self._bytes -= self._waiting[place][3]
        del self._waiting[place]
        self.counts["displaced"] += 1
