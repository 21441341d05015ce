"""A Link carries bytes as a pure function of time; a Load says how busy a site is.

The rate of a link is constant or a recorded Trace (piecewise constant, repeated from its start). `transfer(size, start)`
integrates the rate, so that a link gives exactly the bytes that it is asked for: cutting a transfer in two changes nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate

from msgspec import Struct

from edgewise.core.errors import ConfigError

SLOWEST, FASTEST = 1e-3, 1e15  # bit/s; beyond them sums of bits lose their seconds to rounding


class Trace(Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """Rates (bit/s) from `times` (s, rising, first 0) on; the trace lasts `duration` (s) and then starts again."""

    times: tuple[float, ...]
    rates: tuple[float, ...]
    duration: float
    source: str = ""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.times, self.times[1:], strict=False))
        if (
            not self.times
            or len(self.times) != len(self.rates)
            or self.times[0] != 0
            or not rising
            or not self.times[-1] < self.duration < math.inf
        ):
            raise ConfigError(
                "a link trace is not well formed",
                got=f"{len(self.times)} times, {len(self.rates)} rates, duration {self.duration}",
                allowed="as many rates as times, times rising from 0, a finite duration beyond the last of them",
            )
        impossible = [r for r in self.rates if not (r == 0 or SLOWEST <= r <= FASTEST)]
        if impossible:
            raise ConfigError(
                "a link trace holds an impossible rate", got=impossible[0], allowed=f"0, or {SLOWEST:g} to {FASTEST:g} bit/s"
            )

    @cached_property
    def _bits(self) -> tuple[float, ...]:
        """Bits passed at each of `times`, and at the end."""
        ends = (*self.times[1:], self.duration)
        return tuple(accumulate((r * (e - t) for t, e, r in zip(self.times, ends, self.rates, strict=True)), initial=0.0))

    @property
    def mean(self) -> float:
        """Mean rate in bit/s."""
        return self._bits[-1] / self.duration

    def rate(self, at: float) -> float:
        return self.rates[bisect_right(self.times, at % self.duration) - 1]

    def bits(self, at: float) -> float:
        """Bits that could have passed from 0 to `at` (s)."""
        rounds, rest = divmod(at, self.duration)
        i = bisect_right(self.times, rest) - 1
        return rounds * self._bits[-1] + self._bits[i] + self.rates[i] * (rest - self.times[i])

    def when(self, bits: float) -> float:
        """The first time (s) at which `bits` have passed; infinite on a trace that is always zero."""
        if bits <= 0:
            return 0.0
        if self._bits[-1] == 0:
            return math.inf
        rounds, rest = divmod(bits, self._bits[-1])
        if rest == 0:
            rounds, rest = rounds - 1, self._bits[-1]
        i = min(bisect_right(self._bits, rest) - 1, len(self.rates) - 1)
        while i > 0 and (self.rates[i] == 0 or self._bits[i] >= rest):
            i -= 1
        return rounds * self.duration + self.times[i] + (rest - self._bits[i]) / self.rates[i]


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """Rates in bit/s, one-way `delay` in s, `loss` as a fraction of packets that must be sent again.

    `radio` names what the device sends with: `lte`, `wifi`, `3g` (see `edgewise.core.power`), "" for a cable; the energy of
    any other is unknown. With a trace, `trace_up` (or `trace_down`) replaces the constant rate of that direction.
    """

    name: str
    rate_up: float = math.inf
    rate_down: float = math.inf
    delay: float = 0.0
    loss: float = 0.0
    radio: str = ""
    trace_up: Trace | None = None
    trace_down: Trace | None = None

    def __post_init__(self) -> None:
        if not (self.rate_up >= 0 and self.rate_down >= 0 and 0 <= self.delay < math.inf and 0 <= self.loss < 1):
            raise ConfigError(
                f"link {self.name!r} is impossible",
                got=f"up {self.rate_up}, down {self.rate_down} bit/s, delay {self.delay} s, loss {self.loss}",
                allowed="rates of 0 or more, a finite delay of 0 or more, a loss from 0 to below 1",
            )

    def sent(self, size: float, start: float, up: bool = True) -> float:
        """When (s) the last of `size` bytes has left the sender that began at `start`."""
        bits = size * 8 / (1 - self.loss)
        trace = self.trace_up if up else self.trace_down
        if trace is not None:
            if bits <= 0:
                return start
            rounds, phase = divmod(start, trace.duration)  # so that a late start loses no digits of a small transfer
            return max(start, rounds * trace.duration + trace.when(trace.bits(phase) + bits))
        rate = self.rate_up if up else self.rate_down
        if bits <= 0 or rate == math.inf:
            return start
        return start + bits / rate if rate > 0 else math.inf

    def transfer(self, size: float, start: float = 0.0, up: bool = True) -> float:
        """When (s) the last of `size` bytes has arrived at the other end."""
        return self.sent(size, start, up) + self.delay

    def rate(self, at: float, up: bool = True) -> float:
        """Rate (bit/s) of the link at time `at`."""
        trace = self.trace_up if up else self.trace_down
        return trace.rate(at) if trace is not None else (self.rate_up if up else self.rate_down)


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """How busy a site is: `wait` (s) before an item begins, `batch` items share one run, `busy` is the share of time in use."""

    wait: float = 0.0
    batch: int = 1
    busy: float = 0.0
