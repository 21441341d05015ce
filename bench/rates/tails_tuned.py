"""What stands behind a link, tuned on labelled frames: a detector on decoded pictures, or a student's decoder and tail.

One course for both: boxes, masks and keypoints as the teacher learned them (`edgewise.training.things`), Adam, one cycle, the
statistics of normalisation left as they are, so that a short course on few frames moves weights alone. What crosses is as the
codec really brings it: decoded pictures of drawn qualities, rounded codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.rates import scenes
from bench.rates.jobs import Advance
from bench.rates.scenes import Pictures, Source
from edgewise.codec.image import ImageCodec, Kind
from edgewise.split.training.bottleneck import Split
from edgewise.training import things
from edgewise.training.course import Course, adam, follow
from edgewise.training.course import Source as Seen
from edgewise.training.nets.fpn import Detector
from edgewise.training.paths import module
from edgewise.training.things_draw import truth

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


def tuned(
    net: nn.Module,
    pictures: Seen,
    labels: Source,
    epochs: float,
    work: Path,
    advance: Advance,
    behind: str = "",
    seed: int = 0,
) -> None:
    """`net`, a Detector, tuned in place; `behind`: the path of a bottleneck whose encoder stays as it is."""
    assert isinstance(net, Detector)
    net.eval().requires_grad_(True)
    if behind:
        split = module(net, behind)
        assert isinstance(split, Split)
        split.encoder.requires_grad_(False)
        split.between.requires_grad_(False)
    learnt = [p for p in net.parameters() if p.requires_grad]

    def lesson(shown: Pictures, indices: list[int]) -> Tensor:
        x = scenes.tensor(shown)
        loss, _ = things.loss(net.maps(x), truth(labels.truth(indices)), (x.shape[2], x.shape[3]))
        return loss

    course = Course(epochs=epochs, rate=RATE, batch=BATCH, warm=0.1, mirror=False, seed=seed)
    torch.manual_seed(seed)
    follow(net, learnt, pictures, lesson, course, work, advance, optimiser=adam())
    net.eval().requires_grad_(False)
