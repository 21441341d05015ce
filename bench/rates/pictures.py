"""Offloading a picture as JPEG, WebP or AVIF: the baselines that a user has today, each at its best.

    KIND                 the file and a frame's header of 24 bytes; the teacher as it is
    KIND-shared          without what both sides could know of a file (`edgewise.codec.bare`): JPEG with the standard's Huffman
                         tables, WebP without RIFF, AVIF without its boxes, which are more than half of it at this size
    KIND-tuned, KIND-shared-tuned       with the whole teacher tuned on what this codec gives back, at mixed qualities

All start from the same picture of 128 × 128, which is decoded from what was sent: JPEG with optimised Huffman tables and half the
chroma, WebP with method 4, AVIF by libaom at speed 6, tuned to the squared error; of each the settings at which the teacher is
right most often for its bytes. `more` of a record keeps the bare file's mean bytes beside the frame's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.jobs import Advance, Job, Size
from bench.rates.decoded import TUNING, Decoded, Files, Through, answered, files, tuned
from bench.rates.ground import Ground, ground
from bench.rates.jobs import DATA, record_file
from bench.rates.record import About, Record, keep
from edgewise.codec.bare import bare_bytes
from edgewise.codec.image import ImageCodec, Kind, there
from edgewise.core.wire import FRAME_HEADER
from edgewise.training.course import Pictures, Source

KINDS: tuple[Kind, ...] = ("jpeg", "webp", "avif")
QUALITIES: dict[Kind, tuple[int, ...]] = {
    "jpeg": (2, 5, 8, 10, 15, 20, 30, 50),
    "webp": (1, 3, 6, 10, 20, 40, 60),
    "avif": (1, 7, 13, 19, 25, 32, 40, 55),
}
HIGHEST_TUNED = {"jpeg": 30, "webp": 40, "avif": 40}  # quality; above it a decoded picture is as good as the picture


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """As is (seed 0 alone: nothing is drawn) and with a tuned tail, a job each for every codec that this Pillow has."""
    found = []
    for kind in (k for k in KINDS if there(k)):
        for name, run, priority in ((kind, "as_is", 2.5), (f"{kind}-tuned", "with_tuned_tail", 3 if seed == 0 else 6)):
            if seed and run == "as_is":
                continue
            leaves = tuple(f for q in qualities(kind, size) for f in _leaves(kind, f"q{q}", run != "as_is", seed, size))
            arguments = {"kind": kind, "size": size} | ({} if run == "as_is" else {"seed": seed})
            found.append(Job(f"{name}.{seed}", f"bench.rates.pictures:{run}", leaves, arguments, priority))
    return found


def qualities(kind: Kind, size: Size) -> tuple[int, ...]:
    """Those at which a codec is judged, from the least."""
    return QUALITIES[kind] if size == "full" else QUALITIES[kind][:-1:2]


def as_is(work: Path, advance: Advance, kind: Kind, size: Size = "full") -> None:
    """Records of a codec whose pictures the teacher sees as it is."""
    found = ground(work, size, advance)
    _judge(work, found, found.teacher, kind, size, False, 0, advance)


def with_tuned_tail(work: Path, advance: Advance, kind: Kind, size: Size = "full", seed: int = 0) -> None:
    """The teacher tuned on what this codec gives back, and its records."""
    found = ground(work, size, advance)
    ways = [again(ImageCodec(kind, q, small=True)) for q in qualities(kind, size) if q <= HIGHEST_TUNED[kind]]
    net = tuned(found, ways, TUNING[size], seed, work / "tuned" / f"{kind}.{seed}", advance)
    _judge(work, found, net, kind, size, True, seed, advance)


def again(codec: ImageCodec) -> Through:
    """Pictures (n, height, width, 3), each coded and decoded."""

    def way(pictures: Pictures) -> Pictures:
        return np.stack([codec.decode(codec.encode(one)) for one in pictures])

    return way


def shared_sizes(kind: Kind, quality: int, held: Source, kept: Files) -> NDArray[np.int64]:
    """(n,) bytes without what both sides know; JPEG is written anew, with the tables that they do know."""
    if kind != "jpeg":
        return np.array([bare_bytes(kind, kept[i]) for i in range(len(kept))])
    codec = ImageCodec("jpeg", quality)
    return np.array([bare_bytes("jpeg", codec.encode(held.of([i])[0])) for i in range(len(held))])


def _judge(
    work: Path, found: Ground, net: nn.Module, kind: Kind, size: Size, is_tuned: bool, seed: int, advance: Advance
) -> None:
    chosen = qualities(kind, size)
    for number, quality in enumerate(chosen):
        codec = ImageCodec(kind, quality, small=True)
        kept = files(found.held, codec, work / "coded" / f"{found.data}-{kind}-{quality}.npz", advance)
        right = answered(net, Decoded(kept, codec), found)
        for shared in (False, True):
            sizes = shared_sizes(kind, quality, found.held, kept) if shared else kept.sizes
            about = About(
                _method(kind, shared, is_tuned),
                f"q{quality}",
                seed,
                data=found.data,
                epochs={"tail": TUNING[size].epochs} if is_tuned else {},
                more={"quality": quality, "file": float(kept.sizes.mean()), "payload": float(sizes.mean())},
            )
            keep(Record(about, right, sizes + FRAME_HEADER), work)
        advance(f"judging {kind}", (number + 1) / len(chosen))


def _method(kind: Kind, shared: bool, is_tuned: bool) -> str:
    return kind + "-shared" * shared + "-tuned" * is_tuned


def _leaves(kind: Kind, point: str, is_tuned: bool, seed: int, size: Size) -> tuple[str, ...]:
    return tuple(record_file(_method(kind, s, is_tuned), point, seed, data=DATA[size]) for s in (False, True))
