"""An Artifact: model parts, preprocessing, bottleneck ranges and operating points under one content address.

On disk it is a folder, a *bundle*: `manifest.json` and the ONNX files that it names. The address is the SHA-256 of the
manifest's canonical bytes (which hold the hash of every part), so one address names one behaviour, to the byte.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from edgewise.core.placement import OperatingPoint

MANIFEST = "manifest.json"


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor's ONNX name, dtype (numpy's word) and shape; None is a free dimension (the batch)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class PartFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One ONNX file of a bundle, with the hash that it must have."""

    file: str
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


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
    """Everything that a bundle says of itself. `parts` are named head, tail and local; `provenance` says how it was made."""

    name: str
    task: Literal["detection"]
    labels: tuple[str, ...]
    parts: dict[str, PartFile]
    pictures: dict[str, Picture]
    bottleneck: Bottleneck
    decoding: Decoding
    points: tuple[OperatingPoint, ...]
    provenance: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The content address: 64 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def point(self, name: str) -> OperatingPoint:
        return next(p for p in self.points if p.name == name)
