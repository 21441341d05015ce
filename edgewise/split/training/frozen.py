"""The codec of a student whose encoder no longer changes: what noise stood for in training becomes levels, order and tables.

    value = low + step · code        step = 1 / gain,  low = (m + a) · step,  codes 0 … b − a

with m the median that the prior knew and a … b the codes, counted from the median, that calibration pictures took. A channel that
only ever took one code is not sent and decodes as it. Tables are counted on the same pictures. The order is the bits that a
channel takes, the most first: what costs most says most, as far as training spent bits where they help.

`Coded` rounds in torch exactly as the codec does, for the training of what stands behind it. The codec itself is
`edgewise.codec.features.FeatureCodec`. It does not know what a picture unlike all of these costs: an escape, or its nearest code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.coding import MOST_LEVELS
from edgewise.core.errors import ModelError
from edgewise.core.wire import FRAME_HEADER
from edgewise.graph.picture import Look
from edgewise.split.training.prior import Noisy
from edgewise.split.training.stretch import Stretch, evaluating
from edgewise.training.classes import tensor
from edgewise.training.course import Source, device
from edgewise.training.paths import gathered

Floats = NDArray[np.float32]
PICTURES, COMPARED, BATCH = 1024, 128, 32  # that fit the tables, and of which the bytes are compared with the estimate
STIRRED = 1e-4  # share of codes that must differ from the median
ABOVE = 0.05  # how far the bytes of codes may be above the estimate of training before it is worth a word


class Frozen(Struct, frozen=True):
    """Bottleneck and coding of one operating point. Mean bytes of a frame of the compared calibration pictures, header included:
    `estimated` by the prior under noise, as training heard of them, `static` as long as the same codes are by how often each
    comes in its channel, which is all that the prior knows, and `coded` by the codec, which may know their neighbours."""

    bottleneck: Bottleneck
    coding: Coding
    estimated: float
    static: float
    coded: float

    @property
    def predictable(self) -> bool:
        """Whether codes without their neighbours, as the prior sees them, take at most ABOVE more than training estimated."""
        return self.static <= (1 + ABOVE) * self.estimated


def features(net: nn.Module, cut: Stretch, source: Source, look: Look, indices: Sequence[int]) -> Iterator[Floats]:
    """What the student's encoder gives for whole pictures, float32 (batch, channels, rows, columns), batch by batch."""
    for first in range(0, len(indices), BATCH):
        pictures = tensor(source.of(list(indices[first : first + BATCH])), look).to(device(net))
        with evaluating(net):
            yield gathered(net, [cut.encoder], pictures)[cut.encoder].float().cpu().contiguous().numpy()


