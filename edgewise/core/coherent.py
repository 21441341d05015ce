"""The names of a bundle's parts, and what must hold between the fields of its manifest beyond what each says of itself.

A bundle comes from elsewhere: one that contradicts itself is refused with a sentence before a file of it is opened.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from msgspec import UnsetType

from edgewise.core import coding
from edgewise.core.decoding import KINDS, Classes, Grid, Several
from edgewise.core.errors import ModelError

if TYPE_CHECKING:
    from edgewise.core.artifact import Bottleneck, Manifest, TensorSpec

MANIFEST = "manifest.json"
PartName = Literal["head", "tail", "local", "filter", "exit", "full"]
PARTS: tuple[PartName, ...] = ("head", "tail", "local", "filter", "exit", "full")
PRESENT, EARLY = "present", "early"


def consistent(manifest: Manifest) -> None:
    """ModelError where a manifest contradicts itself, or names what no bundle has."""
    _parts(manifest)
    _parameters(manifest)
    _bottleneck(manifest)
    _filter(manifest)
    _exit(manifest)
    _decoding(manifest)
    _codings(manifest)


def _parts(manifest: Manifest) -> None:
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
        if not part.inputs or not part.outputs:
            raise ModelError(
                f"part {name} of a bundle has no inputs or no outputs", got=f"{len(part.inputs)}, {len(part.outputs)}"
            )
    pictured = [name for name in manifest.pictures if name not in manifest.parts]
    if pictured:
        raise ModelError("a bundle describes the picture of a part that it has not", got=", ".join(pictured))


def _parameters(manifest: Manifest) -> None:
    homeless = [path for path, p in manifest.parameters.items() if p.part not in manifest.parts]
    if homeless:
        raise ModelError("a bundle names a parameter of a part that it has not", got=homeless[0])
    if len({(p.part, p.initialiser) for p in manifest.parameters.values()}) < len(manifest.parameters):
        raise ModelError("a bundle gives one initialiser two parameter paths", allowed="one path for each")


def _bottleneck(manifest: Manifest) -> None:
    bottleneck = manifest.bottleneck
    if bottleneck is None:
        if "head" in manifest.parts:
            raise ModelError("a bundle with a head says nothing of its bottleneck", got=", ".join(manifest.parts))
        return
    shape = bottleneck.shape
    if not 0 <= bottleneck.axis < len(shape) or not all(0 < n < 1 << 16 for n in shape):
        raise ModelError(
            "a bottleneck has an impossible shape",
            got=f"{shape}, channels along dimension {bottleneck.axis}",
            allowed="1 to 4 dimensions of 1 to 65535, one of them the channel",
        )
    if not bottleneck.channels == len(bottleneck.low) == len(bottleneck.high):
        raise ModelError(
            "a bottleneck needs a range for each channel",
            got=f"{len(bottleneck.low)} lows and {len(bottleneck.high)} highs for {bottleneck.channels} channels",
        )
    if not all(math.isfinite(low) and math.isfinite(high) for low, high in zip(bottleneck.low, bottleneck.high, strict=True)):
        raise ModelError("a bottleneck has a range that is no numbers", allowed="a finite low and high for each channel")
    if "head" in manifest.parts:
        _fits("the head gives", manifest.parts["head"].outputs[0], bottleneck)
        _fits("the tail takes", manifest.parts["tail"].inputs[0], bottleneck)


def _fits(who: str, tensor: TensorSpec, bottleneck: Bottleneck) -> None:
    """The tensor of a part beside the bottleneck: the same shape behind the batch, where the part says one."""
    inner = tensor.shape[1:]
    if len(inner) != len(bottleneck.shape) or any(a not in (None, b) for a, b in zip(inner, bottleneck.shape, strict=True)):
        raise ModelError(f"{who} another tensor than the bottleneck", got=f"{tensor.name} {inner}", allowed=bottleneck.shape)


def _filter(manifest: Manifest) -> None:
    if (manifest.filter is None) != ("filter" not in manifest.parts):
        raise ModelError(
            "a bundle's filter needs both its part and its threshold",
            got="a threshold without a part" if manifest.filter else "a part without a threshold",
        )
    if manifest.filter is None:
        return
    if "head" not in manifest.parts:
        raise ModelError("a bundle has a filter and no head behind it", got=", ".join(manifest.parts))
    if not math.isfinite(manifest.filter.threshold):
        raise ModelError("a filter's threshold is no number", got=manifest.filter.threshold)
    gives = {tensor.name: tensor for tensor in manifest.parts["filter"].outputs}
    takes = manifest.parts["head"].inputs[0]
    if not gives.keys() >= {PRESENT, EARLY} or takes.name != EARLY or takes.shape[1:] != gives[EARLY].shape[1:]:
        raise ModelError(
            "a filter and its head do not fit together",
            got=f"the filter gives {', '.join(gives)}; the head takes {takes.name} {takes.shape[1:]}",
            allowed=f"outputs {PRESENT} and {EARLY}, and a head that goes on from {EARLY}",
        )
    if "head" in manifest.pictures:
        raise ModelError("a head behind a filter takes no picture", got="head", allowed="a picture for the filter")


def _exit(manifest: Manifest) -> None:
    points = [p.name for p in manifest.points if p.mode == "exit"]
    it = manifest.exit
    if isinstance(it, UnsetType):
        if points or "exit" in manifest.parts:
            raise ModelError("a bundle's exit needs a threshold", got=", ".join(points) or "a part without one")
        return
    if "exit" not in manifest.parts or "head" not in manifest.parts or "filter" in manifest.parts:
        raise ModelError(
            "a bundle's exit stands before a head, and alone",
            got=", ".join(manifest.parts),
            allowed="exit, head, tail; no filter",
        )
    if not math.isfinite(it.doubt):
        raise ModelError("an exit's threshold is no number", got=it.doubt)
    if not isinstance(manifest.decoding, Classes):
        raise ModelError("an exit answers with classes", got=type(manifest.decoding).__name__.lower(), allowed="classes")
    gives = {tensor.name: tensor for tensor in manifest.parts["exit"].outputs}
    takes, answer = manifest.parts["head"].inputs[0], manifest.decoding.output
    if not gives.keys() >= {answer, EARLY} or takes.name != EARLY or takes.shape[1:] != gives[EARLY].shape[1:]:
        raise ModelError(
            "an exit and its head do not fit together",
            got=f"the exit gives {', '.join(gives)}; the head takes {takes.name} {takes.shape[1:]}",
            allowed=f"outputs {answer} and {EARLY}, and a head that goes on from {EARLY}",
        )
    if "head" in manifest.pictures:
        raise ModelError("a head behind an exit takes no picture", got="head", allowed="a picture for the exit")


def _decoding(manifest: Manifest) -> None:
    if not isinstance(manifest.decoding, KINDS[manifest.task]):
        raise ModelError(
            f"a bundle for {manifest.task} decodes its outputs in a way that does not fit",
            got=type(manifest.decoding).__name__.lower(),
            allowed=", ".join(kind.__name__.lower() for kind in KINDS[manifest.task]),
        )
    if isinstance(manifest.decoding, Grid) and not manifest.labels:
        raise ModelError("a detector has no label", got="none", allowed="one label or more")
    if isinstance(manifest.decoding, Several):
        _several(manifest, manifest.decoding)


def _several(manifest: Manifest, decoding: Several) -> None:
    if decoding.clash:
        raise ModelError(
            "two tasks of a bundle say the same",
            got=decoding.clash,
            allowed="names of their own, classes of one task, cells or regions of one",
        )
    bare = next((task.name for task in decoding.tasks if isinstance(task.decoding, Grid) and not task.labels), None)
    if bare is not None:
        raise ModelError(f"the detector {bare!r} of a bundle has no label", got="none", allowed="one label or more")
    for part in ("tail", "full", "local"):
        gives = [tensor.name for tensor in manifest.parts[part].outputs] if part in manifest.parts else None
        mute = gives and [t.name for t in decoding.tasks if not any(name.startswith(f"{t.name}.") for name in gives)]
        if gives and mute:
            raise ModelError(
                f"part {part} of a bundle gives no output of a task",
                got=", ".join(gives),
                allowed=f"{mute[0]}.… for the task {mute[0]!r}",
            )


def _codings(manifest: Manifest) -> None:
    names = [p.name for p in manifest.points]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelError("two operating points of a bundle have one name", got=twice)
    wanted = {p.name for p in manifest.points if p.codec == "rans"}
    if wanted != manifest.codings.keys():
        raise ModelError(
            "a bundle's codings are not those of its points with the codec rans",
            got=", ".join(sorted(manifest.codings)) or "none",
            allowed=", ".join(sorted(wanted)) or "none",
        )
    for name, one in manifest.codings.items():
        coding.consistent(one, manifest.crossing.channels, name)
