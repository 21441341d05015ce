"""A Teacher answers pictures with probabilities; OnnxTeacher is one from an ONNX file or a bundle, run by onnxruntime.

The teacher is a Site of its own: larger, slower, elsewhere. All that adaptation wants of it is what it thinks of a picture, in
the student's words: the same labels in the same order, or the same map of cells (adapt notes 2.1; the check of labels is ours).
What it thinks is read as `data.doubt` reads it: probabilities of the classes, or of all cells of a map.

An ONNX file without a bundle says nothing of its preprocessing, so it is given what the student's first part is given: the
picture of that part, as bytes (height, width, channel) or as float32 in 0..1 in the layout that its input asks for. What a
teacher wants besides (means, deviations) belongs into its graph. If it names its classes (`labels` or `names` in the metadata, a
JSON list or words between commas) they must be the student's; rows that already sum to 1 are taken for probabilities.

It does not know whether it is right: the gate and the watch doubt it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.inputs import Picture, prepared
from edgewise.core.artifact import Manifest
from edgewise.core.artifact import Picture as Size
from edgewise.core.decoding import Classes, Decoding
from edgewise.core.errors import ModelError
from edgewise.data.doubt import doubt
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.session import Session

__all__ = ["OnnxTeacher", "Picture", "Teacher", "named_labels"]
Values = NDArray[np.float32]
BATCH = 32  # pictures at once
SINGLE = ("full", "local")  # parts of a bundle that answer a picture alone


@runtime_checkable
class Teacher(Protocol):
    """`probabilities` of pictures, each uint8 (height, width, 3): (n, C) float32 in the student's classes or cells, a row of NaN
    where there is no answer to be had.
    """

    name: str

    def probabilities(self, pictures: Sequence[Picture]) -> Values: ...


class OnnxTeacher:
    """`stages` run one after the other, the first on pictures of `size`; their last outputs are read by `decoding`."""

    def __init__(self, stages: Sequence[Session], decoding: Decoding, size: Size | None, name: str, classes: int = 0) -> None:
        self.name, self._stages, self._decoding = name, tuple(stages), decoding
        self._prepare = prepared(stages[0].inputs[0], size)
        self._one = stages[0].inputs[0].shape[0] == 1
        blank = np.zeros((size.height, size.width, 3) if size else (8, 8, 3), np.uint8)
        self._wide = 0
        said = self._answers([blank])
        self._wide = next((len(row) for row in said if row is not None), classes)
        if not self._wide or (classes and self._wide != classes):
            raise ModelError(
                f"the teacher {name} has other classes than the student",
                got=f"{self._wide} of them",
                allowed=classes or "1 or more",
            )

    @staticmethod
    def load(model: str | Path, student: Manifest, threads: int = 1) -> OnnxTeacher:
        """The teacher at `model`, a bundle's folder or an .onnx file, for the student that `student` describes.

        ModelError where it cannot be read, speaks of other labels, or answers in another form.
        """
        place = Path(model)
        size = next(iter(student.pictures.values()), None)
        classes = len(student.labels) if isinstance(student.decoding, Classes) else 0
        if place.is_dir():
            bundle = Bundle.open(place)
            _same(bundle.manifest.labels, student.labels, str(model))
            if type(bundle.manifest.decoding) is not type(student.decoding):
                raise ModelError(
                    f"the teacher {model} answers in another form than the student",
                    got=type(bundle.manifest.decoding).__name__.lower(),
                    allowed=type(student.decoding).__name__.lower(),
                )
            stages = [bundle.session(part, threads) for part in _parts(bundle.manifest)]
            return OnnxTeacher(stages, bundle.manifest.decoding, None, bundle.manifest.name, classes)
        session = Session.load(place, threads)
        _same(named_labels(session.metadata), student.labels, place.name)
        return OnnxTeacher([session], _read_as(session, student.decoding), size, place.stem, classes)

    def probabilities(self, pictures: Sequence[Picture]) -> Values:
        """(n, C); a row of NaN where the teacher's answer is no number."""
        found = np.full((len(pictures), self._wide), np.nan, np.float32)
        step = 1 if self._one else BATCH
        for first in range(0, len(pictures), step):
            for row, answer in enumerate(self._answers(pictures[first : first + step]), first):
                if answer is not None and answer.shape == (self._wide,):
                    found[row] = answer
        return found

    def _answers(self, pictures: Sequence[Picture]) -> list[Values | None]:
        outputs: Mapping[str, NDArray[Any]] = {self._stages[0].inputs[0].name: self._prepare(pictures)}
        for stage in self._stages:
            outputs = stage.run({spec.name: outputs[spec.name] for spec in stage.inputs if spec.name in outputs})
        decoding = self._decoding
        if isinstance(decoding, Classes) and decoding.logits and _sums(outputs.get(decoding.output)):
            decoding = replace(decoding, logits=False)
        doubts = [doubt(outputs, decoding, row) for row in range(len(pictures))]
        return [None if one is None else one.probabilities for one in doubts]


def named_labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The classes that an ONNX file names in its metadata, in order; none where it does not.

    >>> named_labels({"names": "cat, dog"}), named_labels({"labels": '["cat", "dog"]'})
    (('cat', 'dog'), ('cat', 'dog'))
    """
    said = metadata.get("labels") or metadata.get("names") or ""
    try:
        found = json.loads(said)
    except ValueError:
        found = [word.strip() for word in said.split(",")] if said.strip() and said.strip()[0] not in "{[" else []
    return tuple(str(word) for word in found) if isinstance(found, list) else ()


def _same(own: Sequence[str], wanted: Sequence[str], name: str) -> None:
    if own and wanted and tuple(own) != tuple(wanted):
        other = next((f"{a!r} for {b!r}" for a, b in zip(own, wanted) if a != b), "")
        raise ModelError(
            f"the teacher {name} has other labels than the student",
            got=f"{len(own)} labels, {other}" if other else f"{len(own)} labels",
            allowed=f"the student's {len(wanted)} in their order: {', '.join(list(wanted)[:5])} …",
            hint="Teach with a model of the same classes, or export it with its outputs in the student's order.",
        )


def _parts(manifest: Manifest) -> tuple[Any, ...]:
    """The parts that answer a picture, in the order in which they run."""
    for part in SINGLE:
        if part in manifest.parts:
            return (part,)
    if {"head", "tail"} <= manifest.parts.keys() and manifest.first == "head":
        return ("head", "tail")
    raise ModelError(
        f"the bundle {manifest.name} cannot teach",
        got=", ".join(manifest.parts),
        allowed="a part full or local, or head and tail",
    )


def _read_as(session: Session, decoding: Decoding) -> Decoding:
    """The student's decoding; of classes by the name of the teacher's only output."""
    names = [spec.name for spec in session.outputs]
    if isinstance(decoding, Classes) and decoding.output not in names and len(names) == 1:
        return replace(decoding, output=names[0], logits=True)
    return decoding


def _sums(scores: NDArray[Any] | None) -> bool:
    """Whether rows are probabilities already."""
    if scores is None or not scores.size:
        return False
    rows = np.asarray(scores, np.float64).reshape(len(scores), -1)
    return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3))
