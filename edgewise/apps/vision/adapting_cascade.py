"""The teacher as one who answers: pictures that go up to be learned from get its answer, where that is in time (a cascade).

It runs in the server, on a thread of its own beside the tails, by onnxruntime: the adapting process may be busy for seconds.
One in torch is made into ONNX there first (`edgewise.adapt.training.spoken`): the process that answers frames holds no torch.
"""

from __future__ import annotations

from edgewise.adapt.teacher import OnnxTeacher
from edgewise.core.artifact import Manifest
from edgewise.core.decoding import Classes
from edgewise.core.errors import ConfigError
from edgewise.node.spoken import Spoken
from edgewise.runtime.session import Session


def answering(teacher: str, spoken: bytes, manifest: Manifest, threads: int = 1) -> Spoken:
    """The teacher for `Tails.tutor`: that at `teacher`, or in the bytes of an ONNX file. ConfigError where it cannot answer."""
    check(manifest)
    if not spoken:
        return Spoken(OnnxTeacher.load(teacher, manifest, threads), manifest.decoding)
    session = Session.load(spoken, threads)
    scores = Classes(session.outputs[0].name, top=1, logits=True)
    return Spoken(OnnxTeacher([session], scores, None, teacher, len(manifest.labels)), manifest.decoding)


def check(manifest: Manifest) -> None:
    """ConfigError where no device of this bundle could be answered by a teacher."""
    hint = "Say --cascade 0, so that it teaches alone."
    if not isinstance(manifest.decoding, Classes):
        got = type(manifest.decoding).__name__.lower()
        raise ConfigError("a teacher answers devices in classes alone", got=got, allowed="classes", hint=hint)
    if not any(point.mode == "image" and point.codec == "jpeg" for point in manifest.points):
        got = ", ".join(point.name for point in manifest.points)
        raise ConfigError("no picture goes up that a teacher could answer", got=got, allowed="a point of mode image", hint=hint)
