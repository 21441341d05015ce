"""The guard of a rollout: what must hold of a new version while it is on trial, as one line of text.

    quality>-0.5pt p95<120ms failed<1%

`quality` is a difference to the version before on the same probe, in points (hundredths of 0..1); `p95` a latency in ms or s;
`failed` a share in %. Conditions stand in any order, with or without spaces and commas between them; one a subject.

A figure that nobody measured is unknown: it neither holds nor breaks a condition. It does not know how long a version must have
been watched before it is judged (`stages.py`).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.core.rollout import Condition, Health, Subject

_PIECE = re.compile(
    r"[\s,]*([A-Za-z_0-9]+?)\s*([<>]=?)\s*([-+]?[0-9]{1,12}(?:\.[0-9]{1,12})?(?:e[-+]?[0-9]{1,2})?)\s*(%|[A-Za-z]*)(?=[\s,]|$)"
)
_UNITS: dict[Subject, dict[str, Decimal]] = {
    "quality": {"pt": Decimal("0.01")},
    "p95": {"ms": Decimal("0.001"), "s": Decimal(1)},
    "failed": {"%": Decimal("0.01")},
}
_ABOVE: dict[Subject, bool] = {"quality": True, "p95": False, "failed": False}
_EXAMPLE = "quality>-0.5pt p95<120ms failed<1%"
_LONGEST = 500


class Verdict(Struct, frozen=True):
    """Sentences for the conditions that are broken, and for those whose figure is unknown; neither: all hold."""

    broken: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions in `text`; ConfigError, a sentence with what was read, where it is no guard.

    >>> [str(c) for c in parse("p95<0.12s quality>-0.5pt")]
    ['p95<120ms', 'quality>-0.5pt']
    """
    if len(text) > _LONGEST:
        raise ConfigError("a guard is too long", got=f"{len(text)} characters", allowed=f"{_LONGEST}")
    found: dict[str, Condition] = {}
    place, text = 0, text.rstrip(" \t\r\n,")
    while place < len(text):
        piece = _PIECE.match(text, place)
        if piece is None:
            raise ConfigError("a guard cannot be read", got=repr(text[place : place + 40].strip()), allowed=_EXAMPLE)
        condition = _condition(*piece.groups())
        if condition.subject in found:
            raise ConfigError("a guard names a subject twice", got=condition.subject, allowed="one condition a subject")
        found[condition.subject] = condition
        place = piece.end()
    return tuple(found.values())


def text(conditions: tuple[Condition, ...]) -> str:
    """The line that `parse` reads back."""
    return " ".join(str(c) for c in conditions)


def judge(conditions: tuple[Condition, ...], health: Health) -> Verdict:
    """What `health` says of each condition."""
    broken, unknown = [], []
    for condition in conditions:
        value = measured(condition.subject, health)
        if value is None:
            unknown.append(f"{condition} cannot be judged: {_MISSING[condition.subject]}")
        elif not (value > condition.limit if condition.above else value < condition.limit):
            broken.append(f"{condition} is broken: {shown(condition.subject, value)}")
    return Verdict(tuple(broken), tuple(unknown))


def measured(subject: Subject, health: Health) -> float | None:
    """The figure that a condition is about, in its unit (0..1, s, share); None where it was not measured, or is no number."""
    if subject == "p95":
        value = health.p95
    elif subject == "failed":
        value = health.failed / health.frames if health.frames > 0 else None
    elif health.quality is None or health.before is None:
        value = None
    else:
        value = health.quality.value - health.before.value
    return value if value is not None and math.isfinite(value) else None


def shown(subject: Subject, value: float) -> str:
    """A figure as a person reads it.

    >>> shown("quality", -0.08)
    '-8 pt'
    """
    if subject == "p95":
        return f"{value * 1e3:.4g} ms"
    return f"{value * 100:.3g} pt" if subject == "quality" else f"{value * 100:.3g} %"


_MISSING: dict[Subject, str] = {
    "quality": "the node has no probe for this version and the one before",
    "p95": "no frame was answered",
    "failed": "no frame was seen",
}


def _condition(subject: str, sign: str, number: str, unit: str) -> Condition:
    if subject not in _UNITS:
        raise ConfigError("a guard names an unknown subject", got=subject, allowed=", ".join(_UNITS))
    known: Subject = subject
    if sign not in "<>" or (sign == ">") != _ABOVE[known]:
        allowed = f"{subject}{'>' if _ABOVE[known] else '<'}"
        raise ConfigError(f"a guard on {subject} looks the wrong way", got=f"{subject}{sign}", allowed=allowed)
    if unit not in _UNITS[known]:
        allowed = ", ".join(_UNITS[known])
        raise ConfigError(
            f"a guard on {subject} has an unknown unit", got=unit or "none", allowed=allowed, hint=f"As in {_EXAMPLE}."
        )
    limit = float(Decimal(f"{Decimal(number):.6g}") * _UNITS[known][unit])  # six digits: what str() shows is what holds
    low, high = (-1.0, 1.0) if known == "quality" else (0.0, 1.0 if known == "failed" else 1e6)
    if not low <= limit <= high or (known != "quality" and limit == 0):
        raise ConfigError(f"a guard on {subject} is out of range", got=f"{number}{unit}", allowed=_RANGES[known])
    return Condition(known, _ABOVE[known], limit)


_RANGES: dict[Subject, str] = {"quality": "-100pt to 100pt", "p95": "above 0 ms, up to 1e6 s", "failed": "above 0 %, up to 100 %"}
