"""Several tails behind one head: bundles whose heads are the same become one, which answers all their tasks from one frame.

Each tail was trained by itself, and no training touched the encoder (paper 6, §5: one bitstream, several tasks); so whatever one
of them was worth alone it is worth here. The tails become one model, in which a decoder that they share runs once
(`edgewise.graph.merge`), and the answer has the boxes, masks, classes and regions of all (`edgewise.core.decoding.Several`). A
point's quality stands under `all` as in the first bundle, and under the name of each task as in its own.

A device that has the head needs no byte more for another task. It does not know whether tails could have been worth more with an
encoder that had been taught for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgewise.core.artifact import Manifest, Parameter, PartName
from edgewise.core.decoding import TASK, Raw, Several, Told
from edgewise.core.errors import ModelError
from edgewise.core.placement import OperatingPoint
from edgewise.graph.load import load
from edgewise.graph.merge import Merged, merged, same
from edgewise.runtime.bundle import bundle_files, read_manifest, write_bundle

SHARED: tuple[PartName, ...] = ("tail", "full")


def joined(bundles: Mapping[str, Path], out: Path, name: str) -> Manifest:
    """The bundle at `out` of the bundles at these folders, by the name of their task; ModelError where they have not one head."""
    held = {task: read_manifest(folder) for task, folder in bundles.items()}
    files = {task: bundle_files(folder) for task, folder in bundles.items()}
    _alike(held, files)
    first = next(iter(held.values()))
    models: dict[PartName, bytes] = {"head": next(iter(files.values()))[first.parts["head"].file]}
    parameters = {path: p for path, p in first.parameters.items() if p.part == "head"}
    for part in SHARED:
        if all(part in manifest.parts for manifest in held.values()):
            made = merged({task: load(files[task][manifest.parts[part].file]) for task, manifest in held.items()})
            models[part] = made.model.SerializeToString(deterministic=True)
            parameters |= _moved(held, part, made)
    tasks = tuple(Told(task, _single(task, manifest), manifest.labels) for task, manifest in held.items())
    points = tuple(_point(point, held) for point in first.points if _everywhere(point, held, "full" in models))
    if not points:
        raise ModelError(
            "bundles to be joined have no operating point in common", got=_names(held), allowed="one name, one coding"
        )
    return write_bundle(
        out,
        name=name,
        task="several",
        labels=tuple(dict.fromkeys(label for manifest in held.values() for label in manifest.labels)),
        parts=models,
        pictures={part: first.pictures[part] for part in models if part in first.pictures},
        bottleneck=first.bottleneck,
        decoding=Several(tasks),
        points=points,
        codings={p.name: first.codings[p.name] for p in points if p.name in first.codings},
        parameters=parameters,
        provenance={task: f"{manifest.name}, {manifest.address}" for task, manifest in held.items()},
    )


def _alike(held: Mapping[str, Manifest], files: Mapping[str, Mapping[str, bytes]]) -> None:
    if len(held) < 2:
        raise ModelError("joining takes two bundles or more", got=len(held), allowed="a task and a bundle for each tail")
    unfit = next((task for task in held if not re.match(TASK, task)), None)
    if unfit is not None:
        raise ModelError("a task cannot be called so", got=unfit, allowed="a word of lower case, 32 letters at most")
    lead, first = next(iter(held.items()))
    for task, manifest in held.items():
        if "head" not in manifest.parts or manifest.first != "head":
            raise ModelError(
                f"the bundle of {task!r} cannot be joined",
                got=", ".join(manifest.parts),
                allowed="a head and a tail, no filter and no exit",
            )
        one, other = first.parts["head"], manifest.parts["head"]
        alike = one.sha256 == other.sha256 or same(load(files[lead][one.file]), load(files[task][other.file]))
        if not alike or manifest.crossing != first.crossing:
            raise ModelError(
                f"the bundle of {task!r} has another head",
                got=other.sha256[:12],
                allowed=f"{one.sha256[:12]}, as the first",
                hint="Train the tails behind one encoder: `--tuning` without a free encoder.",
            )


def _single(task: str, manifest: Manifest) -> Any:
    if isinstance(manifest.decoding, Several | Raw):
        kind = type(manifest.decoding).__name__.lower()
        raise ModelError(
            f"the bundle of {task!r} cannot be joined", got=f"its decoding is {kind}", allowed="one task that is known"
        )
    return manifest.decoding


def _everywhere(point: OperatingPoint, held: Mapping[str, Manifest], full: bool) -> bool:
    """Whether all bundles have the point, with one coding, and this one can answer it."""
    if point.mode in ("local", "drop") or (point.mode == "image" and not full):
        return False

    def same(other: Manifest) -> bool:
        found = next((p for p in other.points if p.name == point.name), None)
        alike = found is not None and (found.mode, found.codec, found.level) == (point.mode, point.codec, point.level)
        return alike and other.codings.get(point.name) == first.codings.get(point.name)

    first = next(iter(held.values()))
    return all(same(manifest) for manifest in held.values())


def _point(point: OperatingPoint, held: Mapping[str, Manifest]) -> OperatingPoint:
    """Its quality by task, the time of all tails (at most: what they share runs once) and the bytes of all answers."""
    each = {task: manifest.point(point.name) for task, manifest in held.items()}
    quality = {task: one.quality["all"] for task, one in each.items() if "all" in one.quality}
    return msgspec.structs.replace(
        point,
        quality=point.quality | quality,
        edge_time=sum(one.edge_time for one in each.values()),
        bytes_down=sum(one.bytes_down for one in each.values()),
    )


def _moved(held: Mapping[str, Manifest], part: PartName, made: Merged) -> dict[str, Parameter]:
    """Where the parameters of a merged part are: a shared one has its first path, others may begin with their task."""
    found: dict[str, Parameter] = {}
    taken: set[str] = set()
    for task, manifest in held.items():
        for path, parameter in manifest.parameters.items():
            if parameter.part != part:
                continue
            place = made.initialisers[task][parameter.initialiser]
            if place not in taken:
                taken.add(place)
                found[f"{task}.{path}" if path in found else path] = Parameter(part, place)
    return found


def _names(held: Mapping[str, Manifest]) -> str:
    return "; ".join(f"{task}: {', '.join(p.name for p in manifest.points)}" for task, manifest in held.items())
