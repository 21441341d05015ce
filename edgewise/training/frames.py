"""Frames to train and judge a detector on: rendered ones, kept as bytes at the network's size, and the real clip's.

Rendering is quick, but a network sees each frame often; so frames are rendered once into shards of numpy files (pictures
uint8, boxes padded with NaN), from which batches are drawn without decoding. A third of them goes through JPEG first, for the
network must also answer pictures that crossed a link.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from edgewise.core.artifact import Picture
from edgewise.data.clip import by_time, frame, read_clip
from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.pack import open_pack
from edgewise.data.preprocess import fit

MOST = 64  # boxes kept of a frame
PICTURE = Picture(320, 180)
CLIP_PARTS = ("train", "validate", "test")  # in order of time; sizes in `edgewise.data.clip`


class Frames(Struct, frozen=True):
    """`pictures` (n, height, width, 3; uint8), `boxes` (n, MOST, 4; NaN where there is none), and of each frame the
    condition and the block (scene or stretch of a clip) for the bootstrap."""

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    condition: tuple[str, ...]
    block: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def corners(self, i: int) -> NDArray[np.float64]:
        """The boxes of frame `i` without padding (k, 4)."""
        kept = self.boxes[i]
        corners: NDArray[np.float64] = kept[~np.isnan(kept[:, 0])].astype(float)
        return corners


def joined(parts: Sequence[Frames]) -> Frames:
    return Frames(
        np.concatenate([p.pictures for p in parts]),
        np.concatenate([p.boxes for p in parts]),
        tuple(c for p in parts for c in p.condition),
        tuple(b for p in parts for b in p.block),
    )


def padded(corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """Boxes (k, 4) with NaN up to MOST; the largest are kept."""
    boxes = np.asarray(corners, np.float32).reshape(-1, 4)
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(1))[:MOST]
    kept = np.full((MOST, 4), np.nan, np.float32)
    kept[: len(order)] = boxes[order]
    return kept


def rendered(
    seeds: Sequence[int], times: int, picture: Picture | None = PICTURE, compressed: float = 0.0, apart: float = 7.0
) -> Frames:
    """`times` frames of every condition for each seed, `apart` seconds from each other; a share of them is `compressed`.

    With no `picture` the frames keep the camera's size.
    """
    pictures, boxes, condition, block = [], [], [], []
    for seed in seeds:
        junction = Junction(seed)
        generator = np.random.default_rng([seed, 7])
        for name in CONDITIONS:
            junction.set_condition(name)
            start = generator.uniform(0, 200)
            for number in range(times):
                image, corners, _ = junction.frame(start + number * apart)
                if generator.random() < compressed:
                    image = recompressed(image, int(generator.integers(20, 96)))
                pictures.append(image if picture is None else fit(image, picture)[0])
                boxes.append(padded(corners))
                condition.append(name)
                block.append(f"junction {seed}")
    return Frames(np.stack(pictures), np.stack(boxes), tuple(condition), tuple(block))


def recompressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """What a JPEG of this quality leaves of a picture."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored).convert("RGB"))


def clip(pack: Path, part: str, picture: Picture | None = PICTURE, stretch: int = 15) -> Frames:
    """Labelled frames of the real clip; `part` is train, validate or test. The labels are another network's."""
    files = open_pack(pack)
    found = by_time(read_clip(files).pictures)[CLIP_PARTS.index(part)]
    images = (frame(files, labelled) for labelled in found)
    return Frames(
        np.stack([image if picture is None else fit(image, picture)[0] for image in images]),
        np.stack([padded(np.array([(b.x0, b.y0, b.x1, b.y1) for b in labelled.boxes])) for labelled in found]),
        ("clip",) * len(found),
        tuple(f"clip {part} {number // stretch}" for number in range(len(found))),
    )


def store(folder: Path, name: str, frames: Frames) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.boxes.npy", frames.boxes)
    (folder / f"{name}.json").write_text(json.dumps({"condition": frames.condition, "block": frames.block}))
    unfinished = folder / f"{name}.unfinished.npy"
    np.save(unfinished, frames.pictures)
    unfinished.rename(folder / f"{name}.npy")  # last, so that a shard that is there is whole


def stored(folder: Path, name: str) -> Frames | None:
    """A shard written by `store`, or None where it is not there (yet)."""
    if not (folder / f"{name}.npy").exists():
        return None
    facts = json.loads((folder / f"{name}.json").read_text())
    return Frames(
        np.load(folder / f"{name}.npy"),
        np.load(folder / f"{name}.boxes.npy"),
        tuple(facts["condition"]),
        tuple(facts["block"]),
    )
