"""What a piece of work costs, and what a person allows it to cost.

`a.then(b)` is b after a: latencies add. `a.beside(b)` is both at once: the longer one counts. In both, energy, busy
time and bytes add, and memory takes the peak (`then`) or the sum (`beside`, both are resident at once). Quality is no
part of the algebra: it belongs to an operating point and is looked up there.

An unknown figure is None and stays unknown in every sum; a Budget never admits what it cannot see. That holds for the
upper bound of a latency too: a sum has one only where each of its parts has one (or takes no time at all).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Literal, cast

from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.core.measurement import Provenance, joint

Site = Literal["device", "edge", "cloud"]
SITES: tuple[Site, ...] = ("device", "edge", "cloud")


def _both(a: float | None, b: float | None, combine: Callable[[float, float], float]) -> float | None:
    return None if a is None or b is None else combine(a, b)


def _add(a: float, b: float) -> float:
    return a + b


class PerSite(Struct, frozen=True, forbid_unknown_fields=True):
    """One figure for each site; None is unknown."""

    device: float | None = 0.0
    edge: float | None = 0.0
    cloud: float | None = 0.0

    def join(self, other: PerSite, combine: Callable[[float, float], float] = _add) -> PerSite:
        return PerSite(
            _both(self.device, other.device, combine),
            _both(self.edge, other.edge, combine),
            _both(self.cloud, other.cloud, combine),
        )

    @property
    def total(self) -> float | None:
        return _both(_both(self.device, self.edge, _add), self.cloud, _add)

    @staticmethod
    def at(site: Site, value: float | None) -> PerSite:
        return PerSite(**{site: value})


class Cost(Struct, frozen=True, forbid_unknown_fields=True):
    """Latency (s) with its upper bound (p95, s), bytes over the link, and busy time (s), energy (J), memory (bytes) per site."""

    latency: float | None = 0.0
    latency_high: float | None = None
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    busy: PerSite = PerSite()
    energy: PerSite = PerSite()
    memory: PerSite = PerSite()
    provenance: Provenance = "modelled"

    @property
    def latency_bound(self) -> float | None:
        """The upper bound (p95) of the latency; None where none is known. What takes no time is its own bound."""
        if self.latency_high is None:
            return 0.0 if self.latency == 0 else None
        return self.latency_high if self.latency is None else max(self.latency, self.latency_high)

    def _joined(self, other: Cost, latency: Callable[[float, float], float], memory: Callable[[float, float], float]) -> Cost:
        bounded = self.latency_high is not None or other.latency_high is not None
        return Cost(
            latency=_both(self.latency, other.latency, latency),
            latency_high=_both(self.latency_bound, other.latency_bound, latency) if bounded else None,
            bytes_up=self.bytes_up + other.bytes_up,
            bytes_down=self.bytes_down + other.bytes_down,
            busy=self.busy.join(other.busy),
            energy=self.energy.join(other.energy),
            memory=self.memory.join(other.memory, memory),
            provenance=_joint(self, other),
        )

    def then(self, other: Cost) -> Cost:
        """This, and `other` after it."""
        return self._joined(other, _add, max)

    def beside(self, other: Cost) -> Cost:
        """This, and `other` at the same time."""
        return self._joined(other, max, _add)


_NOTHING = Cost()


def _joint(a: Cost, b: Cost) -> Provenance:
    """The provenance of a sum; adding nothing changes none."""
    if a == _NOTHING or a.provenance == b.provenance:
        return b.provenance
    return a.provenance if b == _NOTHING else joint((a.provenance, b.provenance))


Metric = Literal["latency", "energy", "device_energy", "bytes_up", "bytes_down", "memory", "quality", "miss_rate"]
Scope = Literal["item", "second", "day"]
HIGH = 0.95  # the quantile that `latency_high` stands for; nothing above it can be promised
SECONDS: dict[Scope, float] = {"second": 1.0, "day": 86_400.0}
_FLOWS: tuple[Metric, ...] = ("energy", "device_energy", "bytes_up", "bytes_down")  # what adds up over time
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_ENERGY = {"j": 1.0, "mj": 1e-3, "kj": 1e3}
_BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
_SHARE = {"%": 1e-2}
_SYMBOLS = {"s": _TIME, "J": _ENERGY, "B": _BYTES}
_UNITS: dict[Metric, dict[str, float]] = {
    "latency": _TIME,
    "energy": _ENERGY,
    "device_energy": _ENERGY,
    "bytes_up": _BYTES,
    "bytes_down": _BYTES,
    "memory": _BYTES,
    "quality": _SHARE,
    "miss_rate": _SHARE,
}
LONGEST = 1000  # characters of a budget
_BOUND = re.compile(
    r"^\s*(?:(p\d{1,3})\s+)?([a-z_]+)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*([a-zA-Z%]*)\s*(?:/\s*(item|s|second|day))?\s*$"
)


class Bound(Struct, frozen=True, forbid_unknown_fields=True):
    """One limit: a metric, its limit in SI units, per item, second or day; a quantile above 0.5 looks at the upper bound.

    `quality` is a floor; every other metric is a ceiling. Only energy and bytes add up over a second or a day, and only a
    latency has an upper bound.
    """

    metric: Metric
    limit: float
    scope: Scope = "item"
    quantile: float = 0.5

    def __post_init__(self) -> None:
        if self.scope != "item" and self.metric not in _FLOWS:
            raise ConfigError(
                "a bound has a scope that its metric has not", got=str(self), allowed=f"{', '.join(_FLOWS)} a second or day"
            )
        if not 0 <= self.quantile <= 1 or (self.quantile > 0.5 and self.metric != "latency"):
            raise ConfigError("a bound has an impossible quantile", got=str(self), allowed="p50 to p95 of a latency")
        if math.isnan(self.limit):
            raise ConfigError("a bound has no number", got=str(self), allowed="a number with a unit")

    @property
    def subject(self) -> str:
        """What is bounded, with its quantile: `p95 latency`."""
        return f"p{round(self.quantile * 100)} {self.metric}" if self.quantile > 0.5 else self.metric

    def __str__(self) -> str:
        sign = ">=" if self.metric == "quality" else "<="
        return f"{self.subject} {sign} {self.limit:.12g}{self.unit}" + ("" if self.scope == "item" else f"/{self.scope}")

    @property
    def unit(self) -> str:
        """The SI unit behind a figure of this metric, with a space before it; "" where it has none."""
        return next((f" {symbol}" for symbol, units in _SYMBOLS.items() if _UNITS[self.metric] is units), "")


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on a Cost; `admits` holds when every one of them does."""

    bounds: tuple[Bound, ...] = ()

    def admits(self, cost: Cost, quality: float | None = None, rate: float = 1.0, miss_rate: float | None = None) -> bool:
        return not self.violations(cost, quality, rate, miss_rate)

    def violations(
        self, cost: Cost, quality: float | None = None, rate: float = 1.0, miss_rate: float | None = None
    ) -> list[str]:
        """A sentence for each bound that is broken or cannot be judged; `rate` is items a second, for scopes of time."""
        sentences = []
        for bound in self.bounds:
            value = _figure(bound, cost, quality, miss_rate)
            if value is None or math.isnan(value):
                sentences.append(f"{bound.subject} is unknown, so {bound} cannot be promised")
                continue
            if bound.scope != "item":
                value *= rate * SECONDS[bound.scope]
            held = value >= bound.limit if bound.metric == "quality" else value <= bound.limit
            if not held:  # also where the figure is no number
                sentences.append(f"{bound.subject} {value:.4g}{bound.unit} breaks {bound}")
        return sentences

    @staticmethod
    def parse(text: str) -> Budget:
        """Read `p95 latency<=80ms, energy<=0.5J/s, bytes_up<=20KB, quality>=0.8`.

        >>> Budget.parse("latency<=80ms").bounds[0].limit
        0.08
        """
        if len(text) > LONGEST:
            raise ConfigError("a budget is too long", got=f"{len(text)} characters", allowed=LONGEST)
        return Budget(tuple(_bound(" ".join(part.split())) for part in re.split(r"[,;]", text) if part.strip()))


