"""Interleaved rANS in NumPy: integers to nearly as few bytes as their tables allow, and back, bit-exactly.

A lane has a state x. Encoding a symbol of frequency f with c below it: x → ⌊x/f⌋·M + c + x mod f; decoding: slot = x mod M,
x → f·⌊x/M⌋ + slot − c (Duda 2013). States are 64 bits wide, so that two symbols pass between two looks at whether a word of 32
bits has to leave or come in, and one NumPy call serves all lanes. How symbols fall to lanes, and why new lanes cost little:
`edgewise.codec.lanes`. Only integers decide, and NumPy's unsigned ones wrap alike everywhere.

    symbol    in code                 unit
    p, M      precision, 2^p          bits
    f, c      frequency, below        1/M
    x         states                  integer in [2^b, 2^(b+32)), b = 24 for p ≤ 12, else 32

A checksum is the container's: damaged bytes become other symbols or a TensorError, and never more work than whole ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec import escapes
from edgewise.codec import lanes as plan
from edgewise.codec.payload import join, part
from edgewise.codec.stack import Many, Single, damaged
from edgewise.codec.tables import ESCAPED, Tables
from edgewise.core.errors import TensorError

Integers = NDArray[np.integer[Any]]
Symbols = NDArray[np.int32]
Wide = NDArray[np.uint64]

_BLOCK = 1 << 14  # symbols whose figures are looked up together: they stay in the second cache
_LONG = 2048  # symbols of one table in a row from which on its figures are single numbers
_32 = np.full(1, 32, np.uint64)


class Coder:
    """Codes sequences in which index[i] is the table of symbol i. Prepared once, used for every frame, by any thread.

    `lanes` is rounded up to a power of two; by default it follows from the length. Both sides need the same.
    """

    def __init__(self, tables: Tables, index: Integers, lanes: int | None = None) -> None:
        self.n, self.tables = index.size, tables
        if self.n and not 0 <= int(index.min()) <= int(index.max()) < len(tables):
            raise TensorError("a symbol has no table", got=f"{index.min()} to {index.max()}", allowed=f"0 to {len(tables) - 1}")
        self._index = index.reshape(-1).astype(np.intp)
        uses = np.bincount(self._index, minlength=len(tables)).tolist()
        self.base = 24 if tables.precision <= 12 else 32
        bits = plan.information(tables, uses)
        self.stretches = plan.stretches(self.n, bits, lanes or plan.usual_lanes(self.n, bits), self.base + 8, _BLOCK)
        self.lanes = self.stretches[-1].lanes if self.n else 1
        self._padded = self.stretches[-1].stop if self.n else 0

    def encode(self, symbols: Integers) -> bytes:
        """Bytes of symbols (n,), any that int32 holds; TensorError for another shape or type."""
        if symbols.shape != (self.n,) or not np.can_cast(symbols.dtype, np.int32):
            raise TensorError(
                "symbols are not those of their coder", got=f"{symbols.dtype} {symbols.shape}", allowed=f"int32 ({self.n},)"
            )
        if not self.n:
            return b""
        values, outside = np.ascontiguousarray(symbols, np.int32), []
        words, at = np.empty(self._padded // 2, np.uint32), 0
        x = np.full(1, 1 << self.base, np.uint64)
        for block in self._blocks:
            letters = np.empty(block.stop - block.first, np.int64)
            outside += [
                e
                for e in (p.letters(values, letters[p.first - block.first : p.stop - block.first]) for p in block.pieces)
                if e.size
            ]
            letters[self.n - block.first :] = self.tables.letters.padding
            f, c = self.tables.letters.frequency.take(letters), self.tables.letters.below.take(letters)
            for stretch in block.stretches:
                if stretch.lanes > x.size:
                    x, at = _widened(x, words, at)
                here, shape = slice(stretch.first - block.first, stretch.stop - block.first), (stretch.steps, 2, stretch.lanes)
                at = self._push(x, f[here].reshape(shape), c[here].reshape(shape), words, at)
        return join(x, words[:at], escapes.write(np.concatenate(outside)) if outside else b"", self.base)

    def _push(self, x: Wide, f: Wide, c: Wide, words: NDArray[np.uint32], at: int) -> int:
        """Encode symbols (steps, 2, lanes) into the states; where the words then end."""
        p = self.tables.precision
        rest = np.uint64(1 << p) - f
        most = f[:, 0] * f[:, 1]  # the largest state that takes both symbols and stays a state
        most <<= np.uint64(self.base + 32 - 2 * p)
        most -= np.uint64(1)
        full, whole = np.empty(x.size, np.bool_), np.empty_like(x)
        greater, divide, multiply, add = np.greater, np.floor_divide, np.multiply, np.add
        for limit, f0, r0, c0, f1, r1, c1 in zip(most, f[:, 0], rest[:, 0], c[:, 0], f[:, 1], rest[:, 1], c[:, 1], strict=True):
            (where,) = greater(x, limit, full).nonzero()
            if where.size:
                leaving, end = x.take(where), at + where.size
                words[at:end], at = leaving, end
                leaving >>= _32
                x.put(where, leaving)
            divide(x, f0, whole)
            multiply(whole, r0, whole)
            add(x, whole, x)
            add(x, c0, x)
            divide(x, f1, whole)
            multiply(whole, r1, whole)
            add(x, whole, x)
            add(x, c1, x)
        return at

    def decode(self, data: bytes | memoryview) -> Symbols:
        """The symbols (n,) again; TensorError for bytes that no encoder writes, as far as they show."""
        return self.decode_many((data,)).reshape(-1)

    def decode_many(self, payloads: Sequence[bytes | memoryview]) -> Symbols:
        """Symbols (payloads, n): all lanes of all of them side by side; TensorError as in `decode`."""
        if not self.n and any(len(data) for data in payloads):
            raise TensorError("coded symbols are overlong", got=f"{max(map(len, payloads))} bytes", allowed="0")
        found = np.empty((len(payloads), self._padded), np.int32)
        if not found.size:
            return found[:, : self.n]
        parts = [part(data, self.lanes, self.base, self._padded // 2) for data in payloads]
        words = [p.words for p in parts]
        stack = Single(words[0], self.lanes) if len(parts) == 1 else Many(words, self.lanes)
        x = np.concatenate([p.states for p in parts])
        for stretch, rows in zip(reversed(self.stretches), reversed(self._rows), strict=True):
            if stretch.lanes * len(parts) < x.size:
                x = self._narrowed(x.reshape(len(parts), -1), stack)
            slots = self._pull(x.reshape(-1, stretch.lanes) if len(parts) > 1 else x, rows, stack)
            symbols = self.tables.slots.symbol.take(slots.view(np.int64))  # (rows, payloads, lanes) or (rows, lanes)
            found[:, stretch.first : stretch.stop] = (
                symbols.reshape(-1) if len(parts) == 1 else symbols.transpose(1, 0, 2).reshape(len(parts), -1)
            )
        stack.close()
        wrong = x != 1 << self.base
        if wrong.any():
            raise damaged(int(wrong.argmax()))
        found = found[:, : self.n]
        for symbols, own in zip(found, parts, strict=True):
            self._escape(symbols, own.escapes)
        return found

    def _pull(self, x: Wide, rows: list[Wide], stack: Single | Many) -> Wide:
        """Decode a stretch out of states (lanes,) or (payloads, lanes); the slots (rows, …)."""
        slots = np.empty((len(rows), *x.shape), np.uint64)
        places, figures = slots.view(np.int64), np.empty((*x.shape, 2), np.uint64)
        frequency, into = figures[..., 0], figures[..., 1]
        flat, short = x.reshape(-1), np.empty(x.shape, np.bool_)
        flat_short = short.reshape(-1)
        inside, bits, least = (
            np.full(1, v, np.uint64) for v in ((1 << self.tables.precision) - 1, self.tables.precision, 1 << self.base)
        )
        take, both, add, shift, multiply, less = (
            self.tables.slots.row.take,
            np.bitwise_and,
            np.add,
            np.right_shift,
            np.multiply,
            np.less,
        )
        for i in range(len(rows) - 1, 0, -2):
            for j in (i, i - 1):
                slot = slots[j]
                both(x, inside, slot)
                add(slot, rows[j], slot)
                take(places[j], 0, figures, "clip")
                shift(x, bits, x)
                multiply(x, frequency, x)
                add(x, into, x)
            less(x, least, short)
            (where,) = flat_short.nonzero()
            if where.size:
                filled = flat.take(where)
                filled <<= _32
                filled |= stack.take(where)
                flat.put(where, filled)
        return slots

    def _narrowed(self, x: Wide, stack: Single | Many) -> Wide:
        """States (payloads, lanes) without their upper half, whose words go back."""
        half = x.shape[1] // 2
        if (x[:, half:] >> _32 != 1).any():
            raise damaged(int((x[:, half:] >> _32 != 1).any(axis=1).argmax()))
        stack.give(x[:, half:] & np.uint64((1 << 32) - 1))
        return np.ascontiguousarray(x[:, :half]).reshape(-1)

    def _escape(self, symbols: Symbols, data: bytes) -> None:
        """Put escaped symbols (n,) where they belong."""
        if not data and int(symbols.min()) != ESCAPED:
            return
        (where,) = (symbols == ESCAPED).nonzero()
        values, table, letters = escapes.read(data, where.size), self._index.take(where), self.tables.letters
        values += np.where(values < 0, 0, letters.escape.take(table).astype(np.int32))
        symbols[where] = values + letters.offset.take(table)

    @cached_property
    def _rows(self) -> list[list[Wide]]:
        """For each stretch, row by row, where the tables of its symbols begin: (lanes,), or (1,) where it is one table."""
        starts = np.arange(len(self.tables) + 1, dtype=np.uint64) << np.uint64(self.tables.precision)
        index = np.full(self._padded, len(self.tables), np.intp)
        index[: self.n] = self._index
        found = []
        for stretch in self.stretches:
            rows = index[stretch.first : stretch.stop].reshape(-1, stretch.lanes)
            first = rows[:, 0]
            same = (rows == first[:, None]).all(axis=1).tolist()
            several = starts.take(rows if not all(same) else rows[:0])
            found.append([starts[t : t + 1] if one else several[i] for i, (t, one) in enumerate(zip(first.tolist(), same))])
        return found

    @cached_property
    def _blocks(self) -> list[_Block]:
        """Stretches whose figures an encoder looks up together."""
        found: list[_Block] = []
        pending: list[plan.Stretch] = []
        for stretch in self.stretches:
            pending.append(stretch)
            if stretch.stop - pending[0].first >= _BLOCK // 2 or stretch is self.stretches[-1]:
                found.append(_Block(tuple(pending), self._pieces(pending[0].first, min(self.n, stretch.stop))))
                pending = []
        return found

    def _pieces(self, first: int, stop: int) -> tuple[_Piece, ...]:
        """The symbols first … stop − 1 cut where the table changes, or as one piece where it changes often."""
        index, letters = self._index[first:stop], self.tables.letters
        changes = ((index[1:] != index[:-1]).nonzero()[0] + first + 1).tolist()
        if (len(changes) + 1) * _LONG > stop - first and changes:
            return (_Piece(first, stop, letters.offset.take(index), letters.escape.take(index), letters.start.take(index)),)
        edges = [first, *changes, stop]
        tables = [int(self._index[a]) for a in edges[:-1]]
        return tuple(
            _Piece(a, b, letters.offset[t : t + 1], letters.escape[t : t + 1], letters.start[t : t + 1])
            for a, b, t in zip(edges[:-1], edges[1:], tables, strict=True)
        )


class _Piece(Struct, frozen=True):
    """Symbols first … stop − 1 and, for each or for all of them, offset, escape and start of their tables."""

    first: int
    stop: int
    offset: NDArray[np.int32]
    escape: NDArray[np.uint32]
    start: NDArray[np.int64]

    def letters(self, symbols: Symbols, out: NDArray[np.int64]) -> NDArray[np.int32]:
        """Their letters, to `out`; what lies outside their alphabets, from its nearer end."""
        raw = symbols[self.first : self.stop] - self.offset  # wraps; what lies below becomes large
        letter = np.minimum(raw.view(np.uint32), self.escape)
        np.add(letter, self.start, out)
        outside = letter == self.escape
        if not outside.any():
            return raw[:0]
        values: Symbols = raw[outside]
        size = np.broadcast_to(self.escape, raw.shape)[outside].astype(np.int32)
        size[values < 0] = 0
        values -= size
        return values


class _Block(Struct, frozen=True):
    stretches: tuple[plan.Stretch, ...]
    pieces: tuple[_Piece, ...]

    @property
    def first(self) -> int:
        return self.stretches[0].first

    @property
    def stop(self) -> int:
        return self.stretches[-1].stop


def encode(symbols: Integers, index: Integers, tables: Tables, lanes: int | None = None) -> bytes:
    """Bytes of symbols (n,), each coded by the table index[i]; TensorError for symbols that int32 does not hold.

    >>> tables, index = Tables((0,), ((2048, 2047, 1),)), np.zeros(4, np.uint8)
    >>> decode(encode(np.array([0, 1, 7, -7], np.int32), index, tables), index, tables).tolist()
    [0, 1, 7, -7]
    """
    return Coder(tables, index, lanes).encode(symbols)


def decode(data: bytes | memoryview, index: Integers, tables: Tables, lanes: int | None = None) -> Symbols:
    """The symbols (n,) that `encode` was given with the same index, tables and lanes; TensorError for other bytes."""
    return Coder(tables, index, lanes).decode(data)


def decode_many(payloads: Sequence[bytes | memoryview], index: Integers, tables: Tables, lanes: int | None = None) -> Symbols:
    """Symbols (payloads, n) of several payloads of the same index."""
    return Coder(tables, index, lanes).decode_many(payloads)


def _widened(x: Wide, words: NDArray[np.uint32], at: int) -> tuple[Wide, int]:
    """Twice the states, the new ones on the words written last (zeros below the first word), and where the words end now."""
    new = np.zeros(x.size, np.uint64)
    there = min(at, x.size)
    new[x.size - there :] = words[at - there : at]
    new |= np.uint64(1 << 32)
    return np.concatenate((x, new)), at - there
