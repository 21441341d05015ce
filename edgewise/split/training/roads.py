"""Pictures with something in them and without: rendered roads, busy, nearly empty and empty, in every weather, or one's own.

A filter that saw only rush hour and empty roads would learn the easy thing. What it must not miss is one lorry in the fog: so
half of the frames with traffic hold a tenth of it. Frames whose only vehicle is too far, too small or too hidden to count as one
are empty by the renderer's rule, as they are for the detector: they are the hardest, and they stay in.

A block is a seed: a camera, its road, its houses. All weathers and hours of one are neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.core.errors import EdgewiseError
from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.labelled import Labels
from edgewise.data.pack import Pack
from edgewise.data.picture import read_picture
from edgewise.data.preprocess import fit
from edgewise.training.frames import recompressed

SPARSE = (0.04, 0.25)  # share of the traffic on a nearly empty road, from … to
APART = 23.0  # s between two frames of a scene: most of the traffic has changed


class Roads(Struct, frozen=True):
    """`pictures` (n, height, width, 3; uint8), whether something is `present` (n,), and of each frame its condition and block."""

    pictures: NDArray[np.uint8]
    present: NDArray[np.bool_]
    condition: tuple[str, ...]
    block: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.present)


def rendered(
    seeds: Sequence[int],
    picture: Picture,
    busy: int = 1,
    sparse: int = 1,
    empty: int = 2,
    compressed: float = 0.0,
    heard: Callable[[int], None] = lambda done: None,
) -> Roads:
    """So many frames of each kind of road in each condition for each seed; a share of the pictures was `compressed` as JPEG.

    `heard` is told how many seeds are done.
    """
    pictures, present, condition, block = [], [], [], []
    for done, seed in enumerate(seeds, 1):
        junction = Junction(seed)
        generator = np.random.default_rng([seed, 17])
        for name in CONDITIONS:
            junction.set_condition(name)
            start = generator.uniform(0, 200)
            for number in range(busy + sparse + empty):
                junction.empty = number >= busy + sparse
                junction.share = 1.0 if number < busy else float(np.exp(generator.uniform(*np.log(SPARSE))))
                image, boxes, _ = junction.frame(start + number * APART)
                if generator.random() < compressed:
                    image = recompressed(image, int(generator.integers(20, 96)))
                pictures.append(fit(image, picture)[0])
                present.append(len(boxes) > 0)
                condition.append(name)
                block.append(f"junction {seed}")
        heard(done)
    return Roads(np.stack(pictures), np.array(present), tuple(condition), tuple(block))


def labelled(pack: Pack, labels: Labels, of: str, picture: Picture, stretch: int = 15) -> tuple[Roads, Counter[str]]:
    """A person's labelled pictures: present where a box of label `of` (any, where `of` is empty) is in one. `stretch`
    neighbouring pictures are a block. Pictures that cannot be read are skipped and counted by reason."""
    pictures, present, skipped = [], [], Counter[str]()
    for one in labels.pictures:
        try:
            pictures.append(fit(read_picture(pack.read(one.identity), one.identity), picture)[0])
        except EdgewiseError as error:
            skipped[error.what] += 1
            continue
        present.append(any(not of or box.label == of for box in one.boxes))
    count = len(present)
    blocks = tuple(f"{pack.path.name} {i // stretch}" for i in range(count))
    frames = np.stack(pictures) if pictures else np.zeros((0, picture.height, picture.width, 3), np.uint8)
    return Roads(frames, np.array(present, bool), (pack.path.name,) * count, blocks), skipped


def joined(parts: Sequence[Roads]) -> Roads:
    return Roads(
        np.concatenate([p.pictures for p in parts]),
        np.concatenate([p.present for p in parts]),
        tuple(c for p in parts for c in p.condition),
        tuple(b for p in parts for b in p.block),
    )


def kept(file: Path, make: Callable[[], Roads]) -> Roads:
    """The frames in `file` (.npz), made and written there where it is missing."""
    if not file.exists():
        roads = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished.npz")
        np.savez(unfinished, pictures=roads.pictures, present=roads.present, condition=roads.condition, block=roads.block)
        unfinished.rename(file)
        return roads
    with np.load(file) as stored:
        condition, block = (tuple(str(x) for x in stored[name]) for name in ("condition", "block"))
        return Roads(stored["pictures"], stored["present"], condition, block)
