"""Samples on their way in: pieces become a whole Sample, one at a time, within the memory and the bytes that a device is allowed.

What cannot be a sample ends in a FrameError. A piece from the beginning begins anew, whatever lay there; a number that was whole
already is not told twice.
"""

from __future__ import annotations

from edgewise.core.errors import FrameError
from edgewise.core.learning import Sample
from edgewise.net.messages import Piece, unpack


class Assembly:
    """The sample that is coming in over one connection, and how far it is."""

    def __init__(self) -> None:
        self._number = 0
        self._total = 0
        self._body = bytearray()
        self._whole = 0  # the highest number that was whole, or is skipped

    def __len__(self) -> int:
        """Bytes of the sample that are here."""
        return len(self._body)

    def add(self, number: int, piece: Piece) -> Sample | None:
        """The sample, where this was its last piece; FrameError where the piece is none that could come now."""
        if number <= self._whole:
            return None
        if piece.offset == 0:
            self._number, self._total = number, piece.total
            self._body.clear()
        if (number, piece.offset, piece.total) != (self._number, len(self._body), self._total):
            got = f"{piece.offset} of {piece.total} of sample {number}"
            self.skip(number)
            raise FrameError("a piece of a sample follows nothing", got=got, allowed="one piece after the other")
        if piece.offset + len(piece.body) > piece.total:
            self.skip(number)
            raise FrameError("a piece of a sample is too long", got=len(piece.body), allowed=piece.total - piece.offset)
        self._body += piece.body
        if len(self._body) < self._total:
            return None
        whole = bytes(self._body)
        self.skip(number)
        return unpack(Sample, whole)

    def skip(self, number: int) -> None:
        """Nothing more of this sample is looked at, nor of those before it."""
        self._body.clear()
        self._number, self._total, self._whole = 0, 0, max(self._whole, number)
