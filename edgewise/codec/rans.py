"""Interleaved rANS in NumPy: integers to nearly as few bytes as their tables allow, and back, bit-exactly.

Symbol i is coded by lane i mod lanes; all lanes take a step at once, so that NumPy's vectors do the work that a compiled loop
does elsewhere. State x of a lane: encode x → ⌊x/f⌋·M + c + x mod f, decode slot = x mod M, x → f·⌊x/M⌋ + slot − c (Duda 2013,
split.md 2.7). A symbol outside its table is coded as the escape and written beside the states as a variable-length integer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.tables import Tables
from edgewise.core.errors import TensorError

Symbols = NDArray[np.int32]


class Coder:
    """A sequence of `n` symbols whose tables are known: index[i] is the table of symbol i. Prepared once, used for every frame."""

    def __init__(self, tables: Tables, index: NDArray[np.integer], lanes: int | None = None) -> None:
        self.n = int(index.size)
        if self.n and not 0 <= int(index.min()) <= int(index.max()) < len(tables):
            raise TensorError(
                "a symbol has no table", got=f"index {int(index.min())} to {int(index.max())}", allowed=f"0 to {len(tables) - 1}"
            )
        self.tables, self.precision = tables, tables.precision
        self.lanes = min(lanes or max(4, self.n // 512), max(1, self.n))
        sizes = np.array([len(t) for t in tables.frequencies], np.int64)
        starts = np.cumsum(sizes) - sizes
        index = index.astype(np.int64).reshape(-1)
        self._index = index
        self._start, self._size = starts[index], sizes[index]
        self._offset = np.array(tables.offsets, np.int64)[index]
        self._f = np.concatenate([np.array(t, np.uint64) for t in tables.frequencies]) if len(tables) else np.zeros(0, np.uint64)
        self._c = (
            np.concatenate([np.cumsum(t) - np.array(t) for t in tables.frequencies]).astype(np.uint64)
            if len(tables)
            else np.zeros(0, np.uint64)
        )
        self._slot = (
            np.concatenate([np.repeat(np.arange(len(t)), t) for t in tables.frequencies])
            if len(tables)
            else np.zeros(0, np.int64)
        )

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of int32 symbols (n,)."""
        if symbols.shape != (self.n,) or symbols.dtype != np.int32:
            raise TensorError(
                "symbols are not those of the coder", got=f"{symbols.dtype} {symbols.shape}", allowed=f"int32 ({self.n},)"
            )
        if not self.n:
            return b""
        letter = symbols.astype(np.int64) - self._offset
        outside = (letter < 0) | (letter >= self._size - 1)
        escapes = _integers(letter[outside])
        letter = np.where(outside, self._size - 1, letter) + self._start
        f, c, p = self._f[letter], self._c[letter], np.uint64(self.precision)
        x = np.full(self.lanes, 1 << 16, np.uint64)
        words: list[bytes] = []
        for at in range((self.n - 1) // self.lanes * self.lanes, -1, -self.lanes):
            fs, cs = f[at : at + self.lanes], c[at : at + self.lanes]
            y = x[: fs.size]
            full = y >= fs << np.uint64(32 - self.precision)
            words.append(y[full].astype("<u2").tobytes())
            y = np.where(full, y >> np.uint64(16), y)
            q = y // fs
            x[: fs.size] = (q << p) + cs + (y - q * fs)
        head = len(escapes).to_bytes(4, "little")
        return head + escapes + x.astype("<u4").tobytes() + b"".join(reversed(words))

    def decode(self, data: bytes | memoryview) -> Symbols:
        """The symbols again; TensorError for bytes that `encode` never writes, as far as they show."""
        data = bytes(data)
        if not self.n:
            if data:
                raise _damaged(len(data))
            return np.zeros(0, np.int32)
        count = int.from_bytes(data[:4], "little")
        body = data[4 + count :]
        if len(data) < 4 + count + 4 * self.lanes or (len(body) - 4 * self.lanes) % 2:
            raise _damaged(len(data))
        x = np.frombuffer(body, "<u4", self.lanes).astype(np.uint64)
        words = np.frombuffer(body, "<u2", offset=4 * self.lanes).astype(np.uint64)
        p, at_word = np.uint64(self.precision), 0
        letter = np.empty(self.n, np.int64)
        base = self._index << self.precision
        for at in range(0, self.n, self.lanes):
            y = x[: min(self.lanes, self.n - at)]
            slot = y & np.uint64((1 << self.precision) - 1)
            s = self._slot[slot.astype(np.int64) + base[at : at + self.lanes]]
            letter[at : at + self.lanes] = s
            s = s + self._start[at : at + self.lanes]
            y = self._f[s] * (y >> p) + slot - self._c[s]
            low = np.flatnonzero(y < 1 << 16)
            if at_word + low.size > words.size:
                raise _damaged(len(data))
            y[low] = y[low] << np.uint64(16) | words[at_word : at_word + low.size]
            at_word += low.size
            x[: y.size] = y
        if at_word != words.size or (x != 1 << 16).any():
            raise _damaged(len(data))
        outside = letter == self._size - 1
        values = letter + self._offset
        if outside.any() or count:
            values[outside] = _from_integers(data[4 : 4 + count], int(outside.sum())) + self._offset[outside]
        return values.astype(np.int32)

    def decode_many(self, payloads: Sequence[bytes | memoryview]) -> Symbols:
        """Symbols (payloads, n) of several payloads at once."""
        return np.stack([self.decode(p) for p in payloads]) if payloads else np.zeros((0, self.n), np.int32)


def encode(symbols: Symbols, index: NDArray[np.integer], tables: Tables, lanes: int | None = None) -> bytes:
    """Bytes of symbols (n,), each coded by the table index[i].

    >>> from edgewise.codec.tables import Tables
    >>> tables, index = Tables((0,), ((2048, 2047, 1),)), np.zeros(4, np.uint8)
    >>> decode(encode(np.array([0, 1, 7, -7], np.int32), index, tables), index, tables).tolist()
    [0, 1, 7, -7]
    """
    return Coder(tables, index, lanes).encode(symbols)


def decode(data: bytes | memoryview, index: NDArray[np.integer], tables: Tables, lanes: int | None = None) -> Symbols:
    """The symbols (n,) of `encode` with the same index, tables and lanes; TensorError for other bytes."""
    return Coder(tables, index, lanes).decode(data)


def decode_many(
    payloads: Sequence[bytes | memoryview], index: NDArray[np.integer], tables: Tables, lanes: int | None = None
) -> Symbols:
    """Symbols (payloads, n)."""
    return Coder(tables, index, lanes).decode_many(payloads)


def _integers(values: NDArray[np.int64]) -> bytes:
    """Integers, wrapped to 32 bits, the small ones short: 7 bits a byte, the lowest first, the sign in the lowest bit."""
    wrapped = values.astype(np.int32)
    coded = ((wrapped << 1) ^ (wrapped >> 31)).view(np.uint32).astype(np.uint64)
    shifts = np.arange(5, dtype=np.uint64) * np.uint64(7)
    groups = coded[:, None] >> shifts  # (values, 5)
    more = groups >> np.uint64(7) > 0
    there = np.concatenate((np.ones_like(more[:, :1]), more[:, :-1]), axis=1)
    return ((groups & np.uint64(127)) | (more.astype(np.uint64) << np.uint64(7))).astype(np.uint8)[there].tobytes()


def _from_integers(data: bytes, count: int) -> NDArray[np.int64]:
    """`count` integers again, in int32's range; TensorError where `data` holds others."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if ends.size != count or (count and int(ends[-1]) != raw.size - 1) or (raw.size and not count):
        raise _damaged(len(data))
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[:count]
    length = ends - starts
    if count and int(length.max()) > 4:
        raise _damaged(len(data))
    shift = (np.arange(raw.size) - np.repeat(starts, length + 1)) * 7
    parts = (raw & 127).astype(np.uint64) << shift.astype(np.uint64)
    coded = np.add.reduceat(parts, starts) if count else parts
    if count and int(coded.max()) >> 32:
        raise _damaged(len(data))
    coded = coded.astype(np.int64)
    return (coded >> 1) ^ -(coded & 1)


def _damaged(size: int) -> TensorError:
    return TensorError("coded symbols are truncated, overlong or damaged", got=f"{size} bytes")
