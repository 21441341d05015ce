"""A parcel: the one file of a route, a coded delta with the manifest that it leads to.

    EWP1 | length of the packed manifest (u32, big-endian) | manifest, deflated against the base's manifest | delta

Two versions' manifests differ by a few hashes, so a manifest of 11 KB travels in a few hundred bytes when the old one is the
dictionary (RFC 1950, §2.2). It does not know the delta (`edgewise.codec.delta`), nor whether the two belong together: the
hashes say so.
"""

from __future__ import annotations

import struct
import zlib

from edgewise.core.artifact import LARGEST_MANIFEST, MANIFEST
from edgewise.core.errors import ModelError
from edgewise.runtime.update import Files, rebuilt, route

MAGIC = b"EWP1"
_HEAD = struct.Struct(">4sI")
_WINDOW = 32 << 10  # what deflate looks back to; the end of a longer manifest is the likelier part


def parcel(base_files: Files, new_files: Files, delta: bytes = b"") -> bytes:
    """The parcel that takes a base to a new version; ModelError where more than parameters differs between them.

    `delta` is the coded one by which the version was made, where that is at hand; else the exact one is found.
    """
    if delta:
        rebuilt(base_files, delta, new_files[MANIFEST])
    else:
        delta = route(base_files, new_files)
    deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_DEFAULT_STRATEGY, base_files[MANIFEST][-_WINDOW:])
    manifest = deflate.compress(new_files[MANIFEST]) + deflate.flush()
    return _HEAD.pack(MAGIC, len(manifest)) + manifest + delta


def unpacked(base_files: Files, data: bytes) -> dict[str, bytes]:
    """The files of the version that a parcel leads to from its base; ModelError unless every hash is that of its manifest."""
    if len(data) < _HEAD.size:
        raise ModelError("a parcel is too short", got=f"{len(data)} bytes", allowed=f"{_HEAD.size} or more")
    magic, length = _HEAD.unpack_from(data)
    if magic != MAGIC or length > len(data) - _HEAD.size:
        raise ModelError("bytes are no parcel", got=f"{magic!r}, {length} bytes of manifest in {len(data)}", allowed=MAGIC)
    inflate = zlib.decompressobj(zdict=base_files[MANIFEST][-_WINDOW:])
    try:
        manifest = inflate.decompress(data[_HEAD.size : _HEAD.size + length], LARGEST_MANIFEST + 1)
    except zlib.error as error:
        raise ModelError("a parcel's manifest cannot be unpacked", got=error, hint="It belongs to another base.") from None
    if not inflate.eof or inflate.unused_data:
        raise ModelError("a parcel's manifest does not end where it should", allowed=f"{LARGEST_MANIFEST} bytes at most")
    return rebuilt(base_files, data[_HEAD.size + length :], manifest)
