"""An Artifact: model parts, preprocessing, bottleneck ranges and operating points under one content address.

On disk it is a folder, a *bundle*: `manifest.json` and the ONNX files that it names. The manifest is written in one way only, its
canonical form (JSON, sorted keys, no space), and the address is the SHA-256 of these bytes: so the address is also the
hash of the file `manifest.json`. They hold the hash and size of every part, so one address names one behaviour, to the byte.

`parameters` says which values of the parts may change and by what name: a Delta (`edgewise.core.delta`) speaks of paths, an ONNX
file of initialisers. What is not in the map is graph.

    picture → head → bottleneck → │ link │ → tail → answer                        without a filter
    picture → filter → present?, early → head → bottleneck → │ link │ → tail      with one
    picture → exit → sure: answer; else early → head → bottleneck → │ link │ → tail → answer      with an early exit
    picture → local → answer          picture → │ link │ → full, or filter and head and tail → answer
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edgewise.core.coding import Coding
from edgewise.core.coherent import MANIFEST, PARTS, PartName, consistent
from edgewise.core.decoding import Classes, Decoding, Grid, Raw, Regions, Several, Things, Told
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.core.release import Digest, Size

__all__ = [
    "LARGEST_MANIFEST",
    "MANIFEST",
    "PARTS",
    "Bottleneck",
    "Classes",
    "Coding",
    "Decoding",
    "Exit",
    "Filter",
    "Grid",
    "Manifest",
    "Parameter",
    "PartFile",
    "PartName",
    "Picture",
    "Raw",
    "Regions",
    "Several",
    "Task",
    "TensorSpec",
    "Things",
    "Told",
    "parse",
]
LARGEST_MANIFEST = 4 << 20
Task = Literal["detection", "classification", "segmentation", "other", "several"]


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
    """The tensor that crosses the link: its shape without the batch (channel, height, width; token, channel; …), which of the
    dimensions is the channel, and the range of each channel for affine codes.
    """

    shape: Annotated[tuple[int, ...], Meta(min_length=1, max_length=4)]
    low: tuple[float, ...]
    high: tuple[float, ...]
    axis: int = 0

    @property
    def channels(self) -> int:
        return self.shape[self.axis]


class Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """When the part `filter` lets a sample go: `present` ≥ `threshold`. A sample below costs no byte and is answered as empty.

    The threshold keeps at least the share `recall` of the samples with an `of` in them, with `confidence`, judged on `n` samples
    that chose nothing else. The share `learn` of what is dropped still goes up for learning.
    """

    threshold: float
    recall: Annotated[float, Meta(gt=0, le=1)]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    n: Annotated[int, Meta(ge=0)]
    of: str
    learn: Annotated[float, Meta(ge=0, le=1)] = 0.02


class Exit(Struct, frozen=True, forbid_unknown_fields=True):
    """When the part `exit` answers by itself, at a point of the mode `exit`: its doubt, 1 − the probability of its likeliest
    class, is below `doubt`.

    By that the share `risk` of all samples at most gets another class than the tail's, with `confidence`, judged on `n` samples
    that chose nothing else.
    """

    doubt: float
    risk: Annotated[float, Meta(gt=0, lt=1)]
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    n: Annotated[int, Meta(ge=0)]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a bundle says of itself. `parts` are named as in PARTS; `provenance` says how it was made.

    `pictures` says what picture a part takes; a part that takes none (audio) has no entry there, and its sample is the float32
    array of its input's shape. `codings` are those of the points that have the codec `rans`, by the point's name.

    `probe` names sources with known truth (`junction:SEED:CONDITION`) on which a device measures a new version's quality.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    parts: dict[str, PartFile]
    pictures: dict[str, Picture]
    bottleneck: Bottleneck | None
    decoding: Decoding
    points: tuple[OperatingPoint, ...]
    parameters: Annotated[dict[str, Parameter], Meta(max_length=100_000)] = {}
    provenance: dict[str, str] = {}
    probe: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    codings: Annotated[dict[str, Coding], Meta(max_length=64)] = {}
    filter: Filter | None = None
    exit: Exit | UnsetType = UNSET

    @property
    def canonical(self) -> bytes:
        """The bytes of `manifest.json`."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def address(self) -> str:
        """The content address: 64 hex digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def crossing(self) -> Bottleneck:
        """The bottleneck; ModelError where nothing crosses, because the model is not cut."""
        if self.bottleneck is None:
            raise ModelError(f"the bundle {self.name} has no bottleneck", got=", ".join(self.parts), allowed="a head and a tail")
        return self.bottleneck

    @property
    def first(self) -> PartName:
        """The part of a split that takes the sample: the filter or the exit where there is one, else the head."""
        return "filter" if "filter" in self.parts else "exit" if "exit" in self.parts else "head"

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
        raise ModelError(
            f"{of} cannot be read", got=error, hint="A bundle of an older or newer edgewise has to be written anew."
        ) from None
    consistent(manifest)
    if manifest.canonical != data:
        raise ModelError(
            f"{of} is not in its canonical form",
            hint="Its address would not be the hash of its file. Write the bundle with edgewise.",
        )
    return manifest
