"""Where in the plane of link rate × device speed each option is the best: the map behind a plan.

The link is held at a constant uplink rate in each column (its downlink, delay and radio stay), the device's seconds are divided
by the row's speed (1 is the device of the plan; its powers stay), and the choice is made anew in every cell.

Over such a link every figure of the cost model is a plane in x = 1/speed and y = 1/rate,

    figure = e + d · x + s · y

so that three calls of `evaluate` an option give the whole map. Where two options come so close that rounding could decide, the
cell is evaluated and chosen exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.cost import HIGH, SECONDS, Bound, Budget, Site
from edgewise.core.device import Device
from edgewise.core.link import Link, Load
from edgewise.core.placement import Part, Placement
from edgewise.plan.break_even import steady
from edgewise.plan.candidates import Candidate
from edgewise.plan.choose import Objective, Option, best, figure
from edgewise.plan.evaluate import evaluate

NOTHING = "nothing fits"
RATES = tuple(10 ** (4 + 5 * i / 60) for i in range(61))  # 10 kbit/s to 1 Gbit/s
SPEEDS = tuple(10 ** (-1 + 3 * i / 36) for i in range(37))  # a tenth to a hundred times
_CLOSE = 1e-9  # relative; far above rounding, far below what anyone could measure
_METRICS = ("latency", "p95 latency", "device_energy", "energy", "bytes_up", "bytes_down", "memory", "quality")
Plane = NDArray[np.float64]


class Region(Struct, frozen=True, forbid_unknown_fields=True):
    """`best[i][j]` is the index in `names` of the best option at `speeds[i]` and `rates[j]` (bit/s)."""

    rates: tuple[float, ...]
    speeds: tuple[float, ...]
    names: tuple[str, ...]
    best: tuple[tuple[int, ...], ...]

    def at(self, rate: float, speed: float) -> str:
        """The best option of the cell that lies nearest, in ratios."""
        i = min(range(len(self.speeds)), key=lambda k: abs(math.log(self.speeds[k] / speed)))
        j = min(range(len(self.rates)), key=lambda k: abs(math.log(self.rates[k] / rate)))
        return self.names[self.best[i][j]]


class Scene(Struct, frozen=True):
    """What is held fixed over the map. `rate` is items a second, `deadline` (s) what misses are counted against."""

    sites: Mapping[Site, Device]
    link: Link
    budget: Budget = Budget()
    objective: Objective = "latency"
    load: Load = Load()
    rate: float = 1.0
    deadline: float | None = None

    def option(self, candidate: Candidate, speed: float, link_rate: float) -> Option:
        """The candidate at one place of the map."""
        cost = evaluate(faster(candidate.placement, speed), self.sites, steady(self.link, link_rate), self.load)
        missed = None if self.deadline is None or cost.latency is None else float(cost.latency > self.deadline)
        return Option(candidate.name, cost, candidate.quality, missed, candidate.answer)


def region(
    candidates: Sequence[Candidate], scene: Scene, rates: Sequence[float] = RATES, speeds: Sequence[float] = SPEEDS
) -> Region:
    """The best candidate in every cell."""
    x, y = 1 / np.array(speeds), 1 / np.array(rates)
    figures = _figures(candidates, scene, x, y)
    fits = np.ones((len(candidates), len(x), len(y)), bool)
    for bound in scene.budget.bounds:
        fits &= _holds(bound, figures, scene)
    aim = np.where(fits, -figures["quality"] if scene.objective == "quality" else figures[scene.objective], np.nan)
    aim = np.where(np.isnan(aim), np.inf, aim)
    least = aim.min(axis=0, initial=np.inf)
    winners = []
    for i, speed in enumerate(speeds):
        row = []
        for j, rate in enumerate(rates):
            row.append(NOTHING if least[i, j] == np.inf else _winner(candidates, aim[:, i, j], scene, speed, rate))
        winners.append(row)
    names = tuple(dict.fromkeys(w for row in winners for w in row))
    return Region(tuple(rates), tuple(speeds), names, tuple(tuple(names.index(w) for w in row) for row in winners))


def faster(placement: Placement, speed: float) -> Placement:
    """The placement with the device's parts `speed` times as fast."""

    def scaled(part: Part) -> Part:
        if part.site != "device" or part.time is None:
            return part
        return replace(part, time=part.time / speed, time_high=None if part.time_high is None else part.time_high / speed)

    return replace(placement, parts=tuple(scaled(p) for p in placement.parts))


def _figures(candidates: Sequence[Candidate], scene: Scene, x: Plane, y: Plane) -> dict[str, Plane]:
    """Every metric of every candidate (candidate, speed, rate); no number where it is unknown."""
    slow = 1e6  # bit/s
    found: dict[str, list[Any]] = {metric: [] for metric in _METRICS}
    for candidate in candidates:
        here, twice, carried = (scene.option(candidate, s, r) for s, r in ((1.0, math.inf), (0.5, math.inf), (1.0, slow)))
        for metric in _METRICS:
            a, b, c = (math.nan if (f := figure(o, metric)) is None else f for o in (here, twice, carried))
            along, across = b - a, (c - a) * slow
            found[metric].append((a - along) + along * x[:, None] + across * y[None, :])
    shape = (len(candidates), len(x), len(y))
    return {metric: np.array(planes, float).reshape(shape) for metric, planes in found.items()}


def _holds(bound: Bound, figures: dict[str, Plane], scene: Scene) -> NDArray[np.bool_]:
    """Where a bound holds; never where its figure is unknown. The same rule as `Budget.violations`, for a whole map."""
    if bound.metric == "miss_rate":
        if scene.deadline is None:
            return np.zeros(figures["latency"].shape, bool)
        return np.where(np.isnan(figures["latency"]), math.nan, figures["latency"] > scene.deadline) <= bound.limit
    if bound.metric == "quality":
        return figures["quality"] >= bound.limit
    if bound.quantile > HIGH:
        return np.zeros(figures["latency"].shape, bool)
    metric = "p95 latency" if bound.quantile > 0.5 else bound.metric
    times = 1.0 if bound.scope == "item" else scene.rate * SECONDS[bound.scope]
    return figures[metric] * times <= bound.limit


def _winner(candidates: Sequence[Candidate], aim: Plane, scene: Scene, speed: float, rate: float) -> str:
    """The candidate of the least aim; those within rounding of it are evaluated and chosen exactly."""
    least = float(aim.min())
    near = np.flatnonzero(aim <= least + _CLOSE * (1 + abs(least)))
    if len(near) == 1:
        return candidates[int(near[0])].name
    options = [scene.option(candidates[int(k)], speed, rate) for k in near]
    found = best(options, scene.budget, scene.objective, scene.rate)
    return NOTHING if found is None else found.name
