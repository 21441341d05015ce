"""An item of a device's outbox: what goes up at least once on the wire, and counts exactly once in effect.

`seq` counts up within an outbox's epoch and never restarts; `after` is the number of the item before it that is not given up, so
that a receiver knows a gap that the sender made (and counted) from one that it must not accept.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LAST = 0xFFFF_FFFF
Sequence = Annotated[int, Meta(ge=0, le=LAST)]


class Item(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`body` is what its `kind` says: `rows` of telemetry, a `report` of delivery."""

    after: Sequence
    seq: Annotated[int, Meta(ge=1, le=LAST)]
    kind: Annotated[str, Meta(min_length=1, max_length=16)]
    body: bytes
