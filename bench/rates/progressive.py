"""Our frames as far as they came: the same codes in layers, what matters most for its bits first, judged after each layer.

One operating point of `lean` (and of `lean-task`) is coded again in LAYERS layers: no weight changes, and no code. The order is
what the answer loses when a channel is missing, for each bit that the channel takes: the tail answers pictures that taught, once
whole and once without each channel (`edgewise.split.order.apart`). Each frame is cut behind each layer and decoded as a server
does it, and the tail, which learned on whole frames alone, answers from that. `more.whole` is what layers cost: the bytes of a
whole frame of one layer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.jobs import Advance, Job, Size
from bench.rates import ours
from bench.rates.entropic import point
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep, records
from bench.report import Row, Target
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.wire import FRAME_HEADER
from edgewise.split.order import apart
from edgewise.split.training.frozen import features
from edgewise.split.training.rung import Rung
from edgewise.split.training.stretch import split_of
from edgewise.split.training.tune import logits

Floats = NDArray[np.float32]
LAYERS = 6
FITTED, BATCH = 1024, 32  # pictures that fit the tables
JUDGED: dict[Size, int] = {"quick": 32, "medium": 192, "full": 192}  # pictures that order the channels
BETA: dict[Size, float] = {"quick": 0.5, "medium": 1.25, "full": 1.25}


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One for each way that ours is tuned, after the point that it codes again."""
    if seed:
        return []
    found = []
    for method in (ours.METHOD,) if size == "quick" else (ours.METHOD, ours.TASK):
        leaves = tuple(record_file(named(method), f"layers-{k}", seed, data=DATA[size]) for k in range(1, LAYERS + 1))
        after = (f"{method}-{point(BETA[size])}.{seed}",)
        arguments = {"method": method, "seed": seed, "size": size}
        found.append(Job(f"{named(method)}.{seed}", "bench.rates.progressive:judged", leaves, arguments, 4.5, after))
    return found


def named(method: str) -> str:
    """The method of the records."""
    return f"{method}-progressive"


def judged(work: Path, advance: Advance, method: str, seed: int = 0, size: Size = "full") -> None:
    """A record for each number of layers."""
    found = ground(work, size, advance)
    betas = list(ours.BETAS[size])
    done = ours.climb(work, found, betas.index(BETA[size]), betas, seed, size, method, advance)
    coding = layered(done, found, LAYERS, JUDGED[size])
    codec, whole = FeatureCodec(done.bottleneck, coding), FeatureCodec(done.bottleneck, done.coding)
    right: list[list[NDArray[np.float64]]] = [[] for _ in range(LAYERS)]
    sizes: list[list[int]] = [[] for _ in range(LAYERS)]
    single: list[int] = []
    for first in range(0, len(found.held), BATCH):
        indices = list(range(first, min(first + BATCH, len(found.held))))
        values = next(features(done.net, done.stretch, found.held, found.look, indices))
        frames = [codec.encode(one[None]) for one in values]
        single += [len(whole.encode(one[None])) for one in values]
        for k in range(LAYERS):
            cut = [frame[: ends[min(k, len(ends) - 1)]] for frame, ends in ((f, codec.prefixes(f)) for f in frames)]
            answers = answered(done, decoded(codec, cut))
            right[k].append((answers.argmax(1) == found.held.labels[indices]).astype(float))
            sizes[k] += [FRAME_HEADER + len(frame) for frame in cut]
        advance("judging", (indices[-1] + 1) / len(found.held))
    more = {"beta": done.beta, "whole": FRAME_HEADER + float(np.mean(single))}
    for k in range(LAYERS):
        about = About(named(method), f"layers-{k + 1}", seed, data=found.data, more=more)
        keep(Record(about, np.concatenate(right[k]), np.asarray(sizes[k], np.int64)), work)


def layered(done: Rung, found: Ground, layers: int, judged: int) -> Coding:
    """The coding of a rung with its channels by their worth for each bit, as so many pictures tell it, in so many layers."""
    indices = np.linspace(0, len(found.train) - 1, min(FITTED, len(found.train))).round().astype(int).tolist()
    seen = np.concatenate(list(features(done.net, done.stretch, found.train, found.look, indices)))
    order = worth(done, seen[:: max(1, len(seen) // judged)])
    levels, low, step = done.coding.levels, np.asarray(done.coding.low), np.asarray(done.coding.step)
    high = np.where(np.asarray(levels) > 0, low + step * (np.asarray(levels) - 1), low)
    bottleneck = Bottleneck(done.bottleneck.shape, tuple(low.tolist()), tuple(high.tolist()))
    context = done.coding.context
    centre = context.centre if context else None
    return coding_for(bottleneck, [seen], levels, order, layers, context=context is not None, centre=centre)


def worth(done: Rung, values: Floats) -> list[int]:
    """The channels that are sent, first what the answer misses most for each bit."""
    codec = FeatureCodec(done.bottleneck, done.coding)
    rounded = decoded(codec, [codec.encode(one[None]) for one in values])
    wanted = {"answer": answered(done, rounded)}
    means = rounded.mean((0, 2, 3), keepdims=True)
    found: dict[int, float] = {}
    for channel in done.coding.order:
        without = rounded.copy()
        without[:, channel] = means[:, channel]
        _, counts = np.unique(rounded[:, channel], return_counts=True)
        shares = counts / counts.sum()
        bits = max(float(-(shares * np.log2(shares)).sum()), 1e-6)
        found[channel] = apart({"answer": answered(done, without)}, wanted) / bits
    return sorted(found, key=lambda c: (-found[c], c))


def decoded(codec: FeatureCodec, frames: list[bytes]) -> Floats:
    """Values of frames, or of whole layers of them."""
    out = np.empty((len(frames), *codec.shape[1:]), np.float32)
    for error in codec.decode_many(frames, out):
        if error is not None:
            raise error
    return out


def answered(done: Rung, values: Floats) -> NDArray[np.float32]:
    """(n, classes) of what the tail says of decoded values."""
    split = split_of(done.net, done.stretch)
    encoder, between = split.encoder, split.between
    said = []
    try:
        split.between = torch.nn.Identity()
        for first in range(0, len(values), BATCH):
            split.encoder = _Given(torch.from_numpy(values[first : first + BATCH]))
            with torch.no_grad():
                said.append(logits(done.net(torch.zeros(1, *done.stretch.geometry.inside))).numpy())
    finally:
        split.encoder, split.between = encoder, between
    return np.concatenate(said)


class _Given(torch.nn.Module):
    """An encoder's place, filled with what the server decoded."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self._values = values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._values


def rows(work: Path) -> tuple[list[Row], list[Target]]:
    """The bytes of a whole frame in LAYERS layers against those in one; accuracy after each layer is a row of its record."""
    made = []
    for one in records(work):
        if one.about.method.endswith("-progressive") and one.about.point == f"layers-{LAYERS}":
            share = one.mean_bytes / one.about.more["whole"] - 1
            case = f"{one.about.method}, {LAYERS} layers"
            made.append(Row(case, "bytes more than in one layer", 100 * share, "%", len(one.bytes)))
    return made, []
