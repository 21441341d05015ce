"""What JPEG costs a detector of boxes, masks and keypoints: bytes against three average precisions, at two sizes of picture.

The curve that a split has to beat. The teacher (`edgewise.training.nets.fpn`, weights beside this file) answers rendered
junctions that it never saw, as they are and through JPEG of several qualities, once at its own input size (384 × 216) and
once at the camera's (640 × 360, shrunk after decoding): the first costs fewer bytes, the second loses less. Bytes are
those of a socket. The same for blood cells (BCCD, real pictures, boxes alone) where the pack is there. Truth of
rendered frames is exact, their texture poorer than that of real ones, which flatters JPEG's bytes and every score alike.
Intervals draw scenes again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from bench.report import ROOT, Report, Row
from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer
from edgewise.core.artifact import Picture
from edgewise.core.decoding import Things
from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.core.wire import socket_bytes
from edgewise.data.decoding.things import answers
from edgewise.data.junction.footage import LABEL, Seen, footage
from edgewise.data.preprocess import fit
from edgewise.data.things import intervals
from edgewise.training import bccd
from edgewise.training.nets import fpn
from edgewise.training.things_job import load

WEIGHTS = ROOT / "bench" / "weights"
QUALITIES = (20, 35, 50, 75, 90)
TEST_SEED = 100
DECODING = Things(threshold=0.05, overlap=0.6, keypoints=8, mask=28)
CELLS = Things(threshold=0.05, overlap=0.5, keypoints=0, mask=0)
BATCH = 8
NAMES = {"box": "AP of boxes", "mask": "AP of masks", "points": "AP of keypoints"}
Image = NDArray[np.uint8]


class Point(Struct, frozen=True):
    """One way to send pictures: bytes of each frame, the answers, and the scores (`box`, `box50`, …) with their intervals."""

    case: str
    bytes: tuple[int, ...]
    answers: tuple[Answer, ...]
    scores: dict[str, Quality]


def run(quick: bool) -> Report:
    frames = list(footage(range(TEST_SEED, TEST_SEED + (5 if quick else 50))))
    points = curve(teacher("things"), frames)
    rows = [row for point in points for row in rows_of(point, "junction")]
    config: dict[str, object] = {"junction_seeds": [TEST_SEED, TEST_SEED + len({f.block for f in frames}) - 1], "jpeg": QUALITIES}
    pack = Path(os.environ.get("EDGEWISE_DATA", ROOT.parent / "shared" / "data")) / "bccd.tar"
    if pack.is_file() and (WEIGHTS / "bccd.safetensors").is_file():
        rows += [row for point in cells(teacher("bccd"), pack, quick) for row in rows_of(point, "BCCD")]
    else:
        config["left_out"] = "BCCD: its pack or weights are not here"
    return Report(rows, (), config, "none", "torch CPU")


def teacher(name: str) -> fpn.Detector:
    """The trained detector `things` or `bccd`."""
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        hint = "Train it: python -m edgewise.training.things_job --work DIR."
        raise ConfigError(
            "the teacher's weights are not here", got=path.relative_to(ROOT), allowed="a trained detector", hint=hint
        )
    return load(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def answered(net: fpn.Detector, images: Sequence[Image], decoding: Things, labels: Sequence[str]) -> tuple[Answer, ...]:
    """What the network says of pictures (height, width, 3) that have its size."""
    said: list[Answer] = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            x = torch.from_numpy(np.stack(images[first : first + BATCH])).permute(0, 3, 1, 2).float() / 255
            maps = {name: value.numpy() for name, value in net(x).items()}
            said += answers(maps, decoding, labels)
    return tuple(said)


def curve(net: fpn.Detector, frames: Sequence[Seen], qualities: Sequence[int] = QUALITIES) -> tuple[Point, ...]:
    """The junction's frames as they are, and through JPEG at both sizes."""
    images, truth, blocks = [f.image for f in frames], [f.truth for f in frames], [f.block for f in frames]

    def judged(said: Sequence[Answer]) -> dict[str, Quality]:
        return intervals(said, truth, blocks, DECODING.mask)

    return _points(lambda shown: answered(net, shown, DECODING, (LABEL,)), judged, images, fpn.PICTURE, qualities)


def cells(net: fpn.Detector, pack: Path, quick: bool, qualities: Sequence[int] = QUALITIES) -> tuple[Point, ...]:
    """The same for the test pictures of BCCD, each a block."""
    found = list(bccd.pictures(pack, "test"))[: 12 if quick else None]
    images, truth, names = [image for _, image, _ in found], [scene for _, _, scene in found], [name for name, _, _ in found]

    def judged(said: Sequence[Answer]) -> dict[str, Quality]:
        return intervals(said, truth, names)

    return _points(lambda shown: answered(net, shown, CELLS, bccd.LABELS), judged, images, bccd.PICTURE, qualities)


def _points(
    said: Callable[[Sequence[Image]], tuple[Answer, ...]],
    judged: Callable[[Sequence[Answer]], dict[str, Quality]],
    images: Sequence[Image],
    picture: Picture,
    qualities: Sequence[int],
) -> tuple[Point, ...]:
    small = [fit(image, picture)[0] for image in images]
    found = []

    def add(case: str, sizes: Sequence[int], shown: Sequence[Image]) -> None:
        answer = said(shown)
        found.append(Point(case, tuple(sizes), answer, judged(answer)))

    add("as it is", [socket_bytes(image.size) for image in small], small)
    for width, sources in ((picture.width, small), (images[0].shape[1], images)):
        for quality in qualities:
            codec = ImageCodec("jpeg", quality)
            payloads = [codec.encode(image) for image in sources]
            shown = [fit(codec.decode(payload), picture)[0] for payload in payloads]
            add(f"JPEG q{quality} of {width} px", [socket_bytes(len(payload)) for payload in payloads], shown)
    return tuple(found)


def rows_of(point: Point, data: str) -> list[Row]:
    """The mean frame with the 5th and 95th percentile of frames; each score with its 95 % interval over scenes."""
    case, count = f"{data}, {point.case}", len(point.bytes)
    low, high = np.percentile(point.bytes, (5, 95))
    rows = [Row(case, "frame", float(np.mean(point.bytes)), "bytes", count, float(low), float(high))]
    for name, score in point.scores.items():
        metric = NAMES[name.removesuffix("50")].replace("AP", "AP50" if name.endswith("50") else "AP")
        rows.append(Row(case, metric, score.value, "", score.n, score.low, score.high))
    return rows
