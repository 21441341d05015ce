"""A Delta of vectors alone in as few bytes as it needs: many small changes of normalisation, whose names would outweigh values.

    file  = "EWD2" · form (1 byte) · base · parent · size of the head before and after it was deflated · head · codes
    head  = method · result · number of changes · paths, sorted, each by what it shares with the one before ·
            of each change one more than its last element, and a bitmap where some are left out · exponent · steps
    codes = int8, change by change

In the general form of `edgewise.codec.delta` a change of 38 vectors, 1,376 values, takes 3,138 bytes at int8 and 5,855 at
float32; here about 1,600. A step is 11 bits of a number and 5 of an exponent below the largest step's, rounded up: at most 0.05 %
wider than it need be. What is coded is a Rows whose rows are the elements of a vector, as error feedback sends it
(`edgewise.codec.feedback`). Decoding is exact float32 arithmetic: steps are whole numbers times powers of two. (Ours.)

Only int8: at the other precisions values are most of the file anyway. Whatever else is in a Delta goes in the general form. Bytes
come from elsewhere: every size is checked before anything is made of it, and what is wrong in any way is a ModelError.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.varint import read, write
from edgewise.core.delta import FLOAT, Delta, Rows, check
from edgewise.core.errors import ModelError

MAGIC = b"EWD2"
LARGEST_HEAD = 8 << 20  # bytes; this and the next bound hold for the general form, too
MOST_CHANGES = 100_000
LONGEST_TEXT = 1000
MOST_ELEMENTS = 1 << 24  # of one vector
_HASH, _SAME = 1, 2  # forms: base and parent are 64 hex digits; parent is base
_DIGITS = frozenset("0123456789abcdef")
_BITS = 11
_DEEPEST = 31  # powers of two below the largest step
_FINEST = 1e-30  # a step below this is left to the general form


def encode(delta: Delta) -> bytes | None:
    """The Delta at int8; None where it is not of vectors alone, or its values are too unlike for this form."""
    changes: list[tuple[str, Rows]] = []
    for path, change in sorted(delta.changes.items()):
        check(path, change)
        if not isinstance(change, Rows) or change.values.ndim != 1 or not len(change.values) or len(path.encode()) > LONGEST_TEXT:
            return None
        if int(change.indices[-1]) >= min(MOST_ELEMENTS, 64 * len(change.indices)):
            return None  # so sparse that gaps say it better
        changes.append((path, change))
    coarse = [float(np.abs(change.values).max()) / 127 for _, change in changes]
    widest = max(coarse, default=0.0)
    if not changes or not _FINEST < widest < 1e36 or any(0 < c < max(widest * 2.0 ** (1 - _DEEPEST), _FINEST) for c in coarse):
        return None
    top = math.frexp(widest)[1] + 1
    steps = [_step(c, top) for c in coarse]
    head = bytearray(_text(delta.method) + _text(delta.result) + write(len(changes)))
    before = b""
    for path, _ in changes:
        name = path.encode()
        shared = next((i for i, (a, b) in enumerate(zip(name, before)) if a != b), min(len(name), len(before)))
        head += write(shared) + write(len(name) - shared) + name[shared:]
        before = name
    for _, change in changes:
        last = int(change.indices[-1])
        whole = len(change.indices) == last + 1
        head += write((last + 1) << 1 | (not whole))
        if not whole:
            there = np.zeros(last + 1, np.uint8)
            there[change.indices] = 1
            head += np.packbits(there).tobytes()
    head += struct.pack("<h", top) + np.array(steps, "<u2").tobytes()
    codes = b"".join(
        np.rint(change.values / _value(step, top)).clip(-127, 127).astype(np.int8).tobytes()
        for (_, change), step in zip(changes, steps, strict=True)
    )
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = squeezed.compress(bytes(head)) + squeezed.flush()
    hashes = all(len(a) == 64 and set(a) <= _DIGITS for a in (delta.base, delta.parent))
    form = hashes * _HASH | (delta.base == delta.parent) * _SAME
    names = [delta.base] if form & _SAME else [delta.base, delta.parent]
    said = b"".join(bytes.fromhex(n) if hashes else _text(n) for n in names)
    return MAGIC + bytes([form]) + said + write(len(head)) + write(len(small)) + small + codes


def decode(data: bytes, largest: int) -> Delta:
    """The Delta in `data`; ModelError where there is none, or where it would unpack to more than `largest` bytes."""
    reader = _Reader(data, 5)
    form = data[4] if len(data) > 4 else 0xFF
    if data[:4] != MAGIC or form & ~(_HASH | _SAME):
        raise _damaged("its first bytes", data[:5])
    base = reader.digest() if form & _HASH else reader.text()
    parent = base if form & _SAME else reader.digest() if form & _HASH else reader.text()
    size, packed = reader.number(), reader.number()
    if size > min(LARGEST_HEAD, largest):
        raise ModelError("a delta is too large", got=f"a head of {size} bytes", allowed=f"{min(LARGEST_HEAD, largest)} bytes")
    unpack = zlib.decompressobj(-15)
    try:
        head = _Reader(unpack.decompress(reader.take(packed), size + 1))
    except zlib.error as error:
        raise _damaged("its head", error) from None
    if len(head.data) != size or not unpack.eof or unpack.unused_data:
        raise _damaged("its head", f"{len(head.data)} bytes for {size}")
    method, result, count = head.text(), head.text(), head.number()
    if count > MOST_CHANGES or count > size:
        raise ModelError("a delta has too many changes", got=count, allowed=MOST_CHANGES)
    paths: list[bytes] = []
    for _ in range(count):
        shared = head.number()
        before = paths[-1] if paths else b""
        if shared > len(before):
            raise _damaged("a path", f"{shared} bytes of one of {len(before)}")
        name = before[:shared] + head.take(min(head.number(), LONGEST_TEXT + 1))
        if len(name) > LONGEST_TEXT or (paths and name <= before):
            raise _damaged("a path", repr(name[:40]))
        paths.append(name)
    left = len(data) - reader.at  # codes: no change has more elements than there are
    indices = []
    for _ in paths:
        indices.append(head.places(left))
        left -= len(indices[-1])
    (top,) = struct.unpack("<h", head.take(2))
    steps = np.frombuffer(head.take(2 * count), "<u2").tolist()
    if head.at != size or not -300 <= top <= 130 or left:
        raise _damaged("its length", f"{len(data) - reader.at} codes")
    if 12 * (len(data) - reader.at) > largest:
        raise ModelError("a delta is too large", got=f"{len(data) - reader.at} values", allowed=f"{largest} bytes when unpacked")
    changes = {}
    for name, places, step in zip(paths, indices, steps, strict=True):
        codes = np.frombuffer(reader.take(len(places)), np.int8)
        with np.errstate(all="ignore"):
            values = codes.astype(np.float32) * _value(step, top)
        change = Rows(places, np.asarray(values, FLOAT))
        try:
            path = name.decode()
        except UnicodeDecodeError:
            raise _damaged("a path", repr(name[:40])) from None
        check(path, change)
        changes[path] = change
    return Delta(base, parent, method, dict(changes), result)


class _Reader:
    """Bytes from a place on; a ModelError where there are not as many as are asked for."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise _damaged("its length", f"{len(self.data) - self.at} bytes for {count}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        found = read(self.data, self.at)
        if found is None:
            raise _damaged("a number", f"no end at byte {self.at}")
        value, self.at = found
        return value

    def text(self) -> str:
        size = self.number()
        if size > LONGEST_TEXT:
            raise _damaged("a name", f"{size} bytes")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise _damaged("a name", "no text") from None

    def digest(self) -> str:
        return self.take(32).hex()

    def places(self, most: int) -> NDArray[np.int64]:
        """The elements of one change, `most` at most."""
        said = self.number()
        length = said >> 1
        if not 0 < length <= MOST_ELEMENTS:
            raise _damaged("a vector", f"{length} elements")
        if not said & 1:
            if length > most:
                raise _damaged("a vector", f"{length} elements")
            return np.arange(length, dtype=np.int64)
        bits = np.unpackbits(np.frombuffer(self.take(-(-length // 8)), np.uint8), count=length)
        if not bits[-1]:
            raise _damaged("a vector", "a last element that is not there")
        return np.flatnonzero(bits).astype(np.int64)


def _step(coarse: float, top: int) -> int:
    """The code of the smallest step that is no finer than this; the finest there is for a vector of zeros."""
    if not coarse:
        return _DEEPEST << _BITS
    mantissa, exponent = math.frexp(coarse)  # 0.5 … 1
    number = math.ceil(mantissa * (1 << (_BITS + 1)))  # 2048 … 4096
    if number == 1 << (_BITS + 1):
        number, exponent = 1 << _BITS, exponent + 1
    return (top - exponent) << _BITS | (number - (1 << _BITS))


def _value(code: int, top: int) -> np.float32:
    """The step of a code, exactly."""
    number = (code & ((1 << _BITS) - 1)) + (1 << _BITS)
    return np.float32(math.ldexp(number, top - (code >> _BITS) - _BITS - 1))


def _text(value: str) -> bytes:
    data = value.encode()
    return write(len(data)) + data


def _damaged(what: str, got: object) -> ModelError:
    return ModelError(
        f"a delta is damaged: {what} cannot be read", got=got, allowed="a delta as `edgewise.codec.delta` writes it"
    )
