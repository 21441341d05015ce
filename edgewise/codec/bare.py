"""What is left of a picture's file where both sides know everything but the picture: the fair count against a learned codec.

A learned codec's tables, shapes and model travel once with the model, and its frame holds symbols alone. A file repeats its own
with every picture: of a JPEG of 128 × 128 pixels at quality 10 a sixth are headers and tables, of an AVIF more than a half. Both
sides could agree on them as they agree on a model, since at one size, quality and encoder they hardly change:

    jpeg   the entropy-coded data of its scans (ISO 10918-1, B.1). The Huffman tables must be the standard's own (`small=False`):
           a file's optimised ones are not known to who reads it
    webp   the VP8 frame, without RIFF and chunk headers (RFC 9649, 2)
    avif   the AV1 data (`mdat`), without the boxes that describe it (ISO 14496-12, 8.1.1)

This counts; it writes no such stream.
"""

from __future__ import annotations

from edgewise.codec.image import Kind
from edgewise.core.errors import ImageError


def bare_bytes(kind: Kind, file: bytes | memoryview) -> int:
    """Bytes of `file` that describe the picture itself; ImageError for a file that is none of that kind, or has no end."""
    return {"jpeg": _scans, "webp": _frame, "avif": _media}[kind](bytes(file))


def _scans(data: bytes) -> int:
    at, count = 2, 0
    if data[:2] != b"\xff\xd8":
        raise ImageError("bytes are no JPEG", got=data[:2].hex(" ") or "nothing", allowed="ff d8 at their beginning")
    while data[at : at + 2] != b"\xff\xd9":
        if at + 4 > len(data) or data[at] != 0xFF:
            raise ImageError("a JPEG has no end", got=f"{len(data)} bytes", allowed="markers up to ff d9")
        begins = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        at = _scan_end(data, begins) if data[at + 1] == 0xDA else begins
        count += at - begins
    return count


def _scan_end(data: bytes, at: int) -> int:
    """Where the entropy-coded data that begin at `at` end: at the next marker that is neither a stuffed byte nor a restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2


def _frame(data: bytes) -> int:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ImageError("bytes are no WebP", got=data[:12].hex(" ") or "nothing", allowed="RIFF … WEBP at their beginning")
    at, count = 12, 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise ImageError("a WebP has no end", got=f"{len(data)} bytes", allowed=f"{at + 8 + size} or more")
        count += size if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ALPH") else 0
        at += 8 + size + size % 2
    return count


def _media(data: bytes) -> int:
    if data[4:8] != b"ftyp":
        raise ImageError("bytes are no AVIF", got=data[:8].hex(" ") or "nothing", allowed="a box ftyp at their beginning")
    at, count = 0, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data):
            raise ImageError("an AVIF has no end", got=f"{len(data)} bytes", allowed="whole boxes of 8 bytes or more")
        count += size - 8 if data[at + 4 : at + 8] == b"mdat" else 0
        at += size
    return count
