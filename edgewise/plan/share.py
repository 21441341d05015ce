"""Several streams under one shared budget: one option for each device, together the best (a multiple-choice knapsack).

    maximise Σ_d rate_d · value(d, choice_d)   where   Σ_d rate_d · figure(d, choice_d) ≤ limit   for every shared bound

Bounds over a second or a day are shared: they hold for the sum over all devices. So does the edge server's time, of which a
second has `edge_share` seconds. Bounds over an item hold for each item of each device. The program is solved exactly by HiGHS
(branch and cut, gap 0) and its answer is checked again in plain arithmetic; an answer that meets the limits only within the
solver's tolerance is cut off and the program is solved again.

What it does not know: that a server near its limit makes everybody wait. Give it an `edge_share` well below 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgewise.core.cost import SECONDS, Bound, Budget
from edgewise.core.errors import BudgetError, ConfigError
from edgewise.plan.choose import Objective, Option, figure

_SCALE = 1e4  # the solver's absolute gap of 1e-6 is then 1e-10 of the largest value
_ROUNDS = 100


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """What one device was given."""

    device: str
    option: str
    value: float


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    device: str
    option: str
    why: str


class Shared(Struct, frozen=True, forbid_unknown_fields=True):
    """One option for each device, the total a second, what is used of each shared limit, and what no choice could hold."""

    given: tuple[Given, ...]
    objective: Objective
    total: float
    used: dict[str, float]
    rejected: tuple[Refused, ...]


class _Limit(Struct, frozen=True):
    """A shared limit: what each candidate takes of it a second, and how much there is."""

    name: str
    takes: tuple[float | None, ...]
    most: float


def choose_many(
    options_by_device: Mapping[str, Sequence[Option]],
    budget: Budget,
    rates: Mapping[str, float] | None = None,
    objective: Objective = "quality",
    edge_share: float = 1.0,
) -> Shared:
    """The best joint choice; BudgetError with the reason where no combination fits.

    `rates` are items a second (1 where none is given). Quality is summed up to be the greatest, everything else the least.
    """
    rates = {d: (rates or {}).get(d, 1.0) for d in options_by_device}
    if not options_by_device or not all(0 < r < math.inf for r in rates.values()):
        raise ConfigError("streams cannot share a budget", got=rates, allowed="one or more devices, each with a rate above 0")
    each = Budget(tuple(b for b in budget.bounds if b.scope == "item"))
    limits = [b for b in budget.bounds if b.scope != "item"]
    pairs = [(device, option) for device, options in options_by_device.items() for option in options]
    reasons = [_unfit(option, each, limits, objective, edge_share) for _, option in pairs]
    fits = [pair for pair, why in zip(pairs, reasons) if not why]
    rejected = tuple(Refused(d, o.name, why) for (d, o), why in zip(pairs, reasons) if why)
    for device in options_by_device:
        if not any(d == device for d, _ in fits):
            why = "; ".join(f"{r.option}: {r.why}" for r in rejected if r.device == device)
            raise BudgetError(
                f"no option of {device} fits", got=why or "no options", hint="Loosen the budget, or give it a cheaper option."
            )
    shared = [_limit(b, fits, rates) for b in limits]
    shared.append(_Limit("time of the edge server", tuple(_times(o.cost.busy.edge, rates[d]) for d, o in fits), edge_share))
    values = np.array([rates[d] * (figure(o, objective) or 0.0) for d, o in fits])
    picked = _solve(list(options_by_device), fits, values if objective != "quality" else -values, shared)
    given = tuple(Given(fits[i][0], fits[i][1].name, float(values[i])) for i in picked)
    return Shared(given, objective, math.fsum(g.value for g in given), {s.name: _used(s, picked) for s in shared}, rejected)


def _unfit(option: Option, each: Budget, limits: Sequence[Bound], objective: Objective, edge_share: float) -> str:
    """Why an option can be in no joint choice; "" where it can."""
    broken = each.violations(option.cost, option.quality, 1.0, option.miss_rate)
    broken += [f"{b.metric} is unknown, so {b} cannot be promised" for b in limits if figure(option, b.metric) is None]
    value = figure(option, objective)
    if value is None or math.isinf(value):
        broken.append(f"its {objective} is {'unknown' if value is None else 'without end'}, and the choice is by {objective}")
    if option.cost.busy.edge is None and edge_share < math.inf:
        broken.append("its time on the edge server is unknown")
    return "; ".join(broken)


def _limit(bound: Bound, fits: Sequence[tuple[str, Option]], rates: Mapping[str, float]) -> _Limit:
    seconds = SECONDS[bound.scope]
    takes = tuple(_times(figure(o, bound.metric), rates[d]) for d, o in fits)
    return _Limit(str(bound), takes, bound.limit / seconds)


def _times(value: float | None, rate: float) -> float | None:
    return None if value is None else value * rate


def _used(limit: _Limit, picked: Sequence[int]) -> float:
    return math.fsum(limit.takes[i] or 0.0 for i in picked)


def _solve(devices: Sequence[str], fits: Sequence[tuple[str, Option]], cost: Any, limits: Sequence[_Limit]) -> list[int]:
    """Indices into `fits`, one a device, of least cost within the limits."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    choice = np.array([[float(d == device) for d, _ in fits] for device in devices])
    constraints = [LinearConstraint(choice, 1.0, 1.0)]
    endless = np.zeros(len(fits))  # what takes an endless amount of a finite limit is never chosen
    for limit in limits:
        takes = np.array([math.inf if t is None else t for t in limit.takes])
        if limit.most == math.inf:
            continue
        endless += ~np.isfinite(takes)
        scale = max(abs(limit.most), float(np.max(takes, initial=0.0, where=np.isfinite(takes))), 1e-300)
        constraints.append(
            LinearConstraint(np.where(np.isfinite(takes), takes, 0.0)[None, :] / scale, -math.inf, limit.most / scale)
        )
    largest = max(float(np.abs(cost).max()), 1e-300)
    for _ in range(_ROUNDS):
        found = milp(
            cost / largest * _SCALE,
            integrality=np.ones(len(fits)),
            bounds=Bounds(0.0, np.where(endless > 0, 0.0, 1.0)),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            raise BudgetError(
                "no joint choice fits the shared budget", got=_why(devices, fits, limits), hint="Loosen a shared bound."
            )
        picked = [int(i) for i in np.flatnonzero(found.x > 0.5)]
        if all(_used(limit, picked) <= limit.most for limit in limits):
            return picked
        barred = np.zeros(len(fits))
        barred[picked] = 1.0
        constraints.append(LinearConstraint(barred[None, :], -math.inf, len(devices) - 1.0))
    raise BudgetError(
        "too many choices lie within rounding of a shared bound", got=f"{_ROUNDS} of them", hint="Move the bound by a millionth."
    )


def _why(devices: Sequence[str], fits: Sequence[tuple[str, Option]], limits: Sequence[_Limit]) -> str:
    for limit in limits:
        least = math.fsum(
            min(t if t is not None else math.inf for t, (d, _) in zip(limit.takes, fits) if d == device) for device in devices
        )
        if least > limit.most:
            return f"even the leanest options take {least:.4g} a second of {limit.name}, which has {limit.most:.4g}"
    return "each shared bound alone can be met, all of them together cannot"
