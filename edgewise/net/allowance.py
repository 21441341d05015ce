"""How much of something a peer may send: a bucket of `burst` that refills at `rate` a second. Time is an argument."""

from __future__ import annotations


class Allowance:
    """Starts full.

    >>> a = Allowance(rate=1.0, burst=2.0)
    >>> [a.take(1, now=0.0) for _ in range(3)], a.take(1, now=1.0)
    ([True, True, False], True)
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._at = burst, 0.0

    def take(self, amount: float, now: float) -> bool:
        """Whether `amount` is allowed now; it is taken only then."""
        if now > self._at:
            self._left, self._at = min(self.burst, self._left + (now - self._at) * self.rate), now
        if amount > self._left:
            return False
        self._left -= amount
        return True
