"""What a Budget leaves for learning: bounds on bytes up over time, less what the answers of the last seconds really took.

    left = min over bounds of (limit / its seconds) − answers' bytes/s          never below 0

Answers come first: the more of them go up, the less is left, and a budget that they use up leaves nothing (ours). It does not
bound joules: what samples took stands in the ledger, as does what a filter took in vain.
"""

from __future__ import annotations

import math

from edgewise.core.cost import SECONDS, Budget

WINDOW = 10.0  # s that the rate of the answers' bytes looks back at


class Charge:
    """Time is an argument (s); sizes in bytes.

    >>> charge = Charge(Budget.parse("bytes_up<=2KB/s"))
    >>> charge.answered(10_000, now=1.0)
    >>> charge.left(now=1.0), charge.left(now=1000.0)
    (1000.0, 2000.0)
    """

    def __init__(self, budget: Budget) -> None:
        flows = [b for b in budget.bounds if b.metric == "bytes_up" and b.scope != "item"]
        self._limit = min((b.limit / SECONDS[b.scope] for b in flows), default=math.inf)
        self._rate = 0.0
        self._at = -math.inf

    def answered(self, size: float, now: float) -> None:
        """A frame took so many bytes on its way to an answer."""
        self._rate = self._now(now) + size / WINDOW
        self._at = max(self._at, now)

    def left(self, now: float) -> float:
        """Bytes a second that may go for learning; infinite where no bound is on bytes over time."""
        return max(0.0, self._limit - self._now(now))

    def _now(self, now: float) -> float:
        return self._rate * math.exp(-max(0.0, now - self._at) / WINDOW) if self._rate else 0.0
