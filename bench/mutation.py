"""Hostile bytes from valid ones: bits flipped, pieces cut, doubled and spliced, lengths that lie, nesting without end.

Everything comes from the random generator that is given, so a case is the same again from the same seed. It does not know what
the bytes mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

LARGEST = 64 << 10  # bytes of a case
WORDS = (
    *(n.to_bytes(size, order) for n in (0, 1, 2**7 - 1, 2**31 - 1, 2**32 - 1) for size in (4,) for order in ("big", "little")),
    *(n.to_bytes(8, "little") for n in (2**31, 2**63 - 1, 2**64 - 1)),
    b"\xdd\xff\xff\xff\xff",  # msgpack: an array, a map, bytes and text of 2**32 - 1
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",  # a double that is not a number, and one that is infinite
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xc0",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # protobuf: a number of ten bytes
    b"1e999",
    b"-1",
    b"99999999999999999999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"../",
    b"\x00",
    b"\xff\xfe",
    "\u202e\ud7ff".encode(),
    b"\\ud800",
    b'"',
    b"\r\n",
)
NESTS = (b"\x91", b"\x81\x01", b"[", b'{"a":', b"(", b"[[", b"\x0a", b"a=", b"[a.b.")


def mutated(random: Random, seeds: Sequence[bytes], words: Sequence[bytes] = WORDS) -> bytes:
    """One case: a seed with one to five things done to it; now and then a seed as it is, or nothing but noise."""
    chance = random.random()
    if chance < 0.02:
        return random.randbytes(random.randrange(200))
    data = bytearray(seeds[random.randrange(len(seeds))])
    if chance < 0.04:
        return bytes(data)
    while True:
        _change(random, data, seeds, words)
        if len(data) > LARGEST:
            del data[LARGEST:]
        if random.random() < 0.55:
            return bytes(data)


def _change(random: Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    size = len(data)
    at = random.randrange(size + 1)
    what = random.randrange(16)
    if what < 4 and size:  # a bit
        data[at % size] ^= 1 << random.randrange(8)
    elif what < 6 and size:  # a byte
        data[at % size] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    elif what < 7:  # truncated
        del data[at:]
    elif what < 8:  # a piece is missing
        del data[at : at + 1 + random.randrange(1 + size // 4)]
    elif what < 9:  # a piece comes twice, or often
        piece = data[at : at + 1 + random.randrange(32)]
        data[at:at] = piece * random.choice((1, 1, 2, 16, 200))
    elif what < 10:  # the head of this and the tail of another
        other = seeds[random.randrange(len(seeds))]
        data[at:] = other[random.randrange(len(other) + 1) :]
    elif what < 11:  # a piece of another in the middle of this
        other = seeds[random.randrange(len(seeds))]
        start = random.randrange(len(other) + 1)
        data[at:at] = other[start : start + random.randrange(64)]
    elif what < 14:  # a word that means something, over what is there or between
        word = random.choice(words)
        data[at : at + (len(word) if random.random() < 0.6 else 0)] = word
    elif what < 15:  # noise
        data[at : at + random.randrange(8)] = random.randbytes(random.randrange(1, 16))
    elif random.random() < 0.15:  # nesting
        data[at:at] = random.choice(NESTS) * random.choice((8, 64, 600, 5000))
    elif size:  # a number of the text, another one
        digits = [i for i in range(at, min(size, at + 64)) if 48 <= data[i] <= 57]
        for i in digits:
            data[i] = 48 + random.randrange(10)
