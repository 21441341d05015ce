"""The samples that wait for the adapting process: bounded in number and bytes, all loss counted.

Where the process is slower than the devices, the oldest sample that is no audit makes way:
audits stand for all frames, and without them nobody knows whether anything is gained. Pictures are held in memory alone, and for
as long as they wait.

It does not know who learns from them, nor what a device may send: the server's intake keeps that (`edgewise.node.samples`).
"""

from __future__ import annotations

from collections import Counter, deque

from edgewise.core.learning import Sample

MOST, LARGEST = 512, 64 << 20  # samples and bytes that wait


class Held:
    """`counts` says what came, what was displaced and what was refused."""

    def __init__(self, most: int = MOST, largest: int = LARGEST) -> None:
        self.counts: Counter[str] = Counter()
        self._most, self._largest = most, largest
        self._waiting: deque[tuple[str, float, Sample, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """Of all that waits."""
        return self._bytes

    def add(self, node: str, sample: Sample, size: int, at: float) -> None:
        """A sample of `size` bytes came at `at` (s since 1970)."""
        if size > self._largest:
            self.counts["too large"] += 1
            return
        while self._waiting and (len(self._waiting) >= self._most or self._bytes + size > self._largest):
            self._displace()
        self._waiting.append((node, at, sample, size))
        self._bytes += size
        self.counts["samples"] += 1

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