def frozen(
    net: nn.Module,
    cut: Stretch,
    noisy: Noisy,
    source: Source,
    look: Look,
    beta: float,
    rate: int = 0,
    layers: int = 1,
    context: bool = True,
) -> Frozen:
    """The codec of a student that learnt with `noisy` between, at its rate `rate`, with tables by `context` or static ones;
    ModelError where β collapsed the rate.
    """
    noisy.centre()
    step = noisy.steps(rate).cpu().numpy()[:, None, None]
    median = noisy.median[rate].cpu().numpy()[:, None, None]
    indices = np.linspace(0, len(source) - 1, min(PICTURES, len(source))).round().astype(int).tolist()
    seen = list(features(net, cut, source, look, indices))
    codes = [np.round(batch / step - median).astype(np.int32) for batch in seen]
    stirred = sum(int(np.count_nonzero(c)) for c in codes) / sum(c.size for c in codes)
    if stirred < STIRRED:
        raise collapsed(beta, f"{stirred:.4%} of the codes of {len(indices)} pictures are not the median")
    half = MOST_LEVELS // 2 - 1
    least = np.min([c.min((0, 2, 3)) for c in codes], 0).clip(-half)
    most = np.max([c.max((0, 2, 3)) for c in codes], 0).clip(None, half)
    levels = np.where(most > least, most - least + 1, 0)
    width, middle = step[:, 0, 0], median[:, 0, 0]
    low, high = (middle + least) * width, (middle + most) * width
    bits = [_bits(np.concatenate([c[:, k] for c in codes])) for k in range(len(levels))]
    spent, every = np.array([one.mean() for one in bits]), max(1, len(indices) // COMPARED)
    order = [int(c) for c in np.argsort(-spent, kind="stable") if levels[c]]
    bottleneck = Bottleneck(tuple(seen[0].shape[1:]), tuple(low.tolist()), tuple(high.tolist()))
    centre = (-least).clip(0, np.maximum(levels - 1, 0)).tolist()
    coding = coding_for(bottleneck, seen, levels.tolist(), order, layers, context=context, centre=centre if context else None)
    coding = _settled(coding, low)
    compared = np.concatenate(seen)[::every]
    codec = FeatureCodec(bottleneck, coding)
    coded = FRAME_HEADER + float(np.mean([len(codec.encode(one[None])) for one in compared]))
    static = FRAME_HEADER + sum(float(one[::every].sum()) for one in bits) / len(compared) / 8
    return Frozen(bottleneck, coding, FRAME_HEADER + _estimated(noisy, compared, rate), static, coded)


def _settled(coding: Coding, low: NDArray[np.float32]) -> Coding:
    """A channel that is not sent decodes as its only code, which is what stage 2 sees, and not as a mean."""
    sent = np.asarray(coding.levels) > 0
    lows = np.where(sent, np.asarray(coding.low), low)
    if coding.context:
        means = np.where(sent, np.asarray(coding.context.mean), low)
        coding = replace(coding, context=replace(coding.context, mean=tuple(means.tolist())))
    return replace(coding, low=tuple(lows.tolist()))


def collapsed(beta: float, got: str) -> ModelError:
    """The sentence for a β at which nothing is sent."""
    return ModelError(
        f"a β of {beta:g} collapses the rate: nothing of the picture crosses the link",
        got=got,
        allowed="codes that differ from picture to picture",
        hint="Take a lower β, for instance a half of it, or come down to it in smaller steps.",
    )


class Coded(nn.Module):
    """(batch, channels, rows, columns) as it comes out of the codec of the coding number `rate`; no gradient passes."""

    low: Tensor
    step: Tensor
    inverse: Tensor
    top: Tensor

    def __init__(self, *codings: Coding) -> None:
        super().__init__()
        low, step, levels = (_rows([getattr(c, name) for c in codings]) for name in ("low", "step", "levels"))
        step = torch.where(levels > 0, step, 0.0)
        self.register_buffer("low", low)
        self.register_buffer("step", step)
        self.register_buffer("inverse", torch.where(step > 0, 1 / step.clamp_min(1e-30), 0.0))
        self.register_buffer("top", (levels - 1).clamp_min(0.0))
        self.rates, self.rate = len(codings), 0

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        code = torch.floor((x.float() - self.low[self.rate]) * self.inverse[self.rate] + 0.5)
        return torch.minimum(code.clamp_min(0), self.top[self.rate]) * self.step[self.rate] + self.low[self.rate]


def _rows(values: Sequence[Sequence[float]]) -> Tensor:
    """(codings, channels, 1, 1)."""
    return torch.tensor([list(v) for v in values], dtype=torch.float32)[:, :, None, None]


def _estimated(noisy: Noisy, values: Floats, rate: int) -> float:
    """Mean payload in bytes that the prior promises under noise."""
    generator = torch.Generator().manual_seed(0)
    y = torch.from_numpy(values) / noisy.steps(rate).cpu()[:, None, None]
    noise = torch.rand(y.shape, generator=generator) - 0.5
    with torch.no_grad():
        return float(noisy.prior.bits((y + noise).to(noisy.gain.device), rate)) / 8


def _bits(codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """What each code says (shaped like codes), by how often it comes among all; the mean is their entropy."""
    _, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    said: NDArray[np.float64] = -np.log2(counts / codes.size)[where].reshape(codes.shape)
    return said
