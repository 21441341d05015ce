"""What a Budget leaves for learning: bounds on bytes up over time, less what the answers of the last seconds really took.

    left = min over bounds of (limit / its seconds) − answers' bytes/s          never below 0

where the rate of the answers is their bytes, weighted by e^(−age / WINDOW), over the seconds that have such weights.

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
    >>> for second in range(100):
    ...     charge.answered(500, now=float(second))
    >>> round(charge.left(now=99.5), -1), charge.left(now=1000.0)
    (1500.0, 2000.0)
    """

    def __init__(self, budget: Budget) -> None:
        flows = [b for b in budget.bounds if b.metric == "bytes_up" and b.scope != "item"]
        self._limit = min((b.limit / SECONDS[b.scope] for b in flows), default=math.inf)
        self._sum = 0.0  # weighted bytes
        self._at = self._began = math.inf

    def answered(self, size: float, now: float) -> None:
        """A frame took so many bytes on its way to an answer."""
        self._began = min(self._began, now)
        self._sum, self._at = self._now(now) + size, now

    def left(self, now: float) -> float:
        """Bytes a second that may go for learning; infinite where no bound is on bytes over time."""
        if not self._sum:
            return self._limit
        seconds = WINDOW * -math.expm1(-max(now - self._began, 1.0) / WINDOW)
        return max(0.0, self._limit - self._now(now) / seconds)

    def _now(self, now: float) -> float:
        return self._sum * math.exp(-max(0.0, now - self._at) / WINDOW) if self._sum else 0.0
