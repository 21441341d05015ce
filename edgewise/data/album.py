"""An Album: pictures that can be asked for by number, whatever they come from, with what their labels say.

A Stream shows the same pictures several times and in any order, which a Source (frames as they come) cannot. The pictures of a
folder or tar, with whatever labels `edgewise.data.dataset` finds, are read once when the album is opened: what cannot be read is
counted then, and a number means the same picture from there on. Those that do not fit into memory are read again when they are
asked for. Of a clip, a camera and the rendered junction the first `limit` frames are kept. Whether labels are right it does not
know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.core.errors import ConfigError, SourceError
from edgewise.data.dataset import FOR_TESTS, Dataset, Entry, open_dataset
from edgewise.data.picture import read_picture
from edgewise.data.preprocess import fit
from edgewise.data.source import moves, open_source

UNKNOWN = -1  # class of a picture that no label speaks of
MOST = 2_000  # frames kept of a clip, a camera or a rendered junction where no limit is given
MOST_BYTES = 2_000_000_000  # of frames that can only be read once
KEPT = 256_000_000  # bytes of pictures that are not read again
UNREADABLE = "the picture cannot be read"

Advance = Callable[[str, float], None]


class Album(Struct, frozen=True):
    """`entries` tell what is known of each picture, `read` gives one by its number, `skipped` counts by reason what was left out.

    `names` are the classes in the order in which `labels` count them. With `picture` all have that size.
    """

    entries: tuple[Entry, ...]
    read: Callable[[int], NDArray[np.uint8]]
    names: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    skipped: Mapping[str, int] = {}
    picture: Picture | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the class of each picture as a number of `names`; UNKNOWN where nobody says it."""
        known = {name: i for i, name in enumerate(self.names)}
        return np.array([known.get(e.label, UNKNOWN) for e in self.entries], np.int64)

    def of(self, index: int) -> NDArray[np.uint8]:
        """The picture (height, width, 3; uint8, RGB) of that number; SourceError or ImageError where it is gone since."""
        image = self.read(index)
        return image if self.picture is None else fit(image, self.picture)[0]

    def stack(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """(n, height, width, 3); the pictures must have one size."""
        return np.stack([self.of(i) for i in indices])


def open_album(
    spec: str | Path,
    limit: int | None = None,
    seed: int = 0,
    picture: Picture | None = None,
    part: Sequence[str] = FOR_TESTS,
    advance: Advance = lambda what, share: None,
) -> Album:
    """The pictures of a folder, a tar, a clip, a camera or `junction:SEED[:CONDITION]`, `limit` of them.

    Of a folder they are drawn by `seed`; else they are the first. SourceError where there is none, ConfigError for labels that
    are malformed. `part` is what `open_dataset` takes of a set that has parts.
    """
    if moves(str(spec)):
        return _watched(str(spec), limit or MOST, picture, advance)
    dataset = open_dataset(spec, limit, seed, part=part)
    if dataset.kind == "arrays":
        raise SourceError("the samples are arrays, and only pictures can be seen through weather", got=spec)
    return _listed(dataset, picture, advance)


def kept(
    pictures: NDArray[np.uint8], entries: Sequence[Entry] | None = None, names: Sequence[str] = (), told: Sequence[str] = ()
) -> Album:
    """An album of pictures in memory (n, height, width, 3), as benchmarks and tests have them.

    >>> len(kept(np.zeros((5, 32, 32, 3), np.uint8)))
    5
    """
    entries = [Entry(str(i)) for i in range(len(pictures))] if entries is None else entries
    if len(entries) != len(pictures):
        raise ConfigError("each picture of an album needs an entry", got=f"{len(entries)} for {len(pictures)}")
    return Album(tuple(entries), lambda i: pictures[i], tuple(names), tuple(told))


def _listed(dataset: Dataset, picture: Picture | None, advance: Advance) -> Album:
    """All pictures read once, to know which of them can be; as many as KEPT bytes hold stay in memory."""
    entries: list[Entry] = []
    near: dict[int, NDArray[np.uint8]] = {}
    held = 0
    for number, example in enumerate(dataset):
        image = example.values if picture is None else fit(example.values, picture)[0]
        if held + image.nbytes <= KEPT:
            near[len(entries)], held = image, held + image.nbytes
        entries.append(example.entry)
        if number % 64 == 0:
            advance("reading pictures", number / len(dataset.entries))

    def read(index: int) -> NDArray[np.uint8]:
        name = entries[index].name
        return near[index] if index in near else read_picture(dataset.pack.read(name), name)

    names = tuple(sorted({e.label for e in entries if e.label}))
    skipped = {UNREADABLE: len(dataset.unreadable)} if dataset.unreadable else {}
    return Album(tuple(entries), read, names, tuple(dataset.told), skipped, picture)


def _watched(spec: str, limit: int, picture: Picture | None, advance: Advance) -> Album:
    """The first frames of what moves."""
    live = "://" in spec or spec.startswith("/dev/")
    source = open_source(spec, rate=None if live else math.inf)
    frames: list[NDArray[np.uint8]] = []
    entries = []
    held = 0
    try:
        for sample in source:
            frames.append(sample.image if picture is None else fit(sample.image, picture)[0])
            entries.append(Entry(sample.identity))
            held += frames[-1].nbytes
            if held > MOST_BYTES:
                raise SourceError(
                    "the frames do not fit into memory",
                    got=f"{held} bytes after {len(frames)} frames of {spec}",
                    allowed=f"{MOST_BYTES} bytes",
                    hint="Ask for fewer of them.",
                )
            advance("reading frames", len(frames) / limit)
            if len(frames) >= limit:
                break
    finally:
        source.close()
    if not frames:
        raise SourceError("the source gave no frame", got=spec)
    told = (f"{len(frames)} frames of {spec}, without labels",)
    return Album(tuple(entries), lambda i: frames[i], (), told, dict(source.skipped), picture)
