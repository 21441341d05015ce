"""What a device believes of its link: a log-normal rate and a round trip, learned from frames that were really sent.

What it does not know: the future of the link, nor what a frame carries.

    symbol  name            unit
    μ, σ    log_rate, spread    ln(bit/s)
    r       round_trip      s, without the payload
"""

from __future__ import annotations

import math

LARGEST_JITTER = 0.05  # s; a small message that is later than that met something
SHORTEST = 1e-3  # s; a transfer that took less says only that the link is at least that fast


class LinkEstimate:
    """Rate (bit/s) of the uplink as a log-normal, and the round trip, learned from frames that were really sent."""

    def __init__(self, rate: float = 4e6, round_trip: float = 0.02) -> None:
        self.log_rate = math.log(rate)
        self.spread = 1.2
        self.jitter = 0.0  # s by which a small message is later than the fastest of them, on average
        self.round_trip = round_trip
        self._trips: list[float] = []
        self.seen = -math.inf  # when a frame last said something new

    @property
    def rate(self) -> float:
        return math.exp(self.log_rate)

    def trip(self, seconds: float) -> None:
        """A small message went there and back; the smallest of the last ones is the round trip."""
        self._trips = [*self._trips[-15:], max(seconds, 0.0)]
        self.round_trip = min(self._trips)
        self.jitter += 0.2 * (min(seconds - self.round_trip, LARGEST_JITTER) - self.jitter)

    def observe(self, size: int, seconds: float, now: float) -> None:
        """`size` bytes took `seconds` on the link alone.

        How much that says depends on what of it can be jitter: nothing new is learned from a small frame that is a little
        late, and everything from one that is later than jitter explains.
        """
        signal = max(size * 8 / self.rate, seconds - 4 * self.jitter)
        weight = signal / (signal + self.jitter) if self.jitter > 0 else 1.0
        seconds -= self.jitter
        floor = seconds < SHORTEST
        seconds = max(seconds, SHORTEST)
        error = math.log(size * 8 / seconds) - self.log_rate
        if floor and error < 0:
            return  # a lower bound below what is believed teaches nothing
        if weight >= 0.5:
            self.seen = now
        if weight >= 0.5 and abs(error) > 2.5 * max(self.spread, 0.2):  # a jump: believe it, and be unsure for a while
            self.log_rate, self.spread = self.log_rate + error, max(0.5, min(abs(error) / 2, 1.0))
            return
        self.log_rate += 0.45 * weight * error
        self.spread = max(0.12, math.sqrt(self.spread**2 + 0.35 * weight * (error**2 - self.spread**2)))

    def bound(self, size: int, seconds: float, now: float) -> None:
        """`size` bytes are not through after `seconds`: the rate is at most that."""
        if size <= 0 or seconds <= SHORTEST:
            return
        most = math.log(size * 8 / seconds)
        if most < self.log_rate:
            self.log_rate, self.spread, self.seen = most, max(self.spread, 0.35), now

    def chance(self, size: int, seconds: float, now: float) -> float:
        """The probability that `size` bytes pass within `seconds`."""
        if seconds <= 0:
            return 0.0
        if size <= 0:
            return 1.0
        age = min(max(now - self.seen, 0.0), 30.0) if self.seen > -math.inf else 0.0
        spread = math.sqrt(self.spread**2 + 0.02 * age)
        z = (self.log_rate - math.log(size * 8 / seconds)) / spread
        return 0.5 * math.erfc(-z / math.sqrt(2))
