"""A Gallery: the pictures of a folder or tar at one size, decoded once and kept as a file of numbers that training can draw from.

A training sees each picture often, decoding costs more than a step of a small network, and a resumed run must see the same
pictures in the same order: so they are read once into one `.npy` of a work folder, and mapped from there. A picture that cannot
be read is left out, counted under its reason and named; where more than a share of them fails, the folder is not what its owner
thinks it is, and that is an error.

Which pictures they were is known by their names, sizes and times: one that was replaced has all of them read again.

`parted` keeps a share of the pictures for judging. Neighbours by name are frames of one film, as often as not, and a frame beside
one that taught is no test: so what judges are a few long stretches of each folder, and between them and what teaches a border is
left out. It knows names alone: a folder that mixes films frame by frame has neighbours on both sides all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.core.errors import ImageError, SourceError
from edgewise.data.pack import Pack
from edgewise.data.picture import SUFFIXES, read_picture
from edgewise.data.preprocess import fit

Pictures = NDArray[np.uint8]
Advance = Callable[[str, float], None]
NAMED = 5
STRETCHES, LONG = 8, 100  # of one folder, at most, and the pictures that there are for each
BORDER, BORDERS = 16, 20  # pictures between judging and learning, at most; and no more than one in so many


class Left(Struct, frozen=True, forbid_unknown_fields=True):
    """A picture that was left out, and why."""

    name: str
    why: str


class Gallery(Struct, frozen=True):
    """`pictures` (n, height, width, 3; uint8), their `names`, and what was `left` out."""

    pictures: Pictures
    names: tuple[str, ...]
    left: tuple[Left, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def picture(self) -> Picture:
        return Picture(self.pictures.shape[2], self.pictures.shape[1])

    def of(self, indices: Sequence[int]) -> Pictures:
        """Some of the pictures, in this order, as an array of their own."""
        return np.ascontiguousarray(self.pictures[np.asarray(indices, int)])


class _Facts(Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    names: tuple[str, ...]
    left: tuple[Left, ...]


def gathered(
    pack: Pack,
    picture: Picture,
    work: Path,
    most_bad: float = 0.05,
    limit: int = 0,
    names: Sequence[str] | None = None,
    advance: Advance = lambda what, share: None,
) -> Gallery:
    """The pictures of `pack` (those `names`, or all of them; `limit` at most, evenly chosen) at the size of `picture`.

    What an earlier call kept in `work` for the same pictures is taken up. SourceError where there are none, or where
    more than the share `most_bad` of them cannot be read.
    """
    wanted = list(names) if names is not None else [n for n in pack.names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    if limit and len(wanted) > limit:
        wanted = [wanted[i] for i in np.linspace(0, len(wanted) - 1, limit).round().astype(int)]
    if not wanted:
        raise SourceError("there is no picture to learn from", got=pack.path, allowed=" ".join(sorted(SUFFIXES)))
    key = hashlib.sha256(msgspec.json.encode((str(pack.path), picture, wanted, [pack.stamp(n) for n in wanted]))).hexdigest()
    kept = _kept(work, key)
    if kept is None:
        kept = _read(pack, picture, work, key, wanted, most_bad, advance)
    return kept


def _kept(work: Path, key: str) -> Gallery | None:
    facts, pictures = work / "pictures.json", work / "pictures.npy"
    if not facts.is_file() or not pictures.is_file():
        return None
    known = msgspec.json.decode(facts.read_bytes(), type=_Facts)
    return Gallery(np.load(pictures, mmap_mode="r"), known.names, known.left) if known.key == key else None


def _read(
    pack: Pack, picture: Picture, work: Path, key: str, wanted: Sequence[str], most_bad: float, advance: Advance
) -> Gallery:
    work.mkdir(parents=True, exist_ok=True)
    (work / "pictures.json").unlink(missing_ok=True)  # written last: with it the file of pictures is whole
    shape = (len(wanted), picture.height, picture.width, 3)
    pictures = np.lib.format.open_memmap(work / "pictures.npy", mode="w+", dtype=np.uint8, shape=shape)
    names: list[str] = []
    left: list[Left] = []
    for number, name in enumerate(wanted):
        try:
            pictures[len(names)] = fit(read_picture(pack.read(name), name), picture)[0]
            names.append(name)
        except (ImageError, SourceError) as error:
            left.append(Left(name, error.what))
            _bearable(left, len(wanted), most_bad)
        if number % 16 == 0:
            advance("reading pictures", number / len(wanted))
    if not names:
        raise SourceError("no picture can be read", got=_named(left), allowed="pictures that Pillow reads")
    if left:  # the file has a row for each; keep those that are filled
        whole = np.array(pictures[: len(names)])
        np.save(work / "pictures.npy", whole)
    else:
        pictures.flush()
    del pictures
    (work / "pictures.json").write_bytes(msgspec.json.encode(_Facts(key, tuple(names), tuple(left))))
    return Gallery(np.load(work / "pictures.npy", mmap_mode="r"), tuple(names), tuple(left))


def _bearable(left: Sequence[Left], of: int, most_bad: float) -> None:
    if len(left) > most_bad * of:
        raise SourceError(
            "too many pictures cannot be read",
            got=f"{len(left)} of {of} so far: {_named(left)}",
            allowed=f"{most_bad:.0%} of them",
            hint="Remove what is no picture, or allow a larger share.",
        )


def _named(left: Sequence[Left]) -> str:
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return "; ".join(f"{x.name} ({x.why})" for x in left[:NAMED]) + more


def parted(names: Sequence[str], share: float, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices to learn from and indices to judge on, at least one of each; what is on neither side is the border between them.

    Each folder gives its share, so that every class is judged where folders are classes; where one picture of each would be more
    than twice the share, folders count for nothing and the pictures are one row in the order of `names`.

    >>> parted([f"{i}.png" for i in range(4)], 0.25, 0)
    ((1, 2, 3), (0,))
    """
    if len(names) < 2:
        raise SourceError("there are too few pictures", got=len(names), allowed="2 or more: some to learn from, some to judge on")
    folders: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        folders.setdefault(str(PurePosixPath(name).parent), []).append(i)
    if len(folders) > min(0.5, 2 * share) * len(names):
        folders = {"": list(range(len(names)))}
    generator = np.random.default_rng([seed, 11])
    learn: list[int] = []
    judged: list[int] = []
    for row in folders.values():
        held = _stretches(len(row), share, generator)
        learn += [i for i, side in zip(row, held, strict=True) if side == 0]
        judged += [i for i, side in zip(row, held, strict=True) if side == 1]
    return tuple(sorted(learn)), tuple(sorted(judged))


def _stretches(count: int, share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """For each of `count` neighbours 0 (learn), 1 (judge) or 2 (border): a stretch somewhere in each of a few equal sections."""
    side = np.zeros(count, np.int64)
    held = min(count - 1, max(1, round(share * count))) if count > 1 else 0
    sections = max(1, min(STRETCHES, count // LONG, held))
    ends = np.linspace(0, count, sections + 1).astype(int)
    parts = np.diff(np.linspace(0, held, sections + 1).astype(int))
    border = min(BORDER, count // (BORDERS * sections), min((np.diff(ends) - parts) // 4))
    for begin, end, part in zip(ends, ends[1:], parts):
        first = int(generator.integers(begin, end - part + 1))
        near = side[max(0, first - border) : first + part + border]
        near[near == 0] = 2
        side[first : first + part] = 1
    return side
