"""Frames to train a detector of things on: pictures at its size, boxes, classes, which thing each pixel shows, cuboid corners.

Rendered once into shards of plain numpy files that are mapped, not read, so that many gigabytes cost no memory and a training
starts again at once. A third of the pictures went through JPEG, at the camera's size or at the network's, for the teacher
must also answer pictures that crossed a link. Masks are every second pixel of the renderer's (180 × 320): exact where
they are sampled. Data without masks or corners (BCCD) leave theirs empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.preprocess import fit
from edgewise.training.frames import recompressed

MOST = 64  # things kept of a frame, the largest
CORNERS = 8
FIELDS = ("boxes", "label", "number", "points", "masks", "pictures")  # the last is written last


class Things(Struct, frozen=True):
    """`pictures` (n, height, width, 3; uint8), `boxes` (n, MOST, 4; NaN where there is none), `label` (n, MOST; 0 …), `points`
    (n, MOST, 8, 2; fractions), `masks` (n, rows, columns; which thing, 0: none), `number` (n, MOST) of each box in that mask, and
    of each frame its condition and block. Without masks or corners the rows, or the points, are 0."""

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    label: NDArray[np.int64]
    points: NDArray[np.float32]
    masks: NDArray[np.uint8]
    number: NDArray[np.uint8]
    condition: tuple[str, ...]
    block: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)


def padded(boxes: NDArray[np.float64], *others: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Boxes (k, 4) and what belongs to each (k, …), the largest MOST, filled up with NaN (boxes) and 0."""
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    order = np.argsort(-(corners[:, 2:] - corners[:, :2]).prod(1), kind="stable")[:MOST]
    filled: list[NDArray[Any]] = []
    for number, values in enumerate((corners, *others)):
        kept = np.full((MOST, *values.shape[1:]), np.nan if number == 0 else 0, values.dtype)
        kept[: len(order)] = values[order]
        filled.append(kept)
    return tuple(filled)


def rendered(seeds: Sequence[int], times: int, picture: Picture, compressed: float = 0.0, apart: float = 23.0) -> Things:
    """`times` frames of every condition for each seed, `apart` s from each other; a share of them is `compressed`."""
    rows: list[tuple[NDArray[Any], ...]] = []
    condition, block = [], []
    for seed in seeds:
        junction = Junction(seed)
        generator = np.random.default_rng([seed, 11])
        for name in CONDITIONS:
            junction.set_condition(name)
            start = generator.uniform(0, 200)
            for number in range(times):
                seen = junction.render(start + number * apart)
                image, spoiled, small = seen.image, generator.random() < compressed, generator.random() < 0.5
                quality = int(generator.integers(15, 96))
                if spoiled and not small:
                    image = recompressed(image, quality)
                image = fit(image, picture)[0]
                if spoiled and small:
                    image = recompressed(image, quality)
                label = np.zeros(len(seen.boxes), np.int64)
                things = padded(seen.boxes, label, seen.identity.astype(np.uint8), seen.corners.astype(np.float32))
                rows.append((*things, seen.mask[::2, ::2], image))
                condition.append(name)
                block.append(f"junction {seed}")
    arrays = dict(zip(FIELDS, (np.stack(column) for column in zip(*rows, strict=True)), strict=True))
    return Things(**arrays, condition=tuple(condition), block=tuple(block))


def store(folder: Path, name: str, things: Things) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"condition": things.condition, "block": things.block}))
    for field in FIELDS:
        unfinished = folder / f"{name}.unfinished.npy"
        np.save(unfinished, getattr(things, field))
        unfinished.rename(folder / f"{name}.{field}.npy")  # pictures last, so that a shard that is there is whole


def stored(folder: Path, name: str) -> Things | None:
    """A shard written by `store`, mapped into memory, or None where it is not there (yet)."""
    if not (folder / f"{name}.{FIELDS[-1]}.npy").exists():
        return None
    facts = json.loads((folder / f"{name}.json").read_text())
    arrays = {field: np.load(folder / f"{name}.{field}.npy", mmap_mode="r") for field in FIELDS}
    return Things(**arrays, condition=tuple(facts["condition"]), block=tuple(facts["block"]))


def shards(
    folder: Path,
    scenes: int,
    times: int,
    picture: Picture,
    compressed: float,
    each: int = 10,
    heard: Callable[[str], None] | None = None,
) -> list[Things]:
    """The training scenes (seeds from 1000 on) in shards of `each`, rendered where they are missing."""
    found = []
    for first in range(0, scenes, each):
        name = f"{picture.width}x{picture.height}-{times}-{first:05d}"
        shard = stored(folder, name)
        if shard is None:
            seeds = range(1000 + first, 1000 + min(first + each, scenes))
            store(folder, name, rendered(seeds, times, picture, compressed))
            shard = stored(folder, name)
            assert shard is not None
            if heard is not None:
                heard(f"rendered {name}")
        found.append(shard)
    return found


def taken(parts: Sequence[Things], chosen: NDArray[np.int64]) -> Things:
    """The frames numbered `chosen` of all `parts`, counted through, as one."""
    ends = np.cumsum([len(part) for part in parts])
    places = [(int(np.searchsorted(ends, i, side="right")), int(i)) for i in chosen]
    rows = [(parts[p], i - int(ends[p]) + len(parts[p])) for p, i in places]
    arrays = {field: np.stack([getattr(part, field)[i] for part, i in rows]) for field in FIELDS}
    return Things(**arrays, condition=tuple(p.condition[i] for p, i in rows), block=tuple(p.block[i] for p, i in rows))
