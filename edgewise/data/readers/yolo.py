"""YOLO (Darknet, Ultralytics): one text file a picture, a line a box: class, centre x, centre y, width, height in 0..1.

A sixth number is a score, as detectors write it. A picture without a label file has no boxes, which is how that form says
"nothing here". Labels lie beside the pictures, or where `images` in a path becomes `labels`. A picture that cannot be read has
the size 0 × 0: whoever opens it is told why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from edgewise.core.answer import Box
from edgewise.core.errors import ImageError, SourceError
from edgewise.data.labelled import Labelled, Labels, clipped, finite, kept, label_text, malformed, picture_names
from edgewise.data.pack import Pack
from edgewise.data.picture import SUFFIXES, picture_size

_LINE = "lines of `class x y width height [score]`, the last in 0..1"


def class_names(pack: Pack, name: str) -> tuple[str, ...]:
    """The names of a `classes.txt` or `*.names` file, one a line."""
    return tuple(line.strip() for line in label_text(pack, name).splitlines() if line.strip())


def read_yolo(pack: Pack, names: Sequence[str], folder: str = "") -> Labels:
    """The pictures below `folder` of the pack with the boxes of their label files; class n is called `names[n]`."""
    pictures = picture_names(pack, folder, SUFFIXES)
    if not pictures:
        raise SourceError("there are no pictures with YOLO labels", got=f"{folder or '.'} in {pack.path}")
    there = set(pack.names)
    skipped: Counter[str] = Counter()
    return Labels(tuple(_picture(pack, name, names, there, skipped) for name in pictures), dict(+skipped))


def _picture(pack: Pack, name: str, names: Sequence[str], there: set[str], skipped: Counter[str]) -> Labelled:
    beside = PurePosixPath(name).with_suffix(".txt")
    elsewhere = PurePosixPath(*("labels" if part == "images" else part for part in beside.parts))
    file = next((str(f) for f in (elsewhere, beside) if str(f) in there), None)
    lines = label_text(pack, file).splitlines() if file else []
    boxes = [_box(line, names, f"line {i} of {file}") for i, line in enumerate(lines, 1) if line.strip()]
    try:
        size = picture_size(pack.read(name), name)
    except ImageError:
        size = (0, 0)
    return Labelled(name, size, kept(boxes, skipped))


def _box(line: str, names: Sequence[str], where: str) -> Box | None:
    fields = line.split()
    try:
        number = int(fields[0])
        x, y, width, height, score = map(float, [*fields[1:], "1"] if len(fields) == 5 else fields[1:])
    except ValueError:
        raise malformed(where, repr(line[:80]), _LINE) from None
    if not 0 <= number < len(names):
        raise malformed(where, f"class {number}", f"0 to {len(names) - 1}, for which there are names")
    x, y, width, height, score = finite((x, y, width, height, score), where)
    if not all(0 <= v <= 1 for v in (x, y, width, height, score)):
        raise malformed(where, repr(line[:80]), _LINE)
    return clipped((x - width / 2, y - height / 2, x + width / 2, y + height / 2), (1, 1), score, names[number])
