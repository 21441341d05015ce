"""Integer frequency tables: how often each letter of a channel comes, as the coder needs it.

A table maps an alphabet of consecutive integers, from its offset on, to frequencies that sum to 2^precision. Its last letter is
the escape, which stands for every other int32. Everything is an integer and travels with the model, so that two machines that
hold the same tables make the same bytes. They know nothing of shapes or channels.

    symbol                    in code          unit
    f_s   frequency           `frequencies`    1/2^precision, each ≥ 1
    c_s   sum below it        `cumulative`     likewise
    M     2^precision         `total`
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.codec import varint
from edgewise.core.errors import ModelError

Integers = Sequence[int] | NDArray[np.integer[Any]]

PRECISION, FRACTION = 12, 24
MOST_PRECISION = 16
MOST_TABLES, MOST_LETTERS = (1 << 16) - 1, (1 << 16) - 1
MOST_SLOTS = 1 << 23  # of all tables together: 160 MiB for a decoder
SLOT = 20  # bytes
ESCAPED = -(1 << 31)  # stands where a symbol was escaped; no letter has this value
_FORMAT = 1
_HEADER = struct.Struct("<BBH")
_TABLE = struct.Struct("<iH")


class Tables:
    """Frequencies of several alphabets; a value.

    offsets: the symbol that the first letter of each table stands for. frequencies: one tuple a table, the escape's last.
    """

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

    @property
    def size(self) -> int:
        """How many slots a decoder holds of them."""
        return len(self) + 1 << self.precision

    @cached_property
    def letters(self) -> Letters:
        """What an encoder looks up."""
        return Letters(self)

    @cached_property
    def slots(self) -> Slots:
        """What a decoder looks up; larger: SLOT bytes a slot, 2^precision slots a table."""
        return Slots(self)


class Letters:
    """Figures of every letter of every table, one after another; behind them one letter that codes nothing, for padding.

    offset (int32), escape (uint32), start (intp), each (tables,): the symbol of a table's first letter, the number of its
    escape, where its letters begin. frequency, below: uint64 (letters + 1,).
    """

    def __init__(self, tables: Tables) -> None:
        sizes = np.array([len(t) for t in tables.frequencies], np.int64)
        self.offset = np.array(tables.offsets, np.int32)
        self.escape = (sizes - 1).astype(np.uint32)
        self.start = (np.cumsum(sizes) - sizes).astype(np.intp)
        self.frequency = np.array([f for t in tables.frequencies for f in t] + [1 << tables.precision], np.uint64)
        self.below = np.cumsum(self.frequency) - self.frequency & np.uint64((1 << tables.precision) - 1)
        self.padding = self.frequency.size - 1


class Slots:
    """Figures of every slot of every table; behind the last table one that decodes nothing, for padding.

    row: uint64 (slots, 2), frequency of the slot's letter and how far into it the slot lies. symbol: int32 (slots,).
    """

    def __init__(self, tables: Tables) -> None:
        letters, total = tables.letters, 1 << tables.precision
        counts = letters.frequency.astype(np.intp)
        self.row = np.empty((total * (len(tables) + 1), 2), np.uint64)
        self.row[:, 0] = np.repeat(letters.frequency, counts)
        self.row[:, 1] = np.arange(self.row.shape[0], dtype=np.uint64) & np.uint64(total - 1)
        self.row[:, 1] -= np.repeat(letters.below, counts)
        symbols = [
            np.append(np.arange(o, o + len(t) - 1), ESCAPED) for o, t in zip(tables.offsets, tables.frequencies, strict=True)
        ]
        self.symbol = np.repeat(np.concatenate([*symbols, [0]]).astype(np.int32), counts)


def fit(counts: Sequence[Integers], offsets: Sequence[int] | None = None, precision: int | None = None) -> Tables:
    """Tables for counts[table][letter] occurrences of the symbols offset, offset + 1, … (offset 0 where none is given).

    They make the code of these counts as short as any table can. Letters at the ends that (nearly) never came are left to the
    escape. The precision is by default 12 bits, 14 for alphabets of more than 64 letters. Integers alone decide, so that the
    same counts give the same tables everywhere.
    """
    found_offsets, found = [], []
    rows = [[int(c) for c in row] for row in counts]
    if precision is None:
        precision = PRECISION if max(map(len, rows), default=0) <= 64 else PRECISION + 2
    for table, values in enumerate(rows):
        if min(values, default=0) < 0:
            raise ModelError("a table cannot be fitted to counts below zero", got=min(values), allowed="0 or more")
        # A unit of frequency is worth 1.44/M of all bits; an escape costs 8 bits or more beyond its own letter.
        rare = sum(values) >> precision + 3
        kept = [i for i, c in enumerate(values) if c > rare]
        first, last = (kept[0], kept[-1] + 1) if kept else (0, 1)
        found_offsets.append((0 if offsets is None else int(offsets[table])) + first)
        inside = values[first:last] or [0]
        found.append(share([*inside, sum(values) - sum(inside)], precision))
    return Tables(found_offsets, found, precision)


def share(counts: list[int], precision: int) -> list[int]:
    """The frequencies, each ≥ 1, of sum 2^precision that give `counts` the shortest code.

    A unit more for a letter of count n and frequency f saves n·log2((f + 1)/f), which falls with f: so the units go, one by one,
    where they save most.
    """
    total, whole = 1 << precision, sum(counts)
    if len(counts) > total:
        raise ModelError("an alphabet is too large for its precision", got=f"{len(counts)} letters", allowed=f"{total} or fewer")
    if not whole:
        counts, whole = [1, *counts[1:]], 1
    logarithm = binary_logarithm(total).tolist()
    # What each letter has at least, since no more than one unit a letter goes to those that would have less.
    shares = [max(1, n * (total - len(counts)) // whole - 2) for n in counts]
    heap = [(-n * (logarithm[f + 1] - logarithm[f]), i) for i, (n, f) in enumerate(zip(counts, shares, strict=True))]
    heapq.heapify(heap)
    for _ in range(total - sum(shares)):
        letter = heap[0][1]
        shares[letter] += 1
        n, f = counts[letter], shares[letter]
        heapq.heapreplace(heap, (-n * (logarithm[min(f + 1, total)] - logarithm[f]), letter))
    return shares


@cache
def binary_logarithm(most: int) -> NDArray[np.int64]:
    """⌊2^FRACTION·log2 i⌋ for i up to `most` ≤ 2^16 (0 for i = 0), by squaring integers; the last bit may be one too low.

    >>> (binary_logarithm(8)[[1, 2, 3, 8]] / 2**FRACTION).round(3).tolist()
    [0.0, 1.0, 1.585, 3.0]
    """
    number = np.arange(most + 1, dtype=np.uint64)
    whole = np.zeros(most + 1, np.int64)
    for bit in range(1, 17):
        whole += number >> np.uint64(bit) > 0
    mantissa = number << (31 - whole).astype(np.uint64)  # in [2^31, 2^32)
    for _ in range(FRACTION):
        mantissa = mantissa * mantissa >> np.uint64(31)
        carry = (mantissa >> np.uint64(32)).astype(np.int64)
        mantissa >>= carry.astype(np.uint64)
        whole = 2 * whole + carry
    return whole


def pack(tables: Tables) -> bytes:
    """format u8 · precision u8 · tables u16; each: offset i32 · letters u16 · frequencies, 7 bits a byte, the lowest first."""
    parts = [_HEADER.pack(_FORMAT, tables.precision, len(tables))]
    for offset, table in zip(tables.offsets, tables.frequencies, strict=True):
        parts.append(_TABLE.pack(offset, len(table)))
        parts += [varint.write(f) for f in table]
    return b"".join(parts)


def unpack(data: bytes | memoryview) -> Tables:
    """The tables again; ModelError for bytes that `pack` never writes."""
    data = bytes(data)
    if len(data) < _HEADER.size:
        raise _truncated(data)
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
            value, at = _frequency(data, at)
            table.append(value)
        offsets.append(offset)
        found.append(table)
    if at != len(data):
        raise ModelError("coder tables are longer than they say", got=f"{len(data)} bytes", allowed=at)
    return Tables(offsets, found, precision)


def _frequency(data: bytes, at: int) -> tuple[int, int]:
    """The frequency that begins at `at`, and where the next one does."""
    found = varint.read(data, at, 3)
    if found is None and len(data) < at + 3:
        raise _truncated(data)
    if found is None:
        raise ModelError("a frequency is too large", got=f"more than three bytes at {at}", allowed=f"below {1 << MOST_PRECISION}")
    if found[1] > at + 1 and not data[found[1] - 1]:
        raise ModelError("a frequency is not written in the shortest way", got=f"a last byte of 0 at {found[1] - 1}")
    return found


def _truncated(data: bytes) -> ModelError:
    return ModelError("coder tables are truncated", got=f"{len(data)} bytes", hint="Is the bundle whole?")


def _check(tables: Tables) -> None:
    """ModelError where a coder could not use them."""
    if not 1 <= tables.precision <= MOST_PRECISION:
        raise ModelError("coder tables have an impossible precision", got=tables.precision, allowed=f"1 to {MOST_PRECISION} bits")
    total = 1 << tables.precision
    most = min(MOST_TABLES, MOST_SLOTS >> tables.precision)
    if len(tables.offsets) != len(tables.frequencies) or len(tables.offsets) > most:
        raise ModelError(
            "coder tables do not belong together, or are too many",
            got=f"{len(tables.offsets)} offsets, {len(tables.frequencies)} tables of {tables.precision} bits",
            allowed=f"as many of the one as of the other, {most} or fewer",
        )
    for offset, table in zip(tables.offsets, tables.frequencies, strict=True):
        if not ESCAPED < offset <= (1 << 31) - len(table):
            raise ModelError("a coder table reaches outside int32", got=f"offset {offset} with {len(table)} letters")
        if not 2 <= len(table) <= MOST_LETTERS or min(table) < 1 or sum(table) != total:
            raise ModelError(
                "a coder table is no distribution",
                got=f"{len(table)} frequencies with the sum {sum(table)}",
                allowed=f"2 to {MOST_LETTERS} frequencies of 1 or more with the sum {total}, the last of them the escape's",
            )
