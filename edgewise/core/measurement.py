"""A Measurement: a value that says its unit, how it came about and from where.

Provenance is one of `measured` (an instrument in this run), `modelled` (a named formula) or `quoted` (somebody's
published figure). A sum of unlike parts is `mixed`: it is never passed off as the better of the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Provenance = Literal["measured", "modelled", "quoted", "mixed"]


class Measurement(Struct, frozen=True, forbid_unknown_fields=True):
    """`value` in `unit` (SI without prefix: s, J, W, bytes, bit/s); `low`..`high` is an interval where one is known."""

    value: float
    unit: str
    provenance: Provenance
    source: str = ""
    low: float | None = None
    high: float | None = None
    n: int = 1

    def scaled(self, factor: float, provenance: Provenance, source: str) -> Measurement:
        """The same figure times `factor`; a derived figure names its own provenance and source."""

        def times(value: float | None) -> float | None:
            return None if value is None else value * factor

        return Measurement(self.value * factor, self.unit, provenance, source, times(self.low), times(self.high), self.n)


def joint(provenances: Iterable[Provenance]) -> Provenance:
    """The provenance of a sum: that of its parts where they agree, else `mixed`; an empty sum is `modelled`."""
    kinds = set(provenances)
    if not kinds:
        return "modelled"
    return kinds.pop() if len(kinds) == 1 else "mixed"
