"""A Bundle is an Artifact that can be run: opened from a folder with `manifest.json` and the ONNX files that it names, or loaded
from wherever its files lie by their hashes.

A bundle comes from elsewhere, so nothing in it is believed: the manifest is checked field by field, every file must lie
in the folder itself and have the size and hash that the manifest gives it, and the bytes that were hashed are the bytes that run.

It does not know who made a bundle (signatures belong to delivery), nor whether its answers are good. How one version is made of
another by a delta stands in `edgewise.runtime.update`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import UNSET, UnsetType

from edgewise.codec.coding_tables import check_codings
from edgewise.core.artifact import (
    LARGEST_MANIFEST,
    MANIFEST,
    Bottleneck,
    Coding,
    Decoding,
    Exit,
    Filter,
    Manifest,
    Parameter,
    PartFile,
    PartName,
    Picture,
    Task,
    parse,
)
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.core.release import FileEntry
from edgewise.runtime.initialisers import initialisers
from edgewise.runtime.session import Session
from edgewise.runtime.update import parameters, rebuilt, route, updated

__all__ = [
    "Bundle",
    "PartName",
    "bundle_files",
    "parameters",
    "read_manifest",
    "rebuilt",
    "release_files",
    "route",
    "updated",
    "write_bundle",
]
Read = Callable[[str], bytes]  # SHA-256 of a file → its bytes


class Bundle:
    """An opened bundle: `manifest`, its `address`, and a session for each part, made when it is first asked for.

    >>> Bundle.open("edgewise/bundles/vehicles").session("head")  # doctest: +SKIP
    """

    def __init__(self, manifest: Manifest, models: Mapping[str, bytes]) -> None:
        self.manifest = manifest
        self.address = manifest.address
        self._models = dict(models)
        self._sessions: dict[tuple[str, int, tuple[str, ...] | None], Session] = {}

    @staticmethod
    def open(path: str | Path) -> Bundle:
        """Read and check a bundle; ModelError where the folder is not what its manifest says."""
        folder = Path(path)
        manifest = read_manifest(folder)
        return _bundle(manifest, {name: _lying(folder, name, part) for name, part in manifest.parts.items()})

    @staticmethod
    def load(manifest: bytes, read: Read) -> Bundle:
        """A bundle from the bytes of its manifest; `read` gives a file by its hash, and is believed no more than a folder is."""
        described = parse(manifest)
        return _bundle(described, {name: read(part.sha256) for name, part in described.parts.items()})

    @staticmethod
    def of(files: Mapping[str, bytes]) -> Bundle:
        """A bundle from its files by name, such as `bundle_files` gives them; believed no more than a folder is."""
        described = parse(files[MANIFEST])
        return _bundle(described, {name: files[part.file] for name, part in described.parts.items()})

    def session(self, part: PartName, threads: int = 1, providers: tuple[str, ...] | None = None) -> Session:
        """The session of a part; the same one each time it is asked for in the same way."""
        model = self.model(part)
        key = (part, threads, providers)
        if key not in self._sessions:
            session = Session.load(model, threads, providers)
            _agree(f"part {part} of {self.manifest.name}", self.manifest.parts[part], session)
            session.name = f"{self.manifest.name}/{part}"
            self._sessions[key] = session
        return self._sessions[key]

    def model(self, part: PartName) -> bytes:
        """The ONNX file of a part."""
        if part not in self._models:
            raise ModelError(
                f"the bundle {self.manifest.name} has no such part", got=part, allowed=", ".join(sorted(self._models))
            )
        return self._models[part]

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
    return parse(file.read_bytes(), str(folder))


def bundle_files(folder: str | Path) -> dict[str, bytes]:
    """The files of a bundle by name, `manifest.json` first, checked."""
    where = Path(folder)
    manifest = read_manifest(where)
    models = {name: _lying(where, name, part) for name, part in manifest.parts.items()}
    _bundle(manifest, models)
    return {MANIFEST: manifest.canonical} | {part.file: models[name] for name, part in manifest.parts.items()}


def release_files(folder: str | Path) -> dict[str, FileEntry]:
    """The files of a bundle as a Release lists them; the entry of `manifest.json` holds the bundle's address."""
    return {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in bundle_files(folder).items()}


