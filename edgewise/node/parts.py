"""The parts of a bundle as a node runs them: samples in whatever form a part wants them, batches of whatever size it takes.

A part that `Manifest.pictures` describes takes pictures, fitted to it; any other takes the float32 array of its input's shape. A
model whose batch is fixed runs its batch piece by piece. Parts may follow their stream (`tracking`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.answer import Answer
from edgewise.core.artifact import PARTS
from edgewise.core.errors import TensorError
from edgewise.core.moments import packed
from edgewise.data.preprocess import fit
from edgewise.node.tracking import Tracking
from edgewise.runtime.bundle import Bundle, PartName
from edgewise.runtime.session import Session
from edgewise.runtime.tracked import Tracked

Outputs = dict[str, NDArray[Any]]


class Parts:
    """Sessions of a bundle with `threads` each; `follows` are those parts that follow their stream once `tracking` is on."""

    def __init__(self, bundle: Bundle, threads: int = 1, follows: Sequence[PartName] = PARTS) -> None:
        self.manifest = bundle.manifest
        self.tracking = Tracking(bundle, follows, threads)
        self._bundle, self._threads = bundle, threads

    def load(self, part: PartName) -> None:
        """Make the session now; ModelError where the part does not load."""
        self._bundle.session(part, self._threads)

    def sample(self, part: PartName, value: NDArray[Any]) -> NDArray[Any]:
        """`value` (a picture, or an array with or without a batch of one) as the part takes it: (1, …).

        ImageError or TensorError where it cannot be.
        """
        if part in self.manifest.pictures:
            return fit(value, self.manifest.pictures[part])
        spec = self.manifest.parts[part].inputs[0]
        array = value[None] if value.ndim == len(spec.shape) - 1 else value
        fits = array.ndim == len(spec.shape) and all(d in (None, n) for d, n in zip(spec.shape[1:], array.shape[1:], strict=True))
        if not fits or array.shape[:1] != (1,) or array.dtype.kind not in "fiu":
            raise TensorError(
                f"a sample is not what part {part} takes",
                got=f"{value.dtype} {value.shape}",
                allowed=f"{spec.dtype} {tuple('any' if d is None else d for d in spec.shape[1:])}",
                hint="The source gives pictures or arrays; the model wants the other." if value.dtype == np.uint8 else None,
            )
        return np.ascontiguousarray(array, np.dtype(spec.dtype))

    def blank(self, part: PartName) -> NDArray[Any]:
        """A sample of nothing, to warm a part with."""
        if part in self.manifest.pictures:
            look = self.manifest.pictures[part]
            return np.zeros((look.height, look.width, 3), np.uint8)
        spec = self.manifest.parts[part].inputs[0]
        return np.zeros([1 if d is None else d for d in spec.shape[1:]], np.float32)

    def run(self, part: PartName, batch: NDArray[Any]) -> Outputs:
        """Every output of the part for a `batch` (n, …), each with n rows."""
        return self._run(part, batch, self.tracking.of(part))

    def unfollowed(self, part: PartName, batch: NDArray[Any]) -> Outputs:
        """The same by the part as it came, which learns nothing from this batch."""
        return self._run(part, batch, None)

    def _run(self, part: PartName, batch: NDArray[Any], tracked: Tracked | None) -> Outputs:
        spec = self.manifest.parts[part].inputs[0]
        session: Session | Tracked = tracked or self._bundle.session(part, self._threads)
        size = spec.shape[0]
        if size is None or size == len(batch):
            return session.run({spec.name: batch})
        found = []
        for first in range(0, len(batch), size):
            piece = batch[first : first + size]
            if len(piece) < size:
                piece = np.concatenate((piece, np.repeat(piece[-1:], size - len(piece), axis=0)))
            found.append(session.run({spec.name: piece}))
        return {name: np.concatenate([one[name] for one in found])[: len(batch)] for name in found[0]}

    def answered(self, part: PartName, answer: Answer) -> None:
        """The last run of a part came to this; a part that follows its stream is told the likeliest class."""
        if answer.classes:
            self.tracking.told(part, answer.classes[0].label, self.manifest.labels)

    def statistics(self) -> bytes:
        """The packed statistics of the parts that follow their stream; empty where none does."""
        found = self.tracking.statistics
        return packed(found) if found else b""
