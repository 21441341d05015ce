"""A frame in layers: what stands around the bytes of each, so that any number of whole layers is a frame, too.

    frame   format u8 · layers u8 · layer · layer · …
    layer   2·length + stored, 7 bits a byte, the lowest first · CRC-32 · `length` bytes

The second byte says how many layers the encoder wrote; a frame that was cut behind one of them has fewer, and both are readable.
The CRC begins with a seed that the two sides have in common (the coding, and the layer's number), so that bytes which another
table wrote, or which stood elsewhere, are found before they are decoded. It does not know what a layer says
(`edgewise.codec.features`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msgspec import Struct

from edgewise.codec import varint
from edgewise.core.errors import TensorError

FORMAT, HEADER, CRC = 1, 2, 4


class Place(Struct, frozen=True):
    """Where a layer lies in a frame: its length, its body behind the CRC, its end; and whether the body is stored packed."""

    start: int
    body: int
    end: int
    stored: bool


def header(count: int) -> bytes:
    """The first bytes of a frame of `count` layers."""
    return bytes((FORMAT, count))


def written(body: bytes, stored: bool, seed: int) -> bytes:
    """A layer around its body.

    >>> frame = header(1) + written(b"body", False, 7)
    >>> [place] = places(memoryview(frame), 1)
    >>> frame[place.body : place.end]
    b'body'
    """
    length = varint.write(len(body) << 1 | stored)
    return length + zlib.crc32(body, zlib.crc32(length, seed)).to_bytes(CRC, "big") + body


def check(view: memoryview, place: Place, seed: int, number: int) -> None:
    """TensorError where the layer `number` (from 0 on) has not the CRC that it should have."""
    found = zlib.crc32(view[place.body : place.end], zlib.crc32(view[place.start : place.body - CRC], seed))
    if found != int.from_bytes(view[place.body - CRC : place.body], "big"):
        raise TensorError(
            f"layer {number + 1} of a frame is damaged, or was written with another coding",
            got=f"CRC-32 {found:08x}",
            allowed=view[place.body - CRC : place.body].hex(),
            hint="Do both sides use the same bundle?",
        )


def places(view: memoryview, total: int) -> tuple[Place, ...]:
    """Where the layers of a frame lie; TensorError where it does not end with one of them."""
    if len(view) < HEADER:
        raise TensorError("features are too short for their header", got=f"{len(view)} bytes", allowed=f"{HEADER} or more")
    if view[0] != FORMAT:
        raise TensorError("bytes are no features of a known format", got=view[0], allowed=FORMAT)
    if view[1] > total:
        raise TensorError("a frame has more layers than its stream", got=view[1], allowed=total)
    parts: list[Place] = []
    at = HEADER
    while at < len(view):
        found = varint.read(view, at)
        if found is None:
            raise TensorError("a layer has no length", got=f"{len(view)} bytes of a frame")
        length, body = found[0], found[1] + CRC
        end = body + (length >> 1)
        if end > len(view) or len(parts) == view[1]:
            raise TensorError(
                "a frame is truncated or overlong",
                got=f"{len(view)} bytes, {view[1]} layers announced",
                hint="It may be cut at one of its prefixes alone.",
            )
        parts.append(Place(at, body, end, bool(length & 1)))
        at = end
    return tuple(parts)


class Layers(Struct, frozen=True):
    """The container of a stream: the seeds of its layers, which are as many as a whole frame has."""

    seeds: tuple[int, ...]
    least: int = HEADER

    def joined(self, bodies: Sequence[tuple[bytes, bool]]) -> bytes:
        """A frame of bodies, each stored packed or not."""
        parts = [written(body, stored, seed) for (body, stored), seed in zip(bodies, self.seeds, strict=False)]
        return header(len(parts)) + b"".join(parts)

    def size(self, body: int, number: int) -> int:
        """What layer `number` adds to a frame with a body of so many bytes."""
        return len(varint.write(body << 1)) + CRC + body

    def places(self, view: memoryview) -> tuple[Place, ...]:
        return places(view, len(self.seeds))

    def check(self, view: memoryview, place: Place, number: int) -> None:
        check(view, place, self.seeds[number], number)

    def offered(self, view: memoryview) -> int:
        """How many layers the frame had when it was written; it is one (`places`)."""
        return view[1]
