"""A student as it will run: what its encoder gives becomes bytes, the bytes become values again, and the rest answers from those.

Every figure of the benchmark comes from here, so it is the codec's own bytes and the codec's own values, frame by frame, whole
pictures, float32. Bytes are those of the frame: 24 of its header, and the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.codec.features import FeatureCodec
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.wire import FRAME_HEADER
from edgewise.graph.picture import Look
from edgewise.split.training.stretch import Stretch, evaluating, split_of
from edgewise.split.training.tune import logits
from edgewise.training.classes import tensor
from edgewise.training.course import Source, device

BATCH = 32


class Judged(Struct, frozen=True):
    """`right` (n,): the score of each picture, 1 where a classifier's first guess was the class; `bytes` (n,) of its frame."""

    right: NDArray[np.float64]
    bytes: NDArray[np.int64]


class Carried(nn.Module):
    """Encodes and decodes what passes; `bytes` are the frames' of the last batch."""

    def __init__(self, bottleneck: Bottleneck, coding: Coding) -> None:
        super().__init__()
        self.codec = FeatureCodec(bottleneck, coding)
        self.bytes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        values = x.float().cpu().contiguous().numpy()
        frames = [self.codec.encode(one[None]) for one in values]
        self.bytes = [FRAME_HEADER + len(frame) for frame in frames]
        out = np.empty_like(values)
        for error in self.codec.decode_many(frames, out):
            if error is not None:
                raise error
        return torch.from_numpy(out).to(x.device)


def carried(
    net: nn.Module, cut: Stretch, bottleneck: Bottleneck, coding: Coding, source: Source, look: Look, batch: int = BATCH
) -> Iterator[tuple[list[int], Any, list[int]]]:
    """Indices of pictures, what the student answers for them from decoded bytes, and the bytes of their frames, in batches."""
    split = split_of(net, cut)
    kept, split.between = split.between, Carried(bottleneck, coding)
    try:
        for first in range(0, len(source), batch):
            indices = list(range(first, min(first + batch, len(source))))
            with evaluating(net):
                outputs = net(tensor(source.of(indices), look).to(device(net)))
            yield indices, outputs, list(split.between.bytes)
    finally:
        split.between = kept


def evaluate(
    net: nn.Module,
    cut: Stretch,
    bottleneck: Bottleneck,
    coding: Coding,
    source: Source,
    look: Look,
    labels: Sequence[int] | None = None,
    score: Callable[[Any, list[int]], NDArray[np.float64]] | None = None,
    advance: Callable[[str, float], None] = lambda what, share: None,
) -> Judged:
    """Score and bytes of each picture: by `labels` of classes, or by `score(outputs, indices)` -> (n,)."""
    true = None if labels is None else np.asarray(labels)
    rights, sizes = [], []
    for indices, outputs, frames in carried(net, cut, bottleneck, coding, source, look):
        if score is not None:
            rights.append(np.asarray(score(outputs, indices), float))
        elif true is not None:
            rights.append((logits(outputs).argmax(1).cpu().numpy() == true[indices]).astype(float))
        else:
            rights.append(np.full(len(indices), np.nan))
        sizes += frames
        advance("judging", (indices[-1] + 1) / len(source))
    return Judged(np.concatenate(rights), np.asarray(sizes, np.int64))
