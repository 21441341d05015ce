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

import numpy as np
from numpy.typing import NDArray

from edgewise.codec import escapes
from edgewise.codec.order import Integers, Order, Symbols, Wide
from edgewise.codec.payload import join, part
from edgewise.codec.stack import Many, Single, damaged, indices
from edgewise.codec.tables import ESCAPED, Tables
from edgewise.core.errors import TensorError


class Coder:
    """Codes sequences in which index[i] is the table of symbol i. Prepared once, used for every frame, by any thread.

    `lanes` follows by default from n and the tables; both sides need the same.
    """

    def __init__(self, tables: Tables, index: Integers, lanes: int | None = None) -> None:
        self.tables, self.base = tables, 24 if tables.precision <= 12 else 32
        self.order = Order(tables, index, lanes, self.base + 8)
        self.n = self.order.n

    def encode(self, symbols: Integers) -> bytes:
        """Bytes of symbols (n,), any that int32 holds; TensorError for another shape or type."""
        if symbols.shape != (self.n,) or not np.can_cast(symbols.dtype, np.int32):
            raise TensorError(
                "symbols are not those of their coder", got=f"{symbols.dtype} {symbols.shape}", allowed=f"int32 ({self.n},)"
            )
        if not self.n:
            return b""
        values, outside = np.ascontiguousarray(symbols, np.int32), []
        words, at = np.empty(self.order.padded // 2, np.uint32), 0
        x = np.full(1, 1 << self.base, np.uint64)
        for block in self.order.blocks:
            letters = np.empty(block.stop - block.first, np.intp)
            for piece in block.pieces:
                outside += piece.letters(values, letters[piece.first - block.first : piece.stop - block.first])
            letters[self.n - block.first :] = self.tables.letters.padding
            f, c = self.tables.letters.frequency.take(letters), self.tables.letters.below.take(letters)
            for stretch in block.stretches:
                if stretch.lanes > x.size:
                    x, at = _widened(x, stretch.lanes, words, at)
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
        full, whole, word = np.empty(x.size, np.bool_), np.empty_like(x), np.full(x.size, 32, np.uint64)
        greater, divide, multiply, add = np.greater, np.floor_divide, np.multiply, np.add
        for limit, f0, r0, c0, f1, r1, c1 in zip(most, f[:, 0], rest[:, 0], c[:, 0], f[:, 1], rest[:, 1], c[:, 1], strict=True):
            (where,) = greater(x, limit, full).nonzero()
            if where.size:
                leaving, end = x.take(where), at + where.size
                words[at:end], at = leaving, end
                leaving >>= word[: where.size]
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
        found = np.empty((len(payloads), self.order.padded), np.int32)
        if not found.size:
            return found[:, : self.n]
        parts = [part(data, self.order.lanes, self.base, self.order.padded // 2) for data in payloads]
        words = [p.words for p in parts]
        stack = Single(words[0], self.order.lanes) if len(parts) == 1 else Many(words, self.order.lanes)
        x = np.concatenate([p.states for p in parts])
        for stretch, rows in zip(reversed(self.order.stretches), reversed(self.order.rows), strict=True):
            if stretch.lanes * len(parts) < x.size:
                x = _narrowed(x.reshape(len(parts), -1), stretch.lanes, stack)
            slots = self._pull(x.reshape(-1, stretch.lanes) if len(parts) > 1 else x, rows, stack)
            symbols = self.tables.slots.symbol.take(indices(slots))  # (rows, payloads, lanes) or (rows, lanes)
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
        places, figures = indices(slots), np.empty((*x.shape, 2), np.uint64)
        frequency, into = figures[..., 0], figures[..., 1]
        flat, short = x.reshape(-1), np.empty(x.shape, np.bool_)
        flat_short, word = short.reshape(-1), np.full(x.size, 32, np.uint64)
        p = self.tables.precision
        inside, bits, least = (np.full(x.shape, v, np.uint64) for v in ((1 << p) - 1, p, 1 << self.base))
        take, read = self.tables.slots.row.take, stack.take
        both, add, shift, multiply, less = np.bitwise_and, np.add, np.right_shift, np.multiply, np.less
        seconds, firsts = ((slots[i::-2], places[i::-2], rows[i::-2]) for i in (len(rows) - 1, len(rows) - 2))
        for slot1, place1, row1, slot0, place0, row0 in zip(*seconds, *firsts, strict=True):
            both(x, inside, slot1)
            add(slot1, row1, slot1)
            take(place1, 0, figures, "clip")
            shift(x, bits, x)
            multiply(x, frequency, x)
            add(x, into, x)
            both(x, inside, slot0)
            add(slot0, row0, slot0)
            take(place0, 0, figures, "clip")
            shift(x, bits, x)
            multiply(x, frequency, x)
            add(x, into, x)
            less(x, least, short)
            (where,) = flat_short.nonzero()
            if where.size:
                filled = flat.take(where)
                filled <<= word[: where.size]
                filled |= read(where)
                flat.put(where, filled)
        return slots

    def _escape(self, symbols: Symbols, data: bytes) -> None:
        """Put escaped symbols (n,) where they belong."""
        if not data and int(symbols.min()) != ESCAPED:
            return
        (where,) = (symbols == ESCAPED).nonzero()
        values, table, letters = escapes.read(data, where.size), self.order.index.take(where), self.tables.letters
        values += np.where(values < 0, 0, letters.escape.take(table).astype(np.int32))
        symbols[where] = values + letters.offset.take(table)


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


def _widened(x: Wide, lanes: int, words: NDArray[np.uint32], at: int) -> tuple[Wide, int]:
    """`lanes` states, the new ones on the words written last (zeros below the first word), and where the words then end."""
    new = np.zeros(lanes - x.size, np.uint64)
    there = min(at, new.size)
    new[new.size - there :] = words[at - there : at]
    new |= np.uint64(1 << 32)
    return np.concatenate((x, new)), at - there


def _narrowed(x: Wide, lanes: int, stack: Single | Many) -> Wide:
    """The first `lanes` of states (payloads, lanes before), flat; the words of the others go back."""
    ended = x[:, lanes:]
    wrong = ended >> np.uint64(32) != 1
    if wrong.any():
        raise damaged(int(wrong.any(axis=1).argmax()))
    stack.give(ended & np.uint64((1 << 32) - 1))
    return np.ascontiguousarray(x[:, :lanes]).reshape(-1)
