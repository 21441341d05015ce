"""How a sequence of symbols falls to lanes: few at its beginning, many where there is much to do, and what that saves.

Each lane has a state worth some six bytes, and a coder whose states all start empty pays for each. Here coding starts with one
lane, and the lanes double as soon as those that are there have written enough words: the new ones start on words taken back
from what was written (coding with states is a stack), so that their first state costs nothing. Decoding goes the other way,
from the last symbol to the first: full width, and before each narrower stretch the lanes that end give their words back. Ours.

Everything here is part of the format: both sides derive the same plan from the number of symbols and the tables, by integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgewise.codec.tables import FRACTION, Tables, binary_logarithm

MOST_LANES = 4096


class Stretch(Struct, frozen=True):
    """`steps` double steps of `lanes` lanes: symbols first … stop − 1, twice `lanes` a step. The last may reach past the end."""

    first: int
    steps: int
    lanes: int

    @property
    def stop(self) -> int:
        return self.first + 2 * self.steps * self.lanes


def usual_lanes(n: int, bits: int) -> int:
    """√(n/3) lanes for n symbols, in eights: there a lane's bytes are worth the steps that it saves, at some Mbit/s.

    For symbols that hold only `bits` bits together, not more than 8, or one for every 36 bytes: a lane costs a byte or two.

    >>> usual_lanes(2523, 8648), usual_lanes(1_000_000, 3_500_000), usual_lanes(1_000_000, 900), usual_lanes(20, 60)
    (32, 576, 8, 2)
    """
    wanted = min(math.isqrt(n // 3), MOST_LANES, max(8, bits // 288))
    return max(1, wanted if wanted < 8 else wanted + 4 & -8)


def stretches(n: int, bits: int, lanes: int, climb: int, block: int) -> tuple[Stretch, ...]:
    """The plan of n symbols that hold `bits` bits together, in the order of encoding, in pieces of `block` symbols or fewer.

    A new lane writes its first word after about `climb` bits; the first lane, which starts lower, after 8 more. Where that takes
    long, lanes are opened without a word each for the newest.
    """
    found: list[Stretch] = []
    first, width = 0, 1
    while width < lanes:
        wait = climb + (8 if width == 1 else 0)
        steps = max(1, min(8 + 8 * width, -(-wait * n // max(1, 2 * bits))))
        if first + 2 * steps * width + 4 * width > n:
            break
        found.append(Stretch(first, steps, width))
        first, width = found[-1].stop, min(2 * width, lanes)
    while first < n:
        steps = min(max(1, block // (2 * width)), -(-(n - first) // (2 * width)))
        found.append(Stretch(first, steps, width))
        first = found[-1].stop
    return tuple(found)


def information(tables: Tables, uses: Sequence[int]) -> int:
    """Bits that symbols hold on average, rounded down, where table i is used uses[i] times."""
    p, total = tables.precision, 0
    logarithm = binary_logarithm(1 << p)
    for table, count in zip(tables.frequencies, uses, strict=True):
        if count:
            f = np.array(table, np.int64)
            total += count * int((f * ((p << FRACTION) - logarithm[f])).sum())
    return total >> p + FRACTION
