"""One state of rANS that skips what is expected: runs of the likeliest letter are coded as one event each; ours.

Where most symbols are the one that their table expects, a coder that takes every symbol by itself spends its time on nothing.
Here a table is its likeliest letter, what that costs, and the frequencies of the others. The costs of a line of symbols are
summed up, and a run from symbol s on survives to symbol k with probability 2^−(cost_k − cost_s): one number tells where it ends.
Then the letter that ended it is coded. So a frame takes as many steps as it has surprises.

    symbol                           in code        unit
    cost of the likeliest letter     `cost`         2^−FINE bit
    S(c) survival of a cost c        `survival`     2^−RUN, S(0) = 2^RUN, falls by 1 or more for every LEAST units up to LIMIT
    T(u) the cost that u survives    `threshold`    2^−FINE bit; S(c) = how many u have T(u) ≥ c
    x    state                       `x`            integer in [2^24, 2^32), bytes come and go

A run ends at the end of its line at the latest, and where it has cost LIMIT or more. States begin at 1, because a decoder that
has no bytes left reads none: so a sequence costs its information, a byte or so for the start, and half a byte for the end.

Only integers decide. One state is the shortest code and takes about a microsecond an event in Python: right for hundreds of
surprises, while tens of thousands are a task for `edgewise.codec.rans`. A checksum is the container's.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.tables import FRACTION, Tables, binary_logarithm, share

FINE, RUN, LETTER = 14, 16, 12  # bits: of a bit of cost, of a run's frequencies, of a letter's
LEAST, LIMIT = 3, 3 << FINE  # the least cost of a letter; from which on a run is cut
MOST = 9 << FINE  # what the likeliest of 257 letters may cost, with room
BASE, BYTE = 24, 8  # bits
ESCAPE = 8  # bits of a code that its table has not
_SLOTS, _LETTERS, _FULL = (1 << RUN) - 1, (1 << LETTER) - 1, 1 << BASE

Events = list[tuple[int, int, int]]  # frequency, what lies below it, bits of their total


class Survival(Struct, frozen=True):
    """T(u) and S(c), ready to look up one by one."""

    threshold: array[int]
    survival: array[int]


@cache
def survival() -> Survival:
    """The two tables that all runs share (1 MB), by integers from `binary_logarithm`."""
    threshold = ((RUN << FRACTION) - binary_logarithm(1 << RUN)[1:]) >> FRACTION - FINE  # falls
    alive = np.searchsorted(-threshold, -np.arange(LIMIT + MOST + 1, dtype=np.int64), side="right")
    return Survival(array("I", threshold.tolist()), array("I", alive.tolist()))


class Expected:
    """What a coder of runs looks up of Tables: of each table the likeliest letter, its cost, and the others' frequencies.

    expected (uint8), cost (int64), each (tables,); letters, below: for each table the letters that are not expected (the last is
    the escape, −1) and the sums below them, of 2^LETTER in all.
    """

    def __init__(self, tables: Tables) -> None:
        logarithm = binary_logarithm(1 << tables.precision).tolist()
        total = tables.precision << FRACTION
        expected, cost = [], []
        self.letters: list[list[int]] = []
        self.below: list[list[int]] = []
        for offset, frequencies in zip(tables.offsets, tables.frequencies, strict=True):
            likeliest = max(range(len(frequencies) - 1), key=frequencies.__getitem__)
            units = (total - logarithm[frequencies[likeliest]]) + (1 << FRACTION - FINE - 1) >> FRACTION - FINE
            expected.append(offset + likeliest)
            cost.append(min(max(units, LEAST), MOST))
            others = [offset + i for i in range(len(frequencies) - 1) if i != likeliest] + [-1]
            below = [0]
            for f in share([f for i, f in enumerate(frequencies) if i != likeliest], LETTER):
                below.append(below[-1] + f)
            self.letters.append(others)
            self.below.append(below)
        self.expected = np.array(expected, np.uint8)
        self.cost = np.array(cost, np.int64)

    def surprise(self, table: int, code: int, events: Events) -> None:
        """Append the events that tell which letter it is, if not the expected one."""
        letters, below = self.letters[table], self.below[table]
        place = bisect_left(letters, code, 0, len(letters) - 1)
        if place == len(letters) - 1 or letters[place] != code:
            events.append((below[-1] - below[-2], below[-2], LETTER))
            events.append((1, code, ESCAPE))
        else:
            events.append((below[place + 1] - below[place], below[place], LETTER))


def write(costs: NDArray[np.int64], ends: Sequence[int], where: Sequence[int], letters: Sequence[Events]) -> bytes:
    """Bytes of a sequence: the cost of what is expected (n,), where its lines end, and where it is surprised by which events."""
    alive = survival().survival
    summed = [0, *np.cumsum(costs).tolist()]
    events: Events = []
    targets = sorted([(end, -1) for end in ends] + [(place, i) for i, place in enumerate(where)])
    at = 0
    for place, number in targets:
        while summed[place] - summed[at] >= LIMIT:
            begun = summed[at]
            at = bisect_left(summed, begun + LIMIT, at + 1, place + 1)
            events.append((alive[summed[at] - begun], 0, RUN))
        begun = summed[at]
        if number < 0:
            if at < place:
                events.append((alive[summed[place] - begun], 0, RUN))
            at = place
        else:
            below = alive[summed[place + 1] - begun]
            events.append((alive[summed[place] - begun] - below, below, RUN))
            events += letters[number]
            at = place + 1
    return _coded(events)


def _coded(events: Events) -> bytes:
    """The bytes of the state that has taken all events, the last first, and of those that it gave away."""
    x, out = 1, bytearray()
    for frequency, below, bits in reversed(events):
        most = frequency << BASE + BYTE - bits
        while x >= most:
            out.append(x & 255)
            x >>= BYTE
        whole, rest = divmod(x, frequency)
        x = (whole << bits) + below + rest
    out += x.to_bytes((x.bit_length() + 7) // 8, "little")
    out.reverse()
    return bytes(out)


class Reader:
    """The way back, line by line, of the bytes of one sequence."""

    def __init__(self, data: bytes | memoryview, expected: Expected) -> None:
        self._data, self._expected = bytes(data), expected
        self._at = min(len(data), (BASE + BYTE) // 8)
        self._x = int.from_bytes(self._data[: self._at], "big")
        known = survival()
        self._threshold, self._survival = known.threshold, known.survival

    def line(self, summed: list[int], tables: NDArray[np.integer]) -> tuple[list[int], list[int]]:
        """Where a line is surprised, and by which codes: summed (n + 1) are the costs before each symbol and behind the last,
        tables (n,) which they are.
        """
        x, at, data, size = self._x, self._at, self._data, len(self._data)
        threshold, alive, expected = self._threshold, self._survival, self._expected
        places: list[int] = []
        codes: list[int] = []
        here, last = 0, len(summed) - 1
        while here < last:
            begun, slot = summed[here], x & _SLOTS
            place = bisect_right(summed, begun + threshold[slot], here, last + 1) - 1
            spent = summed[place] - begun
            if place < last and spent < LIMIT:
                below = alive[summed[place + 1] - begun]
                x = (alive[spent] - below) * (x >> RUN) + slot - below
                while x < _FULL and at < size:
                    x, at = x << BYTE | data[at], at + 1
                table = tables.item(place)
                sums, slot = expected.below[table], x & _LETTERS
                which = bisect_right(sums, slot) - 1
                x = (sums[which + 1] - sums[which]) * (x >> LETTER) + slot - sums[which]
                while x < _FULL and at < size:
                    x, at = x << BYTE | data[at], at + 1
                code = expected.letters[table][which]
                if code < 0:
                    code, x = x & 255, x >> ESCAPE
                    while x < _FULL and at < size:
                        x, at = x << BYTE | data[at], at + 1
                places.append(place)
                codes.append(code)
                here = place + 1
                continue
            if spent >= LIMIT:
                place = bisect_left(summed, begun + LIMIT, here + 1, place + 1)
            x = alive[summed[place] - begun] * (x >> RUN) + slot
            while x < _FULL and at < size:
                x, at = x << BYTE | data[at], at + 1
            here = place
        self._x, self._at = x, at
        return places, codes

    @property
    def ended(self) -> bool:
        """Whether the state is the first one again and no byte is left, as where everything was read that was written."""
        return self._x == 1 and self._at == len(self._data)
