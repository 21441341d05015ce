"""Which table and which lane code which symbol, looked up once for all frames of a stream.

An index of tables is long (one for each symbol) and mostly dull (a channel's symbols all have its table), so what a step needs of
it is prepared: for encoding, pieces of one table, whose figures are single numbers; for decoding, rows of lanes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.lanes import Stretch, information, stretches, usual_lanes
from edgewise.codec.tables import Tables
from edgewise.core.errors import TensorError

Integers = NDArray[np.integer[Any]]
Symbols = NDArray[np.int32]
Wide = NDArray[np.uint64]

_BLOCK = 1 << 14  # symbols whose figures are looked up together: they stay in the second cache
_LONG = 2048  # symbols of one table in a row from which on its figures are single numbers


class Order:
    """The order in which `index.size` symbols are coded, index[i] being the table of symbol i; TensorError for no such table."""

    def __init__(self, tables: Tables, index: Integers, lanes: int | None, climb: int) -> None:
        self.n, self.tables = index.size, tables
        if self.n and not 0 <= int(index.min()) <= int(index.max()) < len(tables):
            raise TensorError("a symbol has no table", got=f"{index.min()} to {index.max()}", allowed=f"0 to {len(tables) - 1}")
        self.index = index.reshape(-1).astype(np.intp)
        bits = information(tables, np.bincount(self.index, minlength=len(tables)).tolist())
        self.stretches = stretches(self.n, bits, lanes or usual_lanes(self.n, bits), climb, _BLOCK)
        self.lanes = self.stretches[-1].lanes if self.n else 1
        self.padded = self.stretches[-1].stop if self.n else 0

    @cached_property
    def rows(self) -> list[list[Wide]]:
        """For each stretch, row by row, where the tables of its symbols begin, as (lanes,); rows of one table share an array.

        (NumPy adds arrays of the same shape several times faster than one to a number, where they are short.)
        """
        starts = np.arange(len(self.tables) + 1, dtype=np.uint64) << np.uint64(self.tables.precision)
        index = np.full(self.padded, len(self.tables), np.intp)
        index[: self.n] = self.index
        found = []
        for stretch in self.stretches:
            rows = index[stretch.first : stretch.stop].reshape(-1, stretch.lanes)
            first = rows[:, 0]
            same = (rows == first[:, None]).all(axis=1)
            several = iter(starts.take(rows[~same]))
            shared = {t: np.full(stretch.lanes, starts[t], np.uint64) for t in set(first[same].tolist())}
            found.append([shared[t] if one else next(several) for t, one in zip(first.tolist(), same.tolist(), strict=True)])
        return found

    @cached_property
    def blocks(self) -> list[Block]:
        """Stretches whose figures an encoder looks up together."""
        found: list[Block] = []
        pending: list[Stretch] = []
        for stretch in self.stretches:
            pending.append(stretch)
            if stretch.stop - pending[0].first >= _BLOCK // 2 or stretch is self.stretches[-1]:
                found.append(Block(tuple(pending), self._pieces(pending[0].first, min(self.n, stretch.stop))))
                pending = []
        return found

    def _pieces(self, first: int, stop: int) -> tuple[Piece, ...]:
        """The symbols first … stop − 1 cut where the table changes, or as one piece where it changes often."""
        index, letters = self.index[first:stop], self.tables.letters
        changes = ((index[1:] != index[:-1]).nonzero()[0] + first + 1).tolist()
        if (len(changes) + 1) * _LONG > stop - first and changes:
            return (Piece(first, stop, letters.offset.take(index), letters.escape.take(index), letters.start.take(index)),)
        edges = [first, *changes, stop]
        tables = [int(self.index[a]) for a in edges[:-1]]
        return tuple(
            Piece(a, b, letters.offset[t : t + 1], letters.escape[t : t + 1], letters.start[t : t + 1])
            for a, b, t in zip(edges[:-1], edges[1:], tables, strict=True)
        )


class Piece(Struct, frozen=True):
    """Symbols first … stop − 1 and, for each or for all of them, offset, escape and start of their tables."""

    first: int
    stop: int
    offset: NDArray[np.int32]
    escape: NDArray[np.uint32]
    start: NDArray[np.intp]

    def letters(self, symbols: Symbols, out: NDArray[np.intp]) -> list[Symbols]:
        """Their letters, to `out`; one array of what lies outside their alphabets, from the nearer end, if anything does."""
        raw = symbols[self.first : self.stop] - self.offset  # wraps; what lies below becomes large
        letter = np.minimum(raw.view(np.uint32), self.escape)
        np.add(letter, self.start, out)
        outside = letter == self.escape
        if not outside.any():
            return []
        values: Symbols = raw[outside]
        size = np.broadcast_to(self.escape, raw.shape)[outside].astype(np.int32)
        size[values < 0] = 0
        values -= size
        return [values]


class Block(Struct, frozen=True):
    """Stretches one after another, and the pieces of their symbols."""

    stretches: tuple[Stretch, ...]
    pieces: tuple[Piece, ...]

    @property
    def first(self) -> int:
        return self.stretches[0].first

    @property
    def stop(self) -> int:
        return self.stretches[-1].stop
