"""Frames to train and judge a detector on: rendered ones, kept as bytes at the network's size, and the real clip's.

Rendering is quick, but a network sees each frame often; so frames are rendered once into shards of numpy files (pictures
uint8, boxes padded with NaN), from which batches are drawn without decoding. A third of them goes through JPEG first, for the
network must also answer pictures that crossed a link.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from edgewise.core.artifact import Picture
from edgewise.core.errors import SourceError
from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.preprocess import fit

MOST = 64  # boxes kept of a frame
PICTURE = Picture(320, 180)
CLIP_PARTS = {"train": (0, 262), "validate": (262, 350), "test": (350, 437)}  # labelled frames in order of time


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
    if not pack.exists():
        raise SourceError(
            "the real clip is not here", got=pack, hint="Put opendatacam.tar there, or train on rendered frames alone."
        )
    first, last = CLIP_PARTS[part]
    pictures, boxes, block = [], [], []
    with tarfile.open(pack) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(name)
            if member is None:
                raise SourceError("the pack of the clip lacks a file", got=name)
            return member.read()

        records = json.loads(read("opendatacam/alexeydetections30FPS.json"))
        for number, record in enumerate(records[first:last]):
            image = np.asarray(Image.open(io.BytesIO(read(f"opendatacam/frames/{record['frame_id']:03d}.jpg"))).convert("RGB"))
            pictures.append(image if picture is None else fit(image, picture)[0])
            boxes.append(padded(_labels(record)))
            block.append(f"clip {part} {number // stretch}")
    return Frames(np.stack(pictures), np.stack(boxes), ("clip",) * len(pictures), tuple(block))


def _labels(record: dict[str, list[dict[str, dict[str, float]]]]) -> NDArray[np.float64]:
    found = [o["relative_coordinates"] for o in record["objects"]]
    centre = np.array([(c["center_x"], c["center_y"]) for c in found], float).reshape(-1, 2)
    size = np.array([(c["width"], c["height"]) for c in found], float).reshape(-1, 2)
    corners: NDArray[np.float64] = np.clip(np.concatenate([centre - size / 2, centre + size / 2], axis=1), 0, 1)
    return corners


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
