"""Pictures with something in them and without: rendered roads, busy, nearly empty and empty, in every weather, or one's own.

A filter that saw only rush hour and empty roads would learn the easy thing. What it must not miss is one lorry in the fog: so
half of the frames with traffic hold a tenth of it. Frames whose only vehicle is too far, too small or too hidden to count as one
are empty by the renderer's rule, as they are for the detector: they are the hardest, and they stay in.

A rendered block is a seed: a camera, its road, its houses. All weathers and hours of one are neighbours. The traffic is recorded
once for each role of seeds (one episode of 240 s for seeds 200–299, two for 100–199), so blocks of a role show the same vehicles
at other moments, from other cameras. One's own are long stretches of a film (`edgewise.split.films`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError
from edgewise.data.dataset import Dataset, Entry
from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS
from edgewise.data.preprocess import fit
from edgewise.split.films import STRETCH, film_of, ordered, runs, shots
from edgewise.training.frames import recompressed

SPARSE = (0.04, 0.25)  # share of the traffic on a nearly empty road, from … to
Says = Callable[[NDArray[np.uint8]], set[str]]  # picture → the labels of what is in it
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


def owned(data: Dataset, of: str, picture: Picture, stretch: int = STRETCH, said: Says | None = None) -> tuple[Roads, int]:
    """A person's pictures, film by film, and how many films: present where a box, or the class, of label `of` is in one.

    Anything labelled will do where `of` is empty. Where nobody labelled them, `said` tells what is there: the model itself, whose
    misses the filter then shares. A block is a scene of `edgewise.split.films`, of `stretch` pictures; the condition is the film.
    What cannot be read stands in `data.unreadable`.
    """
    if not data.labelled and said is None:
        raise ConfigError(
            "nobody says what is in these pictures", got=f"{len(data.entries)} without labels", allowed="labelled ones"
        )
    entries: list[Entry] = []
    images: list[NDArray[np.uint8]] = []
    wanted: list[bool] = []
    for example in data:
        there = said(example.values) if said is not None and not data.labelled else _names(example.entry)
        entries.append(example.entry)
        images.append(fit(example.values, picture)[0])
        wanted.append(bool(there) if not of else of in there)
    order = ordered([e.name for e in entries], [e.label for e in entries])
    films = tuple(film_of(entries[i].name, entries[i].label) for i in order)
    blocks = tuple(shot.scene for shot in shots(films, stretch))
    roads = Roads(np.stack([images[i] for i in order]), np.array([wanted[i] for i in order]), films, blocks)
    return roads, len(set(films))


def parted(roads: Roads, shares: Sequence[float]) -> list[Roads]:
    """Runs of whole blocks in parts of these shares, a block left out between two (`edgewise.split.films.runs`)."""
    parts = []
    for run in runs(roads.block, shares):
        wanted = set(run)
        chosen = np.array([b in wanted for b in roads.block], bool)
        condition, block = (tuple(x for x, c in zip(words, chosen) if c) for words in (roads.condition, roads.block))
        parts.append(Roads(roads.pictures[chosen], roads.present[chosen], condition, block))
    return parts


def _names(entry: Entry) -> set[str]:
    return {box.label for box in entry.boxes} | ({entry.label} if entry.label else set())


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
