"""The exact choice of one option under a Budget, with a reason for every option that was not taken.

The best admissible option by one objective is taken; ties go to the lower latency, then energy, bytes and memory, then to the
name, so that the same table always gives the same choice. An option is *dominated* by another that is nowhere worse, in all that
is known of both, and somewhere better. Unknown qualities can be compared only between options that give the very same answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from edgewise.core.cost import Budget, Cost
from edgewise.core.errors import ConfigError

Objective = Literal["latency", "energy", "device_energy", "bytes_up", "quality"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "device_energy", "bytes_up", "quality")
_UNITS = {
    "latency": "s",
    "p95 latency": "s",
    "energy": "J",
    "device_energy": "J",
    "bytes_up": "B",
    "bytes_down": "B",
    "memory": "B",
}


class Option(Struct, frozen=True, forbid_unknown_fields=True):
    """A way to answer: its Cost, its quality and miss rate where they are known; options of one `answer` answer alike."""

    name: str
    cost: Cost
    quality: float | None = None
    miss_rate: float | None = None
    answer: str = ""


class Rejection(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    why: str


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """The option taken and why, and why not each of the others; `chosen` is None where nothing fits the budget."""

    chosen: str | None
    why: str
    rejected: tuple[Rejection, ...]


def choose(options: Sequence[Option], budget: Budget, objective: Objective = "latency", rate: float = 1.0) -> Choice:
    """The best admissible option; `rate` is items a second, for bounds over a second or a day.

    >>> near, far = Option("near", Cost(latency=0.1)), Option("far", Cost(latency=0.3))
    >>> choose([near, far], Budget.parse("latency<=0.2s")).rejected[0].why
    'latency 0.3 s breaks latency <= 0.2 s'
    """
    names = [o.name for o in options]
    if len(set(names)) < len(names):
        raise ConfigError(
            "options share a name", got=", ".join(sorted({n for n in names if names.count(n) > 1})), allowed="one each"
        )
    broken = {o.name: budget.violations(o.cost, o.quality, rate, o.miss_rate) for o in options}
    fitting = sorted((o for o in options if not broken[o.name]), key=lambda o: order(o, objective))
    taken = next((o for o in fitting if figure(o, objective) is not None), None)
    front = [(o, _figures(o)) for o in fitting]
    rejected = tuple(Rejection(o.name, _why_not(o, taken, front, broken[o.name], objective)) for o in options if o is not taken)
    if taken is None:
        return Choice(None, _why_nothing(options, broken, fitting, objective), rejected)
    others = "the only option that fits" if len(fitting) == 1 else f"the best of {len(fitting)} options that fit"
    return Choice(taken.name, f"{others}, by {objective}: {_shown(objective, figure(taken, objective))}", rejected)


def best(options: Sequence[Option], budget: Budget, objective: Objective = "latency", rate: float = 1.0) -> Option | None:
    """The option that `choose` takes, without the reasons for the others; None where nothing fits."""
    known = (o for o in options if figure(o, objective) is not None)
    fitting = (o for o in known if budget.admits(o.cost, o.quality, rate, o.miss_rate))
    return min(fitting, key=lambda o: order(o, objective), default=None)


def figure(option: Option, metric: str) -> float | None:
    """A metric of an option; None where it is unknown or no number."""
    cost = option.cost
    figures = {
        "latency": cost.latency,
        "p95 latency": cost.latency_bound,
        "device_energy": cost.energy.device,
        "energy": cost.energy.total,
        "bytes_up": cost.bytes_up,
        "bytes_down": cost.bytes_down,
        "memory": cost.memory.device,
        "quality": option.quality,
        "miss_rate": option.miss_rate,
    }
    value = figures[metric]
    return None if value is None or math.isnan(value) else value


def order(option: Option, objective: Objective) -> tuple[float, ...] | tuple[float | str, ...]:
    """What options are sorted by: the objective, then the tie-breaks; unknown comes last."""

    def key(metric: str) -> float:
        value = figure(option, metric)
        if value is None:
            return math.inf
        return -value if metric == "quality" else value

    return (
        figure(option, objective) is None,
        *(key(m) for m in (objective, "latency", "device_energy", "energy", "bytes_up", "memory")),
        option.name,
    )


def dominates(a: Option, b: Option) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    return _beats(_figures(a), _figures(b), bool(a.answer) and a.answer == b.answer)


def _figures(option: Option) -> tuple[float | None, ...]:
    """Every metric as a figure of which less is better, quality first."""
    quality = figure(option, "quality")
    return (None if quality is None else -quality, *(figure(option, m) for m in (*_UNITS, "miss_rate")))


def _beats(a: tuple[float | None, ...], b: tuple[float | None, ...], alike: bool) -> bool:
    better = False
    for i, (x, y) in enumerate(zip(a, b)):
        if x is None and y is None and (i > 0 or alike):
            continue
        if x is None or y is None or x > y:
            return False
        better = better or x < y
    return better


Front = Sequence[tuple[Option, tuple[float | None, ...]]]


def _why_not(option: Option, taken: Option | None, front: Front, broken: list[str], objective: Objective) -> str:
    if broken:
        return "; ".join(broken)
    if figure(option, objective) is None:
        return f"its {objective} is unknown, and the choice is by {objective}"
    assert taken is not None  # an option that fits and whose objective is known is beaten by one that does, or is that one
    its_figures = _figures(option)
    ruler = next((o for o, f in front if _beats(f, its_figures, bool(o.answer) and o.answer == option.answer)), None)
    if ruler is not None:
        return f"dominated by {ruler.name}: {_against(ruler, option)}"
    mine, its = figure(option, objective), figure(taken, objective)
    if mine == its:
        return f"ties with {taken.name} by {objective}, which comes first by latency, energy, bytes or name"
    return f"{taken.name} is better by {objective}: {_shown(objective, its)} against {_shown(objective, mine)}"


def _against(a: Option, b: Option) -> str:
    """Where `a` is better than `b`, in figures."""
    pairs = ((m, figure(a, m), figure(b, m)) for m in (*_UNITS, "quality", "miss_rate"))
    return ", ".join(f"{m} {_shown(m, x)} against {_shown(m, y)}" for m, x, y in pairs if x is not None and x != y)


def _why_nothing(options: Sequence[Option], broken: dict[str, list[str]], fitting: Sequence[Option], objective: Objective) -> str:
    if not options:
        return "there is no option"
    if fitting:
        return f"{objective} is unknown for every option that fits"
    nearest = min(options, key=lambda o: (len(broken[o.name]), order(o, objective)))
    return f"nothing fits the budget; {nearest.name} breaks the fewest bounds: {'; '.join(broken[nearest.name])}"


def _shown(metric: str, value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g} {_UNITS.get(metric, '')}".strip()
