"""The codecs that a node has ready, bounded by what they hold: the one least lately used goes where they grow too large together.

A codec with tables holds tens of megabytes for a decoder, and a bundle may have as many codings as it says. One that went is made
again when a frame asks for it, which takes milliseconds. It does not know what codecs do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgewise.codec.features import FeatureCodec
from edgewise.codec.select import Codec

MOST = 512 << 20  # bytes


class Codecs:
    """Codecs by address of their bundle and name of their point, `most` bytes of them (or the one in use); for any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[tuple[str, str], Codec] = {}  # the one used last at the end
        self._lock = threading.Lock()

    def of(self, address: str, point: str, make: Callable[[], Codec]) -> Codec:
        """The codec of a point; `make` is asked where it is not here."""
        with self._lock:
            codec = self._kept.pop((address, point), None) or make()
            self._kept[address, point] = codec
            while len(self._kept) > 1 and self._held() > self._most:
                del self._kept[next(iter(self._kept))]
            return codec

    def drop(self, address: str) -> None:
        """Forget those of a bundle."""
        with self._lock:
            self._kept = {key: codec for key, codec in self._kept.items() if key[0] != address}

    def __len__(self) -> int:
        return len(self._kept)

    def _held(self) -> int:
        return sum(codec.held for codec in self._kept.values() if isinstance(codec, FeatureCodec))
