"""News: what a server tells a node, the site's signed documents packed together. Opaque to the session that carries it.

It is read before anything is verified, so it is bounded: one assignment, as many releases as an assignment can name, one trust.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edgewise.core.errors import FrameError
from edgewise.core.release import LARGEST_ENVELOPE

LARGEST_NEWS = 2 << 20
MOST_RELEASES = 16


class News(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Packed envelopes: an assignment, the releases that it names, and the trust (empty: the one that the node knows)."""

    assignment: Annotated[bytes, Meta(max_length=LARGEST_ENVELOPE)]
    releases: Annotated[tuple[bytes, ...], Meta(max_length=MOST_RELEASES)] = ()
    trust: Annotated[bytes, Meta(max_length=LARGEST_ENVELOPE)] = b""


def pack_news(news: News) -> bytes:
    return msgspec.msgpack.encode(news)


def unpack_news(data: bytes) -> News:
    """The news in `data`; FrameError where there is none."""
    if len(data) > LARGEST_NEWS:
        raise FrameError("news is too large", got=f"{len(data)} bytes", allowed=f"{LARGEST_NEWS}")
    try:
        return msgspec.msgpack.decode(data, type=News)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError("news cannot be read", got=error) from None
