"""From one version of a bundle to the next by a delta, in bytes: `updated` makes it, `rebuilt` makes it again elsewhere.

A bundle is here its files by name, `manifest.json` included. A delta overwrites initialisers in the part files, in place, so the
graph and the length stay; the new manifest has the new hashes, and its provenance says from which version and by which method
it came. Whoever has the files of the base, the delta and the new manifest gets the same bytes, or an error: what leaves `rebuilt`
has exactly the hashes of the manifest, whatever the delta was.

    publisher   data = encode(delta, "int8")     new = updated(base, data)      ships data and new["manifest.json"]
    device      rebuilt(base, data, manifest)  == new

A lossy coding costs nothing here: the publisher's version is made of the delta as it is decoded.
`route` finds the exact delta between two bundles that were made in some other way.

It does not know who signed the manifest, nor how good the new version is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.codec.delta import decode, encode
from edgewise.core.artifact import MANIFEST, Bottleneck, Coding, Manifest, parse
from edgewise.core.delta import Change, Delta, Full, Rows, apply
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.initialisers import patched, values

Files = Mapping[str, bytes]


def updated(
    files: Files,
    delta: Delta | bytes,
    *,
    points: tuple[OperatingPoint, ...] | None = None,
    bottleneck: Bottleneck | None = None,
    codings: Mapping[str, Coding] | None = None,
    provenance: Mapping[str, str] = {},
) -> dict[str, bytes]:
    """The files of the version that `delta` (coded, or as a value) makes of the version in `files`.

    Pass the bytes that will be shipped: then their rounding is in the new version. `points` are the operating points with the
    quality of the new version, `bottleneck` its new ranges, `codings` its re-fitted tables. Without new points the old stay, and
    `points_of` says whose they are.
    """
    old = manifest_of(files)
    change = decode(delta, _bound(files)) if isinstance(delta, bytes) else delta
    parts = _patched_parts(files, old, change)
    made = {"base": change.base, "parent": old.address, "method": change.method}
    if points is None:
        made["points_of"] = old.provenance.get("points_of", old.address)
    said = {k: v for k, v in old.provenance.items() if k != "points_of"} | made | dict(provenance)
    new = replace(
        old,
        parts={
            name: replace(part, sha256=hashlib.sha256(parts[part.file]).hexdigest(), size=len(parts[part.file]))
            for name, part in old.parts.items()
        },
        points=old.points if points is None else points,
        bottleneck=old.bottleneck if bottleneck is None else bottleneck,
        codings=old.codings if codings is None else dict(codings),
        provenance=said,
    )
    return {MANIFEST: new.canonical, **parts}


def rebuilt(base_files: Files, delta: bytes, manifest: bytes) -> dict[str, bytes]:
    """The files of the version that `manifest` describes, made of the base's by a delta; ModelError unless all hashes fit."""
    new = parse(manifest)
    old = manifest_of(base_files)
    if {n: p.file for n, p in new.parts.items()} != {n: p.file for n, p in old.parts.items()}:
        raise ModelError("a delta cannot add or rename parts", got=", ".join(new.parts), allowed=", ".join(old.parts))
    parts = _patched_parts(base_files, old, decode(delta, _bound(base_files)))
    for name, part in new.parts.items():
        found = hashlib.sha256(parts[part.file]).hexdigest()
        if found != part.sha256 or len(parts[part.file]) != part.size:
            raise ModelError(
                f"part {name} is not what the new manifest describes after its delta",
                got=f"SHA-256 {found}",
                allowed=part.sha256,
                hint="The delta belongs to another version; the whole files will do.",
            )
    return {MANIFEST: manifest, **parts}


