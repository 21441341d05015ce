"""Who learns and who teaches: the shadow of a bundle, the teacher that a user named, and how pictures become the shadow's inputs.

The shadow is the model that answers by the link and beside it: the way through a cut model (with the filter or exit before it),
or the local model where nothing is cut. A whole model (`full`) runs on the server alone, and a device's numbers do not change
with it.

    bundle's folder, FILE.onnx     onnxruntime                      torch:MODULE:CALLABLE     a torch network of the user's own

Torch is imported here when it is called, never by the server. It does not know whether the teacher is right.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from edgewise.adapt.inputs import Prepare, prepared
from edgewise.adapt.step import Kind, Step
from edgewise.adapt.teacher import OnnxTeacher, Teacher
from edgewise.adapt.way import way
from edgewise.core.artifact import Manifest
from edgewise.core.errors import ConfigError
from edgewise.graph.normalisation import normalisations
from edgewise.node.heads import DEVICE
from edgewise.runtime.update import manifest_of

TORCH = "torch:"
Files = Mapping[str, bytes]


class Engaged(Struct, frozen=True):
    """Shadow and teacher, ready; `prepare` gives the inputs of the shadow's first part for pictures of any size, `layout` the
    channels of the layers of which a device sends statistics: those of its own parts. `spoken` is a teacher in torch as ONNX.
    """

    model: str
    step: Step
    teacher: Teacher
    prepare: Prepare
    kind: Kind
    layout: Mapping[str, int]
    spoken: bytes = b""


def engaged(source: Files, teacher: str, threads: int = 1, answers: bool = False) -> Engaged:
    """All of it, with a teacher that `answers` devices too.

    ConfigError or ModelError, a sentence, where bundle and teacher do not go together.
    """
    manifest = manifest_of(source)
    first = way(manifest)[0]
    if first not in manifest.pictures:
        raise ConfigError(
            f"the bundle {manifest.name} cannot be adapted", got=f"a part {first} that takes no picture", allowed="pictures"
        )
    taught = taught_by(teacher, manifest, threads)  # before torch is loaded, so that a wrong one is told at once
    from edgewise.adapt.training.step import AffineStep
    from edgewise.adapt.training.student import of_bundle

    student = of_bundle(source, way(manifest))
    prepare = prepared(manifest.parts[first].inputs[0], manifest.pictures[first])
    from edgewise.adapt.training.teacher import TorchTeacher

    said = taught.spoken() if answers and isinstance(taught, TorchTeacher) else b""
    return Engaged(manifest.name, AffineStep(student), taught, prepare, student.kind, layout(source, manifest), said)


def layout(files: Files, manifest: Manifest) -> dict[str, int]:
    """Channels by the path of each batch normalisation in the parts that devices run."""
    found: dict[str, int] = {}
    for name in DEVICE:
        if name in manifest.parts:
            paths = {one.initialiser: path for path, one in manifest.parameters.items() if one.part == name}
            layers = normalisations(files[manifest.parts[name].file], paths)
            found |= {layer.path: layer.channels for layer in layers if layer.kind == "batch"}
    return found


def taught_by(teacher: str, manifest: Manifest, threads: int = 1) -> Teacher:
    """The teacher that a user named, for a student of this manifest; a sentence where it has other labels or cannot be used."""
    if not teacher.startswith(TORCH):
        return OnnxTeacher.load(teacher, manifest, threads)
    from edgewise.adapt.training.teacher import torch_teacher

    return torch_teacher(teacher, manifest.pictures[way(manifest)[0]], manifest.decoding, manifest.labels)
