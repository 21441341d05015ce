"""A detector tuned on what a picture codec gives back, as students are tuned on what their coder brings.

Boxes, masks and keypoints as the teacher learned them (`edgewise.training.things`), Adam, one cycle, the statistics of
normalisation left as they are, so that a short course on few frames moves weights alone; each picture at a quality drawn for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.jobs import Advance
from bench.rates import scenes
from bench.rates.scenes import Pictures, Source
from bench.rates.sights import Raw, Sight
from edgewise.codec.image import ImageCodec, Kind
from edgewise.training.course import Course, adam, follow

RATE, BATCH = 1e-3, 16


class Decoded:
    """Pictures of a source through a codec, each at a drawn quality, the same whenever it is asked for."""

    def __init__(self, source: Source, kind: Kind, qualities: Sequence[int], seed: int = 0) -> None:
        self._source, self._seed = source, seed
        self._codecs = [ImageCodec(kind, quality) for quality in qualities]

    def __len__(self) -> int:
        return len(self._source)

    def of(self, indices: list[int]) -> Pictures:
        drawn = [self._codecs[np.random.default_rng([self._seed, i]).integers(len(self._codecs))] for i in indices]
        return np.stack([c.decode(c.encode(p)) for c, p in zip(drawn, self._source.of(indices), strict=True)])


def tuned(net: Raw, pictures: Decoded, at: Sight, epochs: float, work: Path, advance: Advance, seed: int = 0) -> None:
    """`net` tuned in place on `pictures` and the labels of `at`; in evaluation mode and frozen."""
    net.eval().requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def lesson(shown: Pictures, indices: list[int]) -> Tensor:
        return at.loss(net(scenes.tensor(shown)), dict, indices)

    course = Course(epochs=epochs, rate=RATE, batch=BATCH, warm=0.1, mirror=False, seed=seed)
    follow(net, net.parameters(), pictures, lesson, course, work, advance, optimiser=adam())
    net.eval().requires_grad_(False)
