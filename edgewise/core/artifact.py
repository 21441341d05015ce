"""An Artifact: model parts, preprocessing, bottleneck ranges and operating points under one content address.

On disk it is a folder, a *bundle*: `manifest.json` and the ONNX files that it names. The manifest is written in one way only, its
canonical form (JSON, sorted keys, no space), and the address is the SHA-256 of these bytes: so the address is also the
hash of the file `manifest.json`. They hold the hash and size of every part, so one address names one behaviour, to the byte.

`parameters` says which values of the parts may change and by what name: a Delta (`edgewise.core.delta`) speaks of paths, an ONNX
file of initialisers. What is not in the map is graph.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.core.release import Digest, Size

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 4 << 20
PartName = Literal["head", "tail", "local"]
PARTS: tuple[PartName, ...] = ("head", "tail", "local")


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor's ONNX name, dtype (numpy's word) and shape; None is a free dimension (the batch)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class PartFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One ONNX file of a bundle, with the hash and the size (bytes) that it must have."""

    file: str
    sha256: Digest
    size: Size
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Parameter(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a parameter lies: the part, and the name of the initialiser in its ONNX file."""

    part: str
    initialiser: Annotated[str, Meta(min_length=1, max_length=500)]


class Picture(Struct, frozen=True, forbid_unknown_fields=True):
    """What a part wants to see: an RGB picture of `width` × `height`, uint8, height-width-channel, stretched to fit."""

    width: int
    height: int


class Bottleneck(Struct, frozen=True, forbid_unknown_fields=True):
    """The tensor that crosses the link (channel, height, width) and the range of each channel for affine uint8 codes."""

    shape: tuple[int, int, int]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Decoding(Struct, frozen=True, forbid_unknown_fields=True):
    """How outputs become an Answer: score threshold, overlap (IoU) above which the weaker box goes, cells of the grid."""

    threshold: float
    overlap: float
    cell_threshold: float
    rows: int
    columns: int


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a bundle says of itself. `parts` are named head, tail and local; `provenance` says how it was made.

    `probe` names sources with known truth (`junction:SEED:CONDITION`) on which a device measures a new version's quality.
    """

    name: str
    task: Literal["detection"]
    labels: tuple[str, ...]
    parts: dict[str, PartFile]
    pictures: dict[str, Picture]
    bottleneck: Bottleneck
    decoding: Decoding
    points: tuple[OperatingPoint, ...]
    parameters: Annotated[dict[str, Parameter], Meta(max_length=100_000)] = {}
    provenance: dict[str, str] = {}
    probe: Annotated[tuple[str, ...], Meta(max_length=16)] = ()

    @property
    def canonical(self) -> bytes:
        """The bytes of `manifest.json`."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def address(self) -> str:
        """The content address: 64 hex digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    def point(self, name: str) -> OperatingPoint:
        return next(p for p in self.points if p.name == name)


def parse(data: bytes, where: str = "") -> Manifest:
    """The manifest in `data`, checked field by field and against itself; ModelError where it is none, or not canonical.

    `where` names its place in the sentence. The files that it names are not touched.
    """
    of = f"the manifest of {where}" if where else "a manifest"
    if len(data) > LARGEST_MANIFEST:
        raise ModelError(f"{of} is too large", got=f"{len(data)} bytes", allowed=f"{LARGEST_MANIFEST} bytes")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{of} cannot be read", got=error) from None
    _consistent(manifest)
    if manifest.canonical != data:
        raise ModelError(
            f"{of} is not in its canonical form",
            hint="Its address would not be the hash of its file. Write the bundle with edgewise.",
        )
    return manifest


def _consistent(manifest: Manifest) -> None:
    """ModelError where a manifest contradicts itself, or names what no bundle has."""
    wrong = [name for name in manifest.parts if name not in PARTS]
    if wrong or not manifest.parts:
        raise ModelError("a bundle names unknown parts", got=", ".join(wrong) or "none", allowed=", ".join(PARTS))
    if ("head" in manifest.parts) != ("tail" in manifest.parts):
        raise ModelError("a bundle with a head needs its tail", got=", ".join(manifest.parts), allowed="both or neither")
    files = [part.file for part in manifest.parts.values()]
    for name, part in manifest.parts.items():
        if part.file in ("", ".", "..", MANIFEST) or "/" in part.file or "\\" in part.file or "\0" in part.file:
            raise ModelError(
                f"part {name} lies outside its bundle", got=part.file, allowed="the name of a file in the bundle's folder"
            )
        if files.count(part.file) > 1:
            raise ModelError("two parts of a bundle are one file", got=part.file, allowed="a file for each part")
    pictured = [name for name in manifest.pictures if name not in manifest.parts]
    if pictured:
        raise ModelError("a bundle describes the picture of a part that it has not", got=", ".join(pictured))
    channels = manifest.bottleneck.shape[0]
    if not channels == len(manifest.bottleneck.low) == len(manifest.bottleneck.high):
        raise ModelError(
            "a bottleneck needs a range for each channel",
            got=f"{len(manifest.bottleneck.low)} lows and {len(manifest.bottleneck.high)} highs for {channels} channels",
        )
    homeless = [path for path, p in manifest.parameters.items() if p.part not in manifest.parts]
    if homeless:
        raise ModelError("a bundle names a parameter of a part that it has not", got=homeless[0])
    if len({(p.part, p.initialiser) for p in manifest.parameters.values()}) < len(manifest.parameters):
        raise ModelError("a bundle gives one initialiser two parameter paths", allowed="one path for each")