def route(base_files: Files, new_files: Files) -> bytes:
    """An exact delta, coded, that takes a base to a new version; ModelError where more than parameters differs between them."""
    old, new = manifest_of(base_files), manifest_of(new_files)
    if {n: p.file for n, p in new.parts.items()} != {n: p.file for n, p in old.parts.items()}:
        raise ModelError("no delta leads from one bundle to the other", got=", ".join(new.parts), allowed=", ".join(old.parts))
    before = parameters(base_files, old)
    changes: dict[str, Change] = {}
    for name, part in old.parts.items():
        a, b = base_files[part.file], new_files[part.file]
        if a == b:
            continue
        names = {path: p.initialiser for path, p in old.parameters.items() if p.part == name}
        after = values(b, names.values())
        for path, initialiser in names.items():
            value = after[initialiser]
            if value.dtype == before[path].dtype and value.shape == before[path].shape and _bits(value) != _bits(before[path]):
                changes[path] = exact(before[path], value)
        told = {names[path]: after[names[path]] for path in changes.keys() & names.keys()}
        if len(a) != len(b) or patched(a, told) != b:
            raise ModelError(
                f"no delta leads from one bundle to the other: the graph of part {name} differs",
                got=f"{len(a)} and {len(b)} bytes",
                allowed="files that differ in their parameters alone",
                hint="Ship the whole files.",
            )
    origin = old.provenance.get("base", old.address)
    data = encode(Delta(origin, old.address, new.provenance.get("method", "route"), changes, new.address), "float32")
    rebuilt(base_files, data, new_files[MANIFEST])
    return data


def exact(old: NDArray[Any], new: NDArray[Any]) -> Change:
    """The smaller change that makes exactly `new` of `old`: the rows that differ where adding can make them, else all values."""
    if new.dtype == np.float32 and new.ndim:
        differ = (new.view(np.uint32) != old.view(np.uint32)).reshape(len(new), -1).any(axis=1)
        indices = np.flatnonzero(differ)
        with np.errstate(all="ignore"):
            added = new[indices] - old[indices]
            reached = old[indices] + added
        if 2 * len(indices) <= len(new) and _bits(reached) == _bits(new[indices]):
            return Rows(indices, added)
    return Full(new)


def parameters(files: Files, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Every parameter of a bundle by its path."""
    found: dict[str, NDArray[Any]] = {}
    for name, part in manifest.parts.items():
        names = {path: p.initialiser for path, p in manifest.parameters.items() if p.part == name}
        lying = values(files[part.file], names.values()) if names else {}
        found |= {path: lying[initialiser] for path, initialiser in names.items()}
    return found


def manifest_of(files: Files) -> Manifest:
    """The manifest of a bundle's files, and its word kept: every part is there with its size and hash."""
    if MANIFEST not in files:
        raise ModelError("there is no manifest among a bundle's files", got=", ".join(files) or "none", allowed=MANIFEST)
    manifest = parse(files[MANIFEST])
    for name, part in manifest.parts.items():
        whole = part.file in files and len(files[part.file]) == part.size
        if not whole or hashlib.sha256(files[part.file]).hexdigest() != part.sha256:
            raise ModelError(
                f"part {name} of the bundle {manifest.name} is not the file that its manifest describes",
                got=f"{len(files[part.file])} bytes" if part.file in files else "nothing",
                allowed=f"{part.size} bytes of SHA-256 {part.sha256}",
            )
    return manifest


def _patched_parts(files: Files, manifest: Manifest, delta: Delta) -> dict[str, bytes]:
    """The part files of a bundle after a delta that was made for it."""
    if delta.parent != manifest.address:
        raise ModelError(
            "a delta is for another version", got=f"parent {delta.parent[:12]}", allowed=f"parent {manifest.address[:12]}"
        )
    after = apply(parameters(files, manifest), delta)
    parts: dict[str, bytes] = {}
    for name, part in manifest.parts.items():
        places = {path: p.initialiser for path, p in manifest.parameters.items() if p.part == name}
        new = {places[path]: after[path] for path in delta.changes.keys() & places.keys()}
        parts[part.file] = patched(files[part.file], new) if new else files[part.file]
    return parts


def _bound(files: Files) -> int:
    """Bytes that a delta for these files may unpack to: it need not say more than every value twice over."""
    return 2 * sum(len(data) for data in files.values()) + (1 << 20)


def _bits(array: NDArray[Any]) -> bytes:
    return array.tobytes()
