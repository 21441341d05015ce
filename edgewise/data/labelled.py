"""A Labelled picture: its name in the pack, its size and the boxes that somebody says are in it.

The one form behind COCO, Pascal VOC, YOLO and class folders. A box that has no area cannot be scored: it is left out and
counted. A file that is malformed is an error that names the file and the place in it: labels that are half read would
quietly change every figure computed from them. Where the boxes are from, and whether they are right, it does not know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from edgewise.core.answer import Box
from edgewise.core.errors import ConfigError, SourceError
from edgewise.data.pack import Pack

NO_AREA = "the box has no area in the picture"
MAX_LABEL_BYTES = 128_000_000


class Labelled(Struct, frozen=True, forbid_unknown_fields=True):
    """`identity` is the picture's name in its pack, `size` its width and height (px); `ignored` are regions not to score."""

    identity: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    ignored: tuple[Box, ...] = ()


class Labels(Struct, frozen=True, forbid_unknown_fields=True):
    """The labelled pictures in the order of the source, and what was left out by reason."""

    pictures: tuple[Labelled, ...]
    skipped: Mapping[str, int] = {}


def clipped(corners: Sequence[float], size: tuple[float, float], score: float, label: str) -> Box | None:
    """The box of `corners` x0, y0, x1, y1 in units of `size`, cut to the picture; None where nothing of it is left.

    >>> clipped((8, 0, 20, 5), (10, 10), 1.0, "car")
    Box(x0=0.8, y0=0.0, x1=1.0, y1=0.5, score=1.0, label='car')
    """
    x0, y0, x1, y1 = (min(max(c / size[i % 2], 0.0), 1.0) for i, c in enumerate(corners))
    return Box(x0, y0, x1, y1, score, label) if x1 > x0 and y1 > y0 else None


def kept(boxes: Iterable[Box | None], skipped: Counter[str]) -> tuple[Box, ...]:
    """The boxes that there are; the others are counted."""
    found = list(boxes)
    skipped[NO_AREA] += found.count(None)
    return tuple(b for b in found if b is not None)


def label_text(pack: Pack, name: str) -> str:
    """A file of labels as text."""
    data = pack.read(name)
    if len(data) > MAX_LABEL_BYTES:
        raise SourceError("the file of labels is too large", got=f"{name} with {len(data)} bytes", allowed=MAX_LABEL_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed(name, error, "text in UTF-8") from None


def finite(values: Iterable[float], where: str) -> tuple[float, ...]:
    """The values as they are; ConfigError where one is NaN or infinite."""
    out = tuple(values)
    if not all(map(math.isfinite, out)):
        raise malformed(where, f"the numbers {out}", "finite numbers")
    return out


def malformed(where: str, got: object, allowed: str) -> ConfigError:
    return ConfigError("the labels are malformed", got=f"{got} in {where}", allowed=allowed)


def picture_names(pack: Pack, folder: str, suffixes: Iterable[str]) -> list[str]:
    """The names of pictures below `folder` of the pack ('' is all of it)."""
    wanted = tuple(suffixes)
    inside = f"{folder.rstrip('/')}/" if folder else ""
    return [n for n in pack.names if n.startswith(inside) and n.lower().endswith(wanted)]
