"""Integer frequency tables: how often each letter of a channel comes, as the coder needs it.

A table maps an alphabet of consecutive integers, from its offset on, to frequencies that sum to 2^precision. Its last letter is
the escape, which stands for every other int32. Everything is an integer and travels with the model, so that two machines that
hold the same bytes code the same bytes (split.md 2.7; Duda, "Asymmetric numeral systems", 2013). They know nothing of shapes or channels.

    symbol                    in code          unit
    f_s   frequency           `frequencies`    1/2^precision, each ≥ 1
    c_s   sum below it        `cumulative`     likewise
    M     2^precision         `total`
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import ModelError

PRECISION = 12
MOST_PRECISION = 14
MOST_TABLES, MOST_LETTERS = 1 << 16, 1 << 12
_FORMAT = 1
_HEADER = struct.Struct("<BBH")
_TABLE = struct.Struct("<iH")


class Tables:
    """Frequencies of several alphabets; immutable.

    offsets: the symbol that the first letter of each table stands for; frequencies: one tuple a table, the last of it the escape's.
    """

    __slots__ = ("frequencies", "offsets", "precision")

    def __init__(self, offsets: Sequence[int], frequencies: Sequence[Sequence[int]], precision: int = PRECISION) -> None:
        self.offsets = tuple(int(o) for o in offsets)
        self.frequencies = tuple(tuple(int(f) for f in table) for table in frequencies)
        self.precision = int(precision)
        _check(self)

    def __len__(self) -> int:
        return len(self.offsets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tables):
            return NotImplemented
        return (self.precision, self.offsets, self.frequencies) == (other.precision, other.offsets, other.frequencies)

    def __hash__(self) -> int:
        return hash((self.precision, self.offsets, self.frequencies))

    def letters(self, table: int) -> int:
        """Letters of a table, the escape counted."""
        return len(self.frequencies[table])


def fit(counts: Sequence[NDArray[np.int64]], offsets: Sequence[int] | None = None, precision: int = PRECISION) -> Tables:
    """Tables for counts[table][letter] observed occurrences of the symbols offset, offset + 1, … (offset 0 where none is given).

    Letters at both ends that never came are left to the escape. Only integers decide, so that the same counts give the same table
    everywhere: every letter starts at 1, and the rest goes, unit by unit, where it shortens the code most.
    """
    found_offsets, found = [], []
    for table, raw in enumerate(counts):
        values = [int(c) for c in raw]
        if any(c < 0 for c in values):
            raise ModelError("a table cannot be fitted to counts below zero", got=min(values), allowed="0 or more")
        seen = [i for i, c in enumerate(values) if c]
        first, last = (seen[0], seen[-1] + 1) if seen else (0, min(1, len(values)))
        found_offsets.append((0 if offsets is None else int(offsets[table])) + first)
        found.append(_share([*values[first:last], 0], 1 << precision))
    return Tables(found_offsets, found, precision)


def _share(counts: list[int], total: int) -> list[int]:
    """Frequencies of sum `total`, each ≥ 1, near to the shares of `counts`.

    Giving one unit more to a letter of count n and frequency f shortens the code by n·log2((f+1)/f), which falls with f as
    n/(f + 1/2) does, so that comparing n/(2f + 1) by cross products is the greedy optimum without a logarithm.
    """
    if len(counts) > total:
        raise ModelError("an alphabet is too large for its precision", got=f"{len(counts)} letters", allowed=f"{total} or fewer")
    whole = sum(counts)
    if not whole:
        shares = [1] * len(counts)
        shares[0] += total - len(counts)
        return shares
    shares = [max(1, n * total // whole) for n in counts]
    left = total - sum(shares)
    step = 1 if left > 0 else -1
    heap = [_Gain(counts[i], shares[i], i, step) for i in range(len(counts)) if step > 0 or shares[i] > 1]
    heapq.heapify(heap)
    for _ in range(abs(left)):
        best = heapq.heappop(heap)
        shares[best.letter] += step
        if step > 0 or shares[best.letter] > 1:
            heapq.heappush(heap, _Gain(best.count, shares[best.letter], best.letter, step))
    return shares


class _Gain:
    """What one unit more (or less) for a letter is worth: count/(2·share ± 1), compared by cross products."""

    __slots__ = ("count", "letter", "sign", "width")

    def __init__(self, count: int, share: int, letter: int, sign: int) -> None:
        self.count, self.width, self.letter, self.sign = count, 2 * share + sign, letter, sign

    def __lt__(self, other: _Gain) -> bool:
        here, there = self.count * other.width, other.count * self.width
        if here != there:
            return (here > there) == (self.sign > 0)
        return self.letter < other.letter


def pack(tables: Tables) -> bytes:
    """format u8 · precision u8 · tables u16, then each: offset i32 · letters u16 · frequencies, 7 bits a byte, the lowest first."""
    parts = [_HEADER.pack(_FORMAT, tables.precision, len(tables))]
    for offset, table in zip(tables.offsets, tables.frequencies, strict=True):
        parts.append(_TABLE.pack(offset, len(table)))
        parts.append(b"".join(bytes((f,)) if f < 128 else bytes((f & 127 | 128, f >> 7)) for f in table))
    return b"".join(parts)


def unpack(data: bytes | memoryview) -> Tables:
    """The tables again; ModelError for bytes that `pack` never writes."""
    data = bytes(data)
    if len(data) < _HEADER.size:
        raise ModelError(
            "coder tables are too short for their header", got=f"{len(data)} bytes", allowed=f"{_HEADER.size} or more"
        )
    kind, precision, count = _HEADER.unpack_from(data)
    if kind != _FORMAT:
        raise ModelError("coder tables have an unknown format", got=kind, allowed=_FORMAT)
    at, offsets, found = _HEADER.size, [], []
    for _ in range(count):
        if at + _TABLE.size > len(data):
            raise _truncated(data)
        offset, letters = _TABLE.unpack_from(data, at)
        at += _TABLE.size
        table = []
        for _ in range(letters):
            if at + 2 > len(data) and (at >= len(data) or data[at] > 127):
                raise _truncated(data)
            value = data[at]
            at += 1
            if value > 127:
                if not 0 < data[at] < 128:
                    raise ModelError(
                        "a frequency is not written in the shortest way", got=f"byte {data[at]} at {at}", allowed="1 to 127"
                    )
                value += (data[at] - 1) << 7
                at += 1
            table.append(value)
        offsets.append(offset)
        found.append(table)
    if at != len(data):
        raise ModelError("coder tables are longer than they say", got=f"{len(data)} bytes", allowed=at)
    return Tables(offsets, found, precision)


def _truncated(data: bytes) -> ModelError:
    return ModelError("coder tables are truncated", got=f"{len(data)} bytes", hint="Is the bundle whole?")


def _check(tables: Tables) -> None:
    """ModelError where a coder could not use them."""
    if not 1 <= tables.precision <= MOST_PRECISION:
        raise ModelError("coder tables have an impossible precision", got=tables.precision, allowed=f"1 to {MOST_PRECISION} bits")
    if len(tables.offsets) != len(tables.frequencies) or len(tables.offsets) >= MOST_TABLES:
        raise ModelError(
            "coder tables do not belong together",
            got=f"{len(tables.offsets)} offsets, {len(tables.frequencies)} tables",
            allowed=f"as many of the one as of the other, below {MOST_TABLES}",
        )
    total = 1 << tables.precision
    for offset, table in zip(tables.offsets, tables.frequencies, strict=True):
        if not -(1 << 31) <= offset <= (1 << 31) - len(table):
            raise ModelError("a coder table reaches outside int32", got=f"offset {offset} with {len(table)} letters")
        if not 2 <= len(table) <= MOST_LETTERS or min(table) < 1 or sum(table) != total:
            raise ModelError(
                "a coder table is no distribution",
                got=f"{len(table)} frequencies with the sum {sum(table)}",
                allowed=f"2 to {MOST_LETTERS} frequencies of 1 or more with the sum {total}, the last of them the escape's",
            )
