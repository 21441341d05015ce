"""The operating points of a trained student, measured, and the bundle that holds them.

One student serves codes of several widths: the range of each channel is that in which training held it, or that of the pictures
that it learned from, and `split-8` … `split-2` cut the same range into 256 … 4 steps. Beside them stand pictures sent whole,
answered by the uncut model. Where only frames up to some size are wanted and no point has them, the nearest is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Bottleneck, Coding, Decoding, Manifest, Parameter, PartName, Picture, Task
from edgewise.core.errors import BudgetError
from edgewise.core.placement import OperatingPoint
from edgewise.runtime.bundle import write_bundle
from edgewise.split.guard import ENOUGH, guarded
from edgewise.split.judged import Floats, Judge

QUALITIES = (50, 75)
LAYERS = 8  # of a frame, at most
GUARDED = 4  # every so many-th frame fits no tables: the byte guard is set by it


class Ranges(Struct, frozen=True):
    """Lowest and highest value of each channel that codes reach."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def ranged(features: Floats, per_channel: bool) -> Ranges:
    """The ranges of features (n, channels, …): of each channel, or one for all of them as published (per-tensor min and max)."""
    flat = features.reshape(features.shape[0], features.shape[1], -1)
    low, high = flat.min(axis=(0, 2)), flat.max(axis=(0, 2))
    if not per_channel:
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    return Ranges(tuple(low.astype(float).tolist()), tuple(high.astype(float).tolist()))


def coded(bottleneck: Bottleneck, features: Floats, bits: Sequence[int], order: Sequence[int]) -> dict[str, Coding]:
    """Codings by point: `split-B` has 2^B levels a channel, tables of `features` (n, channels, …), a layer for each channel.

    Every fourth of these features fits no tables and sets the byte guard (`edgewise.split.guard`): of clean frames like them, one
    in a hundred loses its last layers. Where those are too few to know that, all features do both.
    """
    held = np.arange(len(features)) % GUARDED == GUARDED - 1
    fitted, clean = (features[~held], features[held]) if held.sum() >= ENOUGH else (features, features)
    found = {}
    for width in bits:
        levels = [1 << width] * bottleneck.channels
        coding = coding_for(bottleneck, [fitted], levels, order, min(bottleneck.channels, LAYERS))
        found[f"split-{width}"] = guarded(bottleneck, coding, [clean])
    return found


def measured(
    judge: Judge,
    bottleneck: Bottleneck,
    codings: Mapping[str, Coding],
    original: Callable[[int], NDArray[np.uint8]],
    advance: Callable[[str, float], None],
) -> tuple[OperatingPoint, ...]:
    """Splits of each coding and pictures of each quality, as measured."""
    return (*crossed(judge, bottleneck, codings, advance), *pictured(judge, original, advance))


def crossed(
    judge: Judge, bottleneck: Bottleneck, codings: Mapping[str, Coding], advance: Callable[[str, float], None]
) -> tuple[OperatingPoint, ...]:
    """A split point for each coding, as measured; the number behind its name is its level."""
    points = []
    for number, (name, coding) in enumerate(codings.items()):
        advance("measuring", number / len(codings))
        point = OperatingPoint(name, "split", "rans", int(name.rpartition("-")[2]))
        points.append(judge.split(point, FeatureCodec(bottleneck, coding)))
    advance("measuring", 1.0)
    return tuple(points)


def pictured(
    judge: Judge, original: Callable[[int], NDArray[np.uint8]], advance: Callable[[str, float], None]
) -> tuple[OperatingPoint, ...]:
    """Pictures of each quality sent whole, as measured."""
    points = []
    for number, quality in enumerate(QUALITIES):
        advance("measuring pictures", number / len(QUALITIES))
        codec = ImageCodec("jpeg", quality)
        points.append(judge.image(OperatingPoint(f"jpeg-{quality}", "image", "jpeg", quality), codec, original))
    advance("measuring pictures", 1.0)
    return tuple(points)


def within(points: Sequence[OperatingPoint], most: int) -> tuple[OperatingPoint, ...]:
    """The points whose mean frame, header and payload, has `most` bytes at most (0: all), splits among them; BudgetError names
    the nearest.
    """
    splits = [p for p in points if p.mode == "split"]
    if not most:
        return tuple(points)
    kept = [p for p in points if p.frame_up <= most]
    if not any(p.mode == "split" for p in kept):
        nearest = min(splits, key=lambda p: p.frame_up)
        raise BudgetError(
            "no point of this student has frames that small",
            got=f"{most} bytes asked for",
            allowed=f"{nearest.frame_up:.0f} bytes and more: {nearest.name} is the nearest, with quality {nearest.worth():.3f}",
            hint="Fewer channels, --noise round with a --price, or a cut behind a stride give smaller frames.",
        )
    return tuple(kept)


def written(
    folder: Path,
    *,
    name: str,
    models: Mapping[PartName, bytes],
    picture: Picture,
    bottleneck: Bottleneck,
    task: Task,
    decoding: Decoding,
    labels: tuple[str, ...],
    points: tuple[OperatingPoint, ...],
    codings: Mapping[str, Coding],
    parameters: Mapping[str, Parameter],
    provenance: Mapping[str, str],
) -> Manifest:
    """The bundle."""
    return write_bundle(
        folder,
        name=name,
        task=task,
        labels=labels,
        parts=models,
        pictures={part: picture for part in ("head", "full") if part in models},
        bottleneck=bottleneck,
        decoding=decoding,
        points=points,
        codings={name: coding for name, coding in codings.items() if name in {p.name for p in points}},
        parameters=parameters,
        provenance=provenance,
    )
