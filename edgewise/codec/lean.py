"""A frame in layers that says as little as it can: for frames of a few hundred bytes, where each byte is half a percent.

    frame   layers u8 · layer · layer · …            of a stream of one layer: layer, or 0 for none
    layer   length LEB128 · CRC-16 · `length` bytes  without the length where it is the last of all that were written

What a stream agrees on is not said again: no format, and whether a body is stored packed follows from its length, because coded
it is shorter. A frame that was cut behind a layer still holds that layer's length, and the last one's is the rest. The CRC
(CCITT) finds what another coding wrote, a layer out of its place, and damage within 16 bits in a row; of anything else one in
65,536 passes here, and damage on a link is found by the CRC-32 of the wire's frame. Same methods as
`edgewise.codec.layers.Layers`.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from msgspec import Struct

from edgewise.codec import varint
from edgewise.codec.layers import Place
from edgewise.core.errors import TensorError

CRC = 2


class Lean(Struct, frozen=True):
    """The container of a stream: of each layer the seed and the bytes of its packed codes."""

    seeds: tuple[int, ...]
    packed: tuple[int, ...]
    least: int = 1

    @property
    def total(self) -> int:
        return len(self.seeds)

    def joined(self, bodies: Sequence[tuple[bytes, bool]]) -> bytes:
        """A frame of bodies, each stored packed or not."""
        parts = [b"" if self.total == 1 and bodies else bytes((len(bodies),))]
        for number, (body, _) in enumerate(bodies):
            length = b"" if number == len(bodies) - 1 else varint.write(len(body))
            parts += [length, self._crc(length, body, number).to_bytes(CRC, "big"), body]
        return b"".join(parts)

    def size(self, body: int, number: int) -> int:
        """What layer `number` adds to a frame with a body of so many bytes, at most: as the last one it says no length."""
        if self.total == 1:
            return CRC + body - self.least
        return CRC + body + (len(varint.write(body)) if number < self.total - 1 else 0)

    def places(self, view: memoryview) -> tuple[Place, ...]:
        """Where the layers of a frame lie; TensorError where it does not end with one of them."""
        if not len(view):
            raise TensorError("features are too short", got="0 bytes", allowed="1 or more")
        if self.total == 1:
            return () if bytes(view) == b"\0" else (self._place(view, 0, 0, len(view), 0),)
        if view[0] > self.total:
            raise TensorError("a frame has more layers than its stream", got=view[0], allowed=self.total)
        parts: list[Place] = []
        at = 1
        while at < len(view):
            number, start = len(parts), at
            end = len(view)
            if number < view[0] - 1:
                found = varint.read(view, at)
                if found is None:
                    raise TensorError("a layer has no length", got=f"{len(view)} bytes of a frame")
                length, at = found
                end = at + CRC + length
            if number == view[0] or end > len(view):
                raise _cut(view, view[0])
            parts.append(self._place(view, start, at, end, number))
            at = end
        return tuple(parts)

    def check(self, view: memoryview, place: Place, number: int) -> None:
        """TensorError where the layer `number` (from 0 on) has not the CRC that it should have."""
        said = int.from_bytes(view[place.body - CRC : place.body], "big")
        found = self._crc(view[place.start : place.body - CRC], view[place.body : place.end], number)
        if found != said:
            raise TensorError(
                f"layer {number + 1} of a frame is damaged, or was written with another coding",
                got=f"CRC-16 {found:04x}",
                allowed=f"{said:04x}",
                hint="Do both sides use the same bundle?",
            )

    def offered(self, view: memoryview) -> int:
        """How many layers the frame had when it was written; it is one (`places`)."""
        return int(len(view) > 1) if self.total == 1 else view[0]

    def _place(self, view: memoryview, start: int, at: int, end: int, number: int) -> Place:
        if end - at <= CRC:
            raise _cut(view, number + 1)
        return Place(start, at + CRC, end, end - at - CRC == self.packed[number])

    def _crc(self, length: bytes | memoryview, body: bytes | memoryview, number: int) -> int:
        return binascii.crc_hqx(body, binascii.crc_hqx(length, self.seeds[number] & 0xFFFF))


def _cut(view: memoryview, announced: int) -> TensorError:
    return TensorError(
        "a frame is truncated or overlong",
        got=f"{len(view)} bytes, {announced} layers announced",
        hint="It may be cut at one of its prefixes alone.",
    )
