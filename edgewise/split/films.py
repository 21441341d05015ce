"""What is a scene of a person's own footage, and which scenes may stand on which side: films, stretches, a gap between parts.

A bound counts scenes as independent (`edgewise.split.bound`). Pictures that follow each other are not: a lorry that stops at a
light is in a thousand of them, and a filter that misses it misses a thousand times. So a scene is a long stretch of neighbours,
longer by far than a visit, and never of two films. A film is a folder; of class folders, whose neighbours in time lie next door,
it is the folder above them, in the order of the file names.

    film A  ├─ 0 ─┼─ 1 ─┼─ 2 ─┤   film B  ├─ 0 ─┼─ 1 ─┤ …
            learn ──────┤ (2) ├ choose …

Parts are runs of scenes in that order, with one scene left out between two parts: who is on the road when one part ends is gone
when the next begins. Shuffled scenes would put a neighbour of nearly every judged scene among those that taught. Ours.

It does not know how long a visit is: `stretch` says it. Where all is one film, what is known is known of that film alone: of its
camera, that day and its weather (`alone`). No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePosixPath

import numpy as np
from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.data.pack import natural

STRETCH = 250  # pictures: ten seconds of a film of 25 a second


class Shot(Struct, frozen=True):
    """A picture's place: its `film` and the `scene` of it."""

    film: str
    scene: str


def film_of(name: str, label: str = "") -> str:
    """The folder that a picture lies in; where that is the folder of its class `label`, the one above. `.` is the top.

    >>> film_of("monday/0007.jpg"), film_of("monday/lorry/0007.jpg", "lorry"), film_of("lorry/0007.jpg", "lorry")
    ('monday', 'monday', '.')
    """
    folder = PurePosixPath(name).parent
    return str(folder.parent if label and folder.name == label else folder)


def ordered(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Places of the pictures, film by film, and within each in the order of their file names (runs of digits are numbers)."""
    films = [film_of(n, label) for n, label in zip(names, labels, strict=True)]
    return sorted(range(len(names)), key=lambda i: (natural(films[i]), natural(PurePosixPath(names[i]).name), names[i]))


def shots(films: Sequence[str], stretch: int = STRETCH) -> list[Shot]:
    """The scene of each picture, of `films` in order: each film in scenes of `stretch` pictures or a little more, or one.

    >>> [shot.scene for shot in shots(["a"] * 5 + ["b"], 2)]
    ['a 0', 'a 0', 'a 0', 'a 1', 'a 1', 'b 0']
    """
    if stretch < 1:
        raise ConfigError("a scene has no such length", got=f"{stretch} pictures", allowed="1 or more")
    found: list[Shot] = []
    for film, group in groupby(films):
        length = len(list(group))
        many = max(1, length // stretch)
        for number, some in enumerate(np.array_split(np.arange(length), many)):
            found += [Shot(film, f"{film} {number}")] * len(some)
    return found


def runs(scenes: Sequence[str], shares: Sequence[float]) -> list[tuple[str, ...]]:
    """The scenes (in order, each once or often) in runs of these shares, one scene left out between two; each run has one.

    >>> runs([str(i) for i in range(9)], (0.5, 0.25, 0.25))
    [('0', '1', '2', '3'), ('5',), ('7', '8')]
    """
    names = list(dict.fromkeys(scenes))
    used, parts = len(names) - (len(shares) - 1), len(shares)
    if used < parts:
        raise ConfigError(
            "the pictures are too few scenes to part",
            got=f"{len(names)} scenes",
            allowed=f"{2 * parts - 1} at least: {parts} parts, and a scene left out between two",
            hint="A scene is a folder, or a stretch of one; --stretch says how many pictures it has.",
        )
    ends = np.round(np.cumsum(shares) / sum(shares) * used).astype(int)
    found, first = [], 0
    for i, end in enumerate(ends):
        last = min(max(int(end), first + 1), used - (parts - 1 - i))
        found.append(tuple(names[first + i : last + i]))
        first = last
    return found


def alone(films: Sequence[str]) -> str:
    """The warning where all pictures are of one film; else nothing."""
    if len(set(films)) != 1:
        return ""
    return (
        "All pictures are of one film (one folder): the recall is known for further stretches of that film, "
        "not for another camera, another day or other weather."
    )
