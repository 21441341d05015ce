"""The answer to GET /files/<sha256> with a Range, as values: status, headers, and which bytes. After RFC 9110 §13.1.5, §14.

A file is named by its hash, so it never changes, and its hash is its strong ETag. One range is served; what asks for several, or
cannot be read, is answered with the whole file, as the RFC allows. It does not know where files are, nor who may have them.
"""

from __future__ import annotations

import re

from msgspec import Struct

DIGEST = re.compile(r"[0-9a-f]{64}\Z")
PREFIX = "/files/"
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*\Z", re.IGNORECASE)


class Part(Struct, frozen=True):
    """Send `status`, `headers` and the bytes from `start` up to `stop`; where there are none, `sentence` is the body."""

    status: int
    headers: dict[str, str]
    start: int = 0
    stop: int = 0
    sentence: str = ""


def path(sha256: str) -> str:
    """Where a server has the file of this hash."""
    return PREFIX + sha256


def part(sha256: str, size: int | None, wanted: str | None = None, only_if: str | None = None) -> Part:
    """The answer for the file `sha256` of `size` bytes (None: it is not here), with the headers Range and If-Range.

    >>> part("ab" * 32, 1000, "bytes=900-").headers["Content-Range"]
    'bytes 900-999/1000'
    """
    if not DIGEST.match(sha256):
        return Part(404, {}, sentence="A file is asked for by its SHA-256: 64 hex digits in lower case.\n")
    if size is None:
        return Part(404, {}, sentence=f"There is no file {sha256} here.\n")
    tag = f'"{sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Content-Type": "application/octet-stream",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    asked = _RANGE.match(wanted) if wanted is not None else None
    if asked is None or asked.groups() == ("", "") or (only_if is not None and only_if.strip() != tag):
        return Part(200, headers | {"Content-Length": str(size)}, 0, size)
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return Part(200, headers | {"Content-Length": str(size)}, 0, size)  # no valid range: as if there were none
    if start >= size:
        sentence = f"The file has {size} bytes.\n"
        return Part(416, headers | {"Content-Range": f"bytes */{size}"}, sentence=sentence)
    content = {"Content-Length": str(stop - start), "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Part(206, headers | content, start, stop)