def write_bundle(
    folder: str | Path,
    *,
    name: str,
    labels: tuple[str, ...],
    parts: Mapping[PartName, bytes],
    pictures: Mapping[str, Picture],
    bottleneck: Bottleneck | None,
    decoding: Decoding,
    points: tuple[OperatingPoint, ...],
    provenance: Mapping[str, str],
    parameters: Mapping[str, Parameter] | None = None,
    probe: tuple[str, ...] = (),
    task: Task = "detection",
    codings: Mapping[str, Coding] | None = None,
    filter: Filter | None = None,
    exit: Exit | UnsetType = UNSET,
) -> Manifest:
    """Write the parts and the manifest that describes them; the inputs and outputs are read from the models themselves.

    `parameters` are those that deltas may change; all floats that lie in one piece, as `part.initialiser`, where none are given.
    """
    target = Path(folder)
    files: dict[str, PartFile] = {}
    for part, model in parts.items():
        session = Session.load(model)
        digest = hashlib.sha256(model).hexdigest()
        files[part] = PartFile(f"{part}.onnx", digest, len(model), session.inputs, session.outputs)
    manifest = Manifest(
        name=name,
        task=task,
        labels=labels,
        parts=files,
        pictures=dict(pictures),
        bottleneck=bottleneck,
        decoding=decoding,
        points=points,
        parameters=floats(parts) if parameters is None else dict(parameters),
        provenance=dict(provenance),
        probe=probe,
        codings=dict(codings or {}),
        filter=filter,
        exit=exit,
    )
    _bundle(
        parse(manifest.canonical, name), {str(part): model for part, model in parts.items()}
    )  # what would not open is not written
    target.mkdir(parents=True, exist_ok=True)
    for part, model in parts.items():
        (target / files[part].file).write_bytes(model)
    (target / MANIFEST).write_bytes(manifest.canonical)
    return manifest


def floats(parts: Mapping[PartName, bytes]) -> dict[str, Parameter]:
    """A path for every float32 initialiser that lies in one piece."""
    return {
        f"{part}.{name}": Parameter(part, name)
        for part, model in parts.items()
        for name, one in initialisers(model).items()
        if one.dtype == "float32" and one.place is not None
    }


def _bundle(manifest: Manifest, models: Mapping[str, bytes]) -> Bundle:
    """A bundle of these models, if they are those that the manifest describes and its coder tables can be used."""
    for name, part in manifest.parts.items():
        found = hashlib.sha256(models[name]).hexdigest()
        if found != part.sha256 or len(models[name]) != part.size:
            raise ModelError(
                f"part {name} of the bundle {manifest.name} is not the file that its manifest describes",
                got=f"SHA-256 {found}, {len(models[name])} bytes",
                allowed=f"{part.sha256}, {part.size} bytes",
                hint="Copy the bundle again, or write it anew.",
            )
    check_codings(manifest.codings)
    return Bundle(manifest, models)


def _lying(folder: Path, name: str, part: PartFile) -> bytes:
    """The bytes of a part in a folder; a path that leaves it, by a symbolic link, is refused before it is read."""
    file = folder / part.file
    if file.resolve().parent != folder.resolve():
        raise ModelError(
            f"part {name} lies outside its bundle", got=part.file, allowed="the name of a file in the bundle's folder"
        )
    if not file.is_file():
        raise ModelError(f"part {name} of the bundle {folder} is missing", got=part.file)
    return file.read_bytes()


def _agree(what: str, part: PartFile, session: Session) -> None:
    """A model whose tensors are not those of the manifest is refused before a frame meets it."""
    for kind, told, found in (("inputs", part.inputs, session.inputs), ("outputs", part.outputs, session.outputs)):
        if told != found:
            raise ModelError(
                f"the {kind} of {what} are not those of its manifest",
                got="; ".join(f"{t.name} {t.dtype} {t.shape}" for t in found),
                allowed="; ".join(f"{t.name} {t.dtype} {t.shape}" for t in told),
            )
