"""What `edgewise split quick` tells: a row for each cut, JPEGs beside them, and where a JPEG is smaller, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgewise.core.artifact import Task
from edgewise.core.placement import OperatingPoint
from edgewise.core.wire import socket_bytes
from edgewise.split.measure import Agreement
from edgewise.split.trial import Trial, Tried


class CutRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A cut as measured: `share` of the FLOPs in front, `raw` bytes of the tensor in float16, `bytes` of a mean frame (5th to
    95th percentile beside), `ratio` of the two; `sent` of its `channels` have levels, `turned` ones (`edgewise.split.turn`)
    where that is smaller; seconds modelled where device and link are known.
    """

    tensor: str
    shape: tuple[int, ...]
    stage: int
    share: float
    raw: int
    bytes: float
    bytes_low: float
    bytes_high: float
    ratio: float
    agreement: Agreement
    channels: int
    sent: int
    turned: bool = False
    seconds: float | None = None


class ImageRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A JPEG of the picture at the size that the model sees: mean bytes of a frame on a socket, agreement."""

    quality: int
    bytes: float
    agreement: Agreement


class Int8Row(Struct, frozen=True, forbid_unknown_fields=True):
    """Head and tail in eight bits at the same coding: agreement, mean bytes of a frame on a socket, and of both files."""

    agreement: Agreement
    bytes: float
    before: int
    after: int
    taken: bool


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """What `quick` found: every cut, JPEGs beside them, what was chosen and why, the bundle, samples and what was left out."""

    model: str
    task: Task
    metric: str
    least: float
    cuts: tuple[CutRow, ...]
    jpegs: tuple[ImageRow, ...]
    chosen: str
    why: str
    points: tuple[OperatingPoint, ...]
    folder: str
    address: str
    calibrated: int
    judged: int
    left: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    constant: float
    """Agreement of frames that say nothing: every channel at its mean."""
    int8: Int8Row | None = None


def row_of(trial: Trial, found: Tried) -> CutRow:
    candidate = trial.candidate
    sizes = [socket_bytes(int(n)) for n in found.sizes]
    mean = float(np.mean(sizes))
    low, high = (float(v) for v in np.percentile(sizes, (5, 95)))
    return CutRow(
        candidate.tensor,
        candidate.shape,
        candidate.stage,
        round(trial.share, 4),
        candidate.raw,
        round(mean, 1),
        low,
        high,
        round(candidate.raw / mean, 2),
        found.agreement,
        trial.shape[candidate.axis],
        found.coding.sent,
        trial.turn is not None,
    )


def plainly(rows: Sequence[CutRow], best: CutRow, images: Sequence[ImageRow], least: float) -> list[str]:
    """Where a JPEG of the picture is smaller, in sentences."""
    if not images:
        return []
    good = [i for i in images if i.agreement.value >= least]
    if not good:
        top = max(images, key=lambda i: i.agreement.value)
        return [
            f"No JPEG up to quality {images[-1].quality} of the picture at the model's size agrees so well: "
            f"quality {top.quality} with {top.bytes:,.0f} bytes reaches {top.agreement.value:.3f}."
        ]
    image = min(good, key=lambda i: i.bytes)
    larger = [r for r in rows if r.bytes > image.bytes]
    said = f"a JPEG of quality {image.quality} of the picture at the model's size, {image.bytes:,.0f} bytes, agrees as well"
    if not larger:
        return [f"Every cut sends less than the picture: {said}."]
    told = f"A JPEG is smaller than {len(larger)} of {len(rows)} cuts ({', '.join(r.tensor for r in larger[:6])}): {said}."
    if best.bytes > image.bytes:
        told += (
            f" That holds for the chosen cut too, which sends {best.bytes:,.0f} bytes: send the picture, or train a bottleneck "
        )
        told += "(`edgewise split fit`), unless the picture must stay on the device."
    return [told]


def hollow(constant: float, metric: str) -> list[str]:
    """A warning where agreement says little, because a frame that says nothing agrees as well."""
    if constant < 0.8:
        return []
    return [
        f"Beware: frames that say nothing reach a {metric} of {constant:.3f} on these samples. The model gives nearly the same "
        "answer for all of them, so that agreement says little: calibrate with samples that differ."
    ]
