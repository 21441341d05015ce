"""How much of something a peer may send: a bucket of `burst` that refills at `rate` a second. Time is an argument.

`Allowances` keeps a bucket for each of many peers, and of no more than `most` of them: who was not heard of for longest is
forgotten, which is to say that its bucket is full again.
"""

from __future__ import annotations

from collections import OrderedDict


class Allowance:
    """Starts full.

    >>> a = Allowance(rate=1.0, burst=2.0)
    >>> [a.take(1, now=0.0) for _ in range(3)], a.take(1, now=1.0)
    ([True, True, False], True)
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._at = burst, 0.0

    def left(self, now: float) -> float:
        """What is allowed now."""
        if now > self._at:
            self._left, self._at = min(self.burst, self._left + (now - self._at) * self.rate), now
        return self._left

    def take(self, amount: float, now: float) -> bool:
        """Whether `amount` is allowed now; it is taken only then."""
        if amount > self.left(now):
            return False
        self._left -= amount
        return True


class Allowances:
    """One Allowance for each name.

    >>> a = Allowances(rate=1.0, burst=1.0, most=2)
    >>> [a.take(name, 1, now=0.0) for name in ("x", "x", "y", "z")], len(a)
    ([True, False, True, True], 2)
    """

    def __init__(self, rate: float, burst: float, most: int = 4096) -> None:
        self.rate, self.burst, self.most = rate, burst, most
        self._of: OrderedDict[str, Allowance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def left(self, name: str, now: float) -> float:
        found = self._of.get(name)
        return self.burst if found is None else found.left(now)

    def take(self, name: str, amount: float, now: float) -> bool:
        found = self._of.pop(name, None) or Allowance(self.rate, self.burst)
        self._of[name] = found
        if len(self._of) > self.most:
            self._of.popitem(last=False)
        return found.take(amount, now)
