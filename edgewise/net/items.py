"""An item of a device's outbox: what goes up at least once on the wire, and counts exactly once in effect.

`seq` counts up within an outbox's epoch and never restarts; `after` is the number of the item before it that is not given up, so
that a receiver knows a gap that the sender made (and counted) from one that it must not accept.

A session knows an outbox by three words (`Outbox`); what stands behind it, a disk or memory, is `edgewise.node.store`'s.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from edgewise.core.errors import FrameError

LAST = 0xFFFF_FFFF
LARGEST_BODY = 64 << 10  # bytes; a larger item would stand in the way of frames
LARGEST_MESSAGE = 2 * LARGEST_BODY  # bytes of one ITEM frame's payload
_OVERHEAD = 32  # bytes that an item takes beside its body, at most
Sequence = Annotated[int, Meta(ge=0, le=LAST)]


class Item(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`body` is what its `kind` says: `rows` of telemetry, a `report` of delivery."""

    after: Sequence
    seq: Annotated[int, Meta(ge=1, le=LAST)]
    kind: Annotated[str, Meta(min_length=1, max_length=16)]
    body: bytes

    @property
    def cost(self) -> int:
        """Bytes on the wire, about."""
        return len(self.body) + _OVERHEAD


class Outbox(Protocol):
    """What a device's session asks of an outbox. A StoreError of either method is told, counted and tried again."""

    @property
    def epoch(self) -> str:
        """Names the row of numbers."""
        ...

    def waiting(self, after: int, limit_bytes: int) -> list[Item]:
        """Items with numbers above `after`, ascending, of `limit_bytes` together; the first in any case."""
        ...

    def acked(self, seq: int) -> None:
        """A server has all items up to `seq` durably: they need not wait any longer."""
        ...


_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[list[Item]] = msgspec.msgpack.Decoder(
    Annotated[list[Item], Meta(min_length=1, max_length=1024)]
)


def pack_items(items: Several[Item]) -> bytes:
    return _ENCODER.encode(items)


def unpack_items(payload: bytes | memoryview) -> list[Item]:
    """The items of one ITEM frame, their numbers rising; FrameError where they cannot be read."""
    if len(payload) > LARGEST_MESSAGE:
        raise FrameError("items are oversized", got=f"{len(payload)} bytes", allowed=LARGEST_MESSAGE)
    try:
        items = _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise FrameError("items cannot be read", got=error, hint="Do both sides run the same version?") from None
    before = -1
    for item in items:
        if not before < item.seq > item.after:
            raise FrameError("items do not count up", got=f"{item.seq} after {max(before, item.after)}", allowed="rising numbers")
        if len(item.body) > LARGEST_BODY:
            raise FrameError("an item is oversized", got=f"{len(item.body)} bytes", allowed=LARGEST_BODY)
        before = item.seq
    return items
