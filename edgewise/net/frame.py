"""One frame on the wire: 24 bytes of header, then the payload. Big-endian.

    offset  0  2  3  4   6   8  12  16  20  24
            EW v  k  fl  st  fr  bu  le  cr  payload …

`EW` magic, `v` version, `k` kind, `fl` flags (u16: `edgewise.net.teaching`), `st` stream (u16), `fr` frame number (u32), `bu` the
time left when it was sent (µs, u32), `le` length of the payload (u32), `cr` CRC-32 of everything before and after it (u32).

What is constant for a stream (model, shape, dtype, codec) is agreed once in HELLO: a msgpack map that said it in every frame
would take 172 bytes, beside bottlenecks of 300–900. The frame does not know who sent it, nor what its payload means.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from zlib import crc32

from msgspec import Struct

from edgewise.core.errors import FrameError

MAGIC = b"EW"
VERSION = 2
NO_DEADLINE = 0xFFFF_FFFF
_FIELDS = struct.Struct(">2sBBHHIII")
_WHOLE = struct.Struct(">2sBBHHIIII")
HEADER_SIZE = _WHOLE.size


class Kind(IntEnum):
    """What a frame is for; which side may send it stands in docs/protocol.md."""

    HELLO = 1
    WELCOME = 2
    DATA = 3
    ANSWER = 4
    REFUSE = 5
    CANCEL = 6
    CREDIT = 7
    PING = 8
    PONG = 9
    ITEM = 10
    BYE = 11
    ACK = 12
    NEWS = 13
    LEARN = 14
    SAMPLE = 15


_KINDS: dict[int, Kind] = {int(kind): kind for kind in Kind}


class Header(Struct, frozen=True, gc=False):
    """`frame` and `stream` say what it belongs to; `budget_us` is the time left (µs) when it was sent."""

    kind: Kind
    frame: int = 0
    stream: int = 0
    budget_us: int = NO_DEADLINE
    flags: int = 0


def budget_us(deadline: float, now: float) -> int:
    """Time left (µs) until `deadline` (s), as the header holds it: 0 when it is over, NO_DEADLINE where there is none.

    >>> budget_us(12.5, 12.0)
    500000
    """
    left = (deadline - now) * 1e6
    return NO_DEADLINE if left >= NO_DEADLINE else max(0, int(left))


def encode(header: Header, payload: bytes | memoryview = b"") -> bytes:
    """The frame's bytes; the payload is copied once. FrameError where a number does not fit its field."""
    try:
        head = _FIELDS.pack(
            MAGIC, VERSION, header.kind, header.flags, header.stream, header.frame, header.budget_us, len(payload)
        )
    except struct.error as error:
        raise FrameError(
            "a number does not fit the header of a frame", got=f"{header}: {error}", allowed="stream < 65536, frame < 2**32"
        ) from None
    return b"".join((head, crc32(payload, crc32(head)).to_bytes(4, "big"), payload))


def decode(data: bytes | memoryview, max_payload: int) -> tuple[Header, memoryview]:
    """Header and payload (a view of `data`, not a copy), or a FrameError that says what is wrong with them."""
    size = len(data)
    if size < HEADER_SIZE:
        raise FrameError("a frame is too short for its header", got=f"{size} bytes", allowed=f"{HEADER_SIZE} or more")
    magic, version, number, flags, stream, frame, budget, length, check = _WHOLE.unpack_from(data)
    if magic != MAGIC:
        raise FrameError("bytes do not begin a frame", got=magic, allowed=MAGIC, hint="Is the other side an edgewise node?")
    if version != VERSION:
        raise FrameError("a frame speaks another version", got=version, allowed=VERSION, hint="Update the older side.")
    if length > max_payload:
        raise FrameError("a frame is oversized", got=f"{length} bytes of payload", allowed=f"{max_payload} at most")
    if length != size - HEADER_SIZE:
        raise FrameError("a frame is truncated or overlong", got=f"{size - HEADER_SIZE} bytes of payload", allowed=length)
    view = memoryview(data)
    if crc32(view[HEADER_SIZE:], crc32(view[: _FIELDS.size])) != check:
        raise FrameError("a frame was damaged on its way", got="another CRC-32", allowed=f"{check:08x}")
    kind = _KINDS.get(number)
    if kind is None:
        raise FrameError("a frame is of an unknown kind", got=number, allowed=f"1 to {max(_KINDS)}")
    return Header(kind, frame, stream, budget, flags), view[HEADER_SIZE:]
