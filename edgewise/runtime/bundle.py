"""A Bundle is an Artifact on disk: a folder with `manifest.json` and the ONNX files that it names.

A bundle comes from elsewhere, so nothing in it is believed: the manifest is checked field by field, every file must lie
in the folder itself and have the hash that the manifest gives it, and the bytes that were hashed are the bytes that run.

It does not know who made a bundle (signatures belong to delivery), nor whether its answers are good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgewise.core.artifact import MANIFEST, Bottleneck, Decoding, Manifest, PartFile, Picture
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.session import Session

PartName = Literal["head", "tail", "local"]
PARTS: tuple[PartName, ...] = ("head", "tail", "local")
LARGEST_MANIFEST = 4 << 20


class Bundle:
    """An opened bundle: `manifest`, its `address`, and a session for each part, made when it is first asked for.

    >>> Bundle.open("edgewise/bundles/vehicles").session("head")  # doctest: +SKIP
    """

    def __init__(self, folder: Path, manifest: Manifest, models: Mapping[str, bytes]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.address = manifest.address
        self._models = dict(models)
        self._sessions: dict[tuple[str, int, tuple[str, ...] | None], Session] = {}

    @staticmethod
    def open(path: str | Path) -> Bundle:
        """Read and check a bundle; ModelError where the folder is not what its manifest says."""
        folder = Path(path)
        manifest = read_manifest(folder)
        return Bundle(folder, manifest, {name: _part(folder, name, part) for name, part in manifest.parts.items()})

    def session(self, part: PartName, threads: int = 1, providers: tuple[str, ...] | None = None) -> Session:
        """The session of a part; the same one each time it is asked for in the same way."""
        if part not in self._models:
            raise ModelError(
                f"the bundle {self.manifest.name} has no such part", got=part, allowed=", ".join(sorted(self._models))
            )
        key = (part, threads, providers)
        if key not in self._sessions:
            session = Session.load(self._models[part], threads, providers)
            _agree(f"part {part} of {self.manifest.name}", self.manifest.parts[part], session)
            session.name = f"{self.manifest.name}/{part}"
            self._sessions[key] = session
        return self._sessions[key]

    def size(self) -> int:
        """Bytes of all parts on disk."""
        return sum(len(m) for m in self._models.values())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle's folder, checked by itself; the files that it names are not touched."""
    file = folder / MANIFEST
    if not file.is_file():
        raise ModelError("there is no bundle here", got=folder, allowed=f"a folder that holds {MANIFEST} and the files it names")
    if file.stat().st_size > LARGEST_MANIFEST:
        raise ModelError("a manifest is too large", got=f"{file.stat().st_size} bytes", allowed=f"{LARGEST_MANIFEST} bytes")
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelError(f"the manifest of {folder} cannot be read", got=str(error)) from error
    wrong = [name for name in manifest.parts if name not in PARTS]
    if wrong or not manifest.parts:
        raise ModelError("a bundle names unknown parts", got=", ".join(wrong) or "none", allowed=", ".join(PARTS))
    if ("head" in manifest.parts) != ("tail" in manifest.parts):
        raise ModelError("a bundle with a head needs its tail", got=", ".join(manifest.parts), allowed="both or neither")
    pictured = [name for name in manifest.pictures if name not in manifest.parts]
    if pictured:
        raise ModelError("a bundle describes the picture of a part that it has not", got=", ".join(pictured))
    channels = manifest.bottleneck.shape[0]
    if not channels == len(manifest.bottleneck.low) == len(manifest.bottleneck.high):
        raise ModelError(
            "a bottleneck needs a range for each channel",
            got=f"{len(manifest.bottleneck.low)} lows and {len(manifest.bottleneck.high)} highs for {channels} channels",
        )
    return manifest


def write_bundle(
    folder: str | Path,
    *,
    name: str,
    labels: tuple[str, ...],
    parts: Mapping[PartName, bytes],
    pictures: Mapping[str, Picture],
    bottleneck: Bottleneck,
    decoding: Decoding,
    points: tuple[OperatingPoint, ...],
    provenance: Mapping[str, str],
) -> Manifest:
    """Write the parts and the manifest that describes them; the inputs and outputs are read from the models themselves."""
    target = Path(folder)
    files: dict[str, PartFile] = {}
    for part, model in parts.items():
        session = Session.load(model)
        files[part] = PartFile(f"{part}.onnx", hashlib.sha256(model).hexdigest(), session.inputs, session.outputs)
    manifest = Manifest(
        name=name,
        task="detection",
        labels=labels,
        parts=files,
        pictures=dict(pictures),
        bottleneck=bottleneck,
        decoding=decoding,
        points=points,
        provenance=dict(provenance),
    )
    target.mkdir(parents=True, exist_ok=True)
    for part, model in parts.items():
        (target / files[part].file).write_bytes(model)
    (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n")
    return manifest


def _part(folder: Path, name: str, part: PartFile) -> bytes:
    """The bytes of one part; a path that leaves the folder, also by a symbolic link, is refused before it is read."""
    file = folder / part.file
    if Path(part.file).name != part.file or file.resolve().parent != folder.resolve():
        raise ModelError(
            f"part {name} lies outside its bundle", got=part.file, allowed="the name of a file in the bundle's folder"
        )
    if not file.is_file():
        raise ModelError(f"part {name} of the bundle {folder} is missing", got=part.file)
    model = file.read_bytes()
    found = hashlib.sha256(model).hexdigest()
    if found != part.sha256:
        raise ModelError(
            f"part {name} of the bundle {folder} is not the file that its manifest describes",
            got=f"SHA-256 {found}",
            allowed=part.sha256,
            hint="Copy the bundle again, or write it anew.",
        )
    return model


def _agree(what: str, part: PartFile, session: Session) -> None:
    """A model whose tensors are not those of the manifest is refused before a frame meets it."""
    for kind, told, found in (("inputs", part.inputs, session.inputs), ("outputs", part.outputs, session.outputs)):
        if told != found:
            raise ModelError(
                f"the {kind} of {what} are not those of its manifest",
                got="; ".join(f"{t.name} {t.dtype} {t.shape}" for t in found),
                allowed="; ".join(f"{t.name} {t.dtype} {t.shape}" for t in told),
            )
