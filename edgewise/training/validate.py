"""How good and how dear each operating point is: the validation table that a bundle carries.

Every mode does what the product does, to the byte: fit, head, codec both ways, tail, answer. Quality is cell F1 pooled over
frames, with an interval by bootstrap over scenes. Thresholds are chosen here, on validation frames, and never on the frames
that a benchmark reports. Times are medians of this thread's CPU time, without waiting; bytes are payloads without frame
header. No torch: what is judged is the exported bundle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.select import codec
from edgewise.core.answer import Answer
from edgewise.core.artifact import Bottleneck, Grid, Picture
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data.boxes import COLUMNS, ROWS, occupied, overlaps
from edgewise.data.decoding import answers
from edgewise.data.metrics import cell_quality, counts, f1
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.session import Session
from edgewise.training.frames import Frames

Maps = dict[str, NDArray[np.float32]]

POINTS = (
    OperatingPoint("local", "local"),
    *(OperatingPoint(f"split-{bits}", "split", "affine", bits) for bits in (8, 4, 2)),
    *(OperatingPoint(f"jpeg-{quality}", "image", "jpeg", quality) for quality in (30, 50, 75, 90)),
    OperatingPoint("drop", "drop"),
)


class Parts(Struct, frozen=True):
    """The sessions of a bundle, the pictures they want, and the bottleneck between head and tail.

    Whole pictures are answered by head and tail without rounding between them.
    """

    head: Session
    tail: Session
    local: Session
    wide: Picture
    small: Picture
    bottleneck: Bottleneck


def parts(bundle: Bundle) -> Parts:
    """The parts of an opened bundle."""
    pictures = bundle.manifest.pictures
    head, tail, local = bundle.session("head"), bundle.session("tail"), bundle.session("local")
    return Parts(head, tail, local, pictures["head"], pictures["local"], bundle.manifest.crossing)


class Told(Struct, frozen=True):
    """The maps of one frame by one operating point, the bytes it sent, and seconds on the device and on the edge."""

    maps: Maps
    sent: int
    device: float
    edge: float


def told(parts: Parts, point: OperatingPoint, image: NDArray[np.uint8]) -> Told:
    """Answer `image` (height, width, 3) in the way of `point`, up to the maps."""
    clock = time.thread_time  # a session of one thread runs in this one; what else the machine does is left out
    begun = clock()
    if point.mode == "local":
        maps = parts.local.run({"picture": fit(image, parts.small)})
        return Told(maps, 0, clock() - begun, 0.0)
    coder = codec(point, parts.bottleneck)
    if point.mode == "split":
        payload = coder.encode(parts.head.run({"picture": fit(image, parts.wide)})["bottleneck"])
        sent = clock()
        maps = parts.tail.run({"bottleneck": coder.decode(payload)})
    else:
        payload = coder.encode(image)
        sent = clock()
        maps = _whole(parts, coder.decode(payload))
    return Told(maps, len(payload), sent - begun, clock() - sent)


def _whole(parts: Parts, image: NDArray[np.uint8]) -> Maps:
    """The maps of a picture on the edge."""
    return parts.tail.run({"bottleneck": parts.head.run({"picture": fit(image, parts.wide)})["bottleneck"]})


def everything(parts: Parts, point: OperatingPoint, images: Iterable[NDArray[np.uint8]]) -> list[Told]:
    return [told(parts, point, image) for image in images]


def truth(frames: Frames) -> NDArray[np.bool_]:
    """The occupied cells of every frame (frame, rows, columns)."""
    return np.stack([occupied(frames.corners(i)) for i in range(len(frames))])


def probabilities(found: Sequence[Told]) -> NDArray[np.float32]:
    """The occupied map of every frame (frame, rows, columns)."""
    return np.concatenate([t.maps["occupied"][:, 0] for t in found])


def chosen_cell_threshold(occupancy: Sequence[NDArray[np.float32]], true: NDArray[np.bool_]) -> float:
    """The threshold with the best F1, averaged over several operating points (`occupancy` of each)."""
    grid = [round(0.2 + 0.025 * i, 3) for i in range(21)]
    return max(grid, key=lambda t: sum(f1(counts(o >= t, true)) for o in occupancy))


def chosen_decoding(found: Sequence[Told], frames: Frames, cell_threshold: float) -> Grid:
    """Score threshold and overlap with the best F1 of boxes at IoU 0.5."""

    def judged(threshold: float, overlap: float) -> tuple[float, Grid]:
        decoding = Grid(threshold, overlap, cell_threshold, ROWS, COLUMNS)
        said = [answers(t.maps, decoding, ["vehicle"])[0] for t in found]
        return box_f1(said, frames), decoding

    return max((judged(t / 20, o / 20) for t in range(3, 13) for o in (8, 10, 12)), key=lambda pair: pair[0])[1]


def box_f1(said: Sequence[Answer], frames: Frames, overlap: float = 0.5) -> float:
    """F1 of boxes matched one to one, strongest first, at IoU `overlap`."""
    hit = total = true = 0
    for i, answer in enumerate(said):
        corners = frames.corners(i)
        between = overlaps([[b.x0, b.y0, b.x1, b.y1] for b in answer.boxes], corners)
        free = np.ones(len(corners), bool)
        for row in between:
            if free.any() and (row * free).max() >= overlap:
                free[int(np.argmax(row * free))] = False
        hit, total, true = hit + int((~free).sum()), total + len(answer.boxes), true + len(corners)
    return 2 * hit / max(total + true, 1)


def by_condition(
    said: NDArray[np.bool_], true: NDArray[np.bool_], condition: Sequence[str], block: Sequence[str]
) -> dict[str, Quality]:
    """Cell F1 of `all` rendered conditions together, of each one, and of the clip by itself where it is among them."""
    names = {"all": [c != "clip" for c in condition]} | {c: [c == d for d in condition] for c in dict.fromkeys(condition)}
    found = {}
    for name, here in names.items():
        rows = np.flatnonzero(here)
        if len(rows):
            found[name] = cell_quality(said[rows], true[rows], [b for b, kept in zip(block, here) if kept])
    return found


def measured(
    point: OperatingPoint, found: Sequence[Told], decoding: Grid, frames: Frames, true: NDArray[np.bool_]
) -> OperatingPoint:
    """`point` with what it takes and is worth on these frames."""
    if point.mode == "drop":
        return msgspec.structs.replace(point, quality=by_condition(np.zeros_like(true), true, frames.condition, frames.block))
    said = probabilities(found) >= decoding.cell_threshold
    replies = [len(msgspec.msgpack.encode(answers(t.maps, decoding, ["vehicle"])[0])) for t in found[:100]]
    rendered = [t.sent for t, c in zip(found, frames.condition) if c != "clip"] or [t.sent for t in found]
    return msgspec.structs.replace(
        point,
        bytes_up=round(float(np.mean(rendered)), 1),
        bytes_down=0.0 if point.mode == "local" else round(float(np.mean(replies)), 1),
        device_time=round(float(np.median([t.device for t in found])), 6),
        edge_time=round(float(np.median([t.edge for t in found])), 6),
        quality=by_condition(said, true, frames.condition, frames.block),
    )


def table(
    parts: Parts, frames: Frames, heard: Callable[[str], None] = lambda line: None
) -> tuple[Grid, tuple[OperatingPoint, ...]]:
    """Choose the decoding on `frames` (camera-sized pictures), then measure every operating point with it."""
    true = truth(frames)
    found = {p.name: everything(parts, p, frames.pictures) for p in POINTS if p.mode != "drop"}
    threshold = chosen_cell_threshold([probabilities(found[n]) for n in ("split-8", "split-4", "local")], true)
    decoding = chosen_decoding(found["split-8"], frames, threshold)
    points = tuple(measured(p, found.get(p.name, []), decoding, frames, true) for p in POINTS)
    for p in points:
        worth = ", ".join(f"{c} {q.value:.3f}" for c, q in p.quality.items())
        heard(f"{p.name}: {p.bytes_up:.0f} B, device {1e3 * p.device_time:.2f} ms, edge {1e3 * p.edge_time:.2f} ms; {worth}")
    return decoding, points
