"""A Teacher answers pictures with probabilities; OnnxTeacher is one from an ONNX file or a bundle, run by onnxruntime.

The teacher is a Site of its own: larger, slower, elsewhere. All that adaptation wants of it is what it thinks of a picture, in
the student's words: the same labels in the same order, or the same map of cells (adapt notes 2.1; the check of labels is ours).

An ONNX file without a bundle says nothing of its preprocessing, so it is given what the student's first part is given: the
picture of that part, as bytes (height, width, channel) or as float32 in 0..1 in the layout that its input asks for. What a
teacher wants besides (means, deviations) belongs into its graph.

It does not know whether it is right: the gate and the watch doubt it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (height, width, 3), RGB
Values = NDArray[np.float32]


@runtime_checkable
class Teacher(Protocol):
    """`probabilities` of pictures, each uint8 (height, width, 3): (n, C) float32 in the student's classes or cells, a row of NaN
    where there is no answer to be had.
    """

    name: str

    def probabilities(self, pictures: Sequence[Picture]) -> Values: ...
