"""The teacher as one who answers: pictures that go up to be learned from get its answer, where that is in time (a cascade).

It runs in the server, on a thread of its own beside the tails, by onnxruntime: the adapting process may be busy for seconds, and
a network in torch would bring torch into the process that answers frames. So a teacher in torch teaches, and does not answer.
"""

from __future__ import annotations

from edgewise.adapt.teacher import OnnxTeacher
from edgewise.apps.vision.adapting_engaged import TORCH
from edgewise.core.artifact import Manifest
from edgewise.core.errors import ConfigError
from edgewise.node.spoken import Spoken


def answering(teacher: str, manifest: Manifest, threads: int = 1) -> Spoken:
    """The teacher for `Tails.tutor`; ConfigError where it cannot answer devices."""
    hint = "Say --cascade 0, so that it teaches alone."
    if teacher.startswith(TORCH):
        raise ConfigError(
            "a teacher in torch does not answer devices", got=teacher, allowed="an ONNX file or a bundle", hint=hint
        )
    if not any(point.mode == "image" and point.codec == "jpeg" for point in manifest.points):
        got = ", ".join(point.name for point in manifest.points)
        raise ConfigError("no picture goes up that a teacher could answer", got=got, allowed="a point of mode image", hint=hint)
    return Spoken(OnnxTeacher.load(teacher, manifest, threads), manifest.decoding)