def _figure(bound: Bound, cost: Cost, quality: float | None, miss_rate: float | None) -> float | None:
    if bound.quantile > HIGH:
        return None
    figures: dict[str, float | None] = {
        "latency": cost.latency_bound if bound.quantile > 0.5 else cost.latency,
        "energy": cost.energy.total,
        "device_energy": cost.energy.device,
        "bytes_up": cost.bytes_up,
        "bytes_down": cost.bytes_down,
        "memory": cost.memory.device,
        "quality": quality,
        "miss_rate": miss_rate,
    }
    return figures[bound.metric]


def _bound(text: str) -> Bound:
    match = _BOUND.match(text)
    metrics = Metric.__args__  # type: ignore[attr-defined]
    hint = "Write bounds like `p95 latency<=80ms, device_energy<=0.5J/s, bytes_up<=20KB, quality>=0.8`."
    if match is None:
        raise ConfigError("a bound of the budget cannot be read", got=repr(text.strip()), hint=hint)
    quantile, metric, sign, number, unit, scope = match.groups()
    if metric not in metrics:
        raise ConfigError("a budget bounds something unknown", got=metric, allowed=", ".join(metrics), hint=hint)
    units = {"": 1.0, **_UNITS[cast(Metric, metric)]}
    if unit.lower() not in units:
        raise ConfigError(f"a bound of {metric} has another unit", got=unit, allowed=", ".join(units).lstrip(", "), hint=hint)
    if (metric == "quality") != sign.startswith(">"):
        raise ConfigError(
            "a bound points the wrong way", got=text.strip(), allowed="quality >= x; everything else <= x", hint=hint
        )
    try:
        limit = float(number) * units[unit.lower()]
    except ValueError:
        raise ConfigError("a bound has no number", got=number, allowed="a number with a unit", hint=hint) from None
    words: dict[str | None, Scope] = {None: "item", "item": "item", "s": "second", "second": "second", "day": "day"}
    return Bound(cast(Metric, metric), limit, words[scope], int(quantile[1:]) / 100 if quantile else 0.5)
