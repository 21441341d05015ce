"""A traffic clip with machine-made boxes, in the form of OpenDataCam: frames as pictures, one JSON of Darknet detections.

Record `frame_id` n belongs to `frames/n.jpg`. Frames without a record are unlabelled, not empty: they are left out. The boxes
are another network's output, so a figure against them is agreement and not accuracy. Frames of one clip resemble their
neighbours, so a split follows time and shuffles nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import PurePosixPath

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.answer import Box
from edgewise.core.errors import ConfigError
from edgewise.data.labelled import Labelled, Labels, clipped, finite, kept, label_text, malformed, picture_names
from edgewise.data.pack import Pack
from edgewise.data.picture import SUFFIXES, picture_size, read_picture

TRAIN, CHOOSE, REPORT = 262, 88, 87  # frames of the 437, in order of time


class _Coordinates(Struct):
    center_x: float
    center_y: float
    width: float
    height: float


class _Object(Struct):
    name: str
    relative_coordinates: _Coordinates
    confidence: float


class _Record(Struct):
    frame_id: int
    objects: list[_Object]


def read_clip(pack: Pack, labels: Sequence[str] | None = None) -> Labels:
    """The labelled frames in order of time; with `labels`, boxes of those names alone (others are counted)."""
    files = [n for n in pack.names if n.lower().endswith(".json")]
    if len(files) != 1:
        raise malformed(str(pack.path), f"{len(files)} JSON files", "one file of detections beside the frames")
    try:
        records = msgspec.json.decode(label_text(pack, files[0]), type=list[_Record])
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(files[0], error, "a list of {frame_id, objects: [{name, relative_coordinates, confidence}]}") from None
    frames = {int(PurePosixPath(n).stem): n for n in picture_names(pack, "", SUFFIXES) if PurePosixPath(n).stem.isdecimal()}
    skipped: Counter[str] = Counter()
    pictures = []
    for record in sorted(records, key=lambda r: r.frame_id):
        if record.frame_id not in frames:
            skipped["the record belongs to no frame"] += 1
            continue
        name = frames[record.frame_id]
        wanted = [o for o in record.objects if labels is None or o.name in labels]
        skipped["the object is not of the labels asked for"] += len(record.objects) - len(wanted)
        boxes = kept((_box(o, f"frame {record.frame_id} of {files[0]}") for o in wanted), skipped)
        pictures.append(Labelled(name, picture_size(pack.read(name), name), boxes))
    return Labels(tuple(pictures), dict(+skipped))


def _box(thing: _Object, where: str) -> Box | None:
    c = thing.relative_coordinates
    x, y, width, height, score = finite((c.center_x, c.center_y, c.width, c.height, thing.confidence), where)
    return clipped((x - width / 2, y - height / 2, x + width / 2, y + height / 2), (1, 1), score, thing.name)


def by_time(pictures: Sequence[Labelled], sizes: Sequence[int] = (TRAIN, CHOOSE, REPORT)) -> list[tuple[Labelled, ...]]:
    """Consecutive parts of these sizes, which must use up the pictures.

    >>> [len(p) for p in by_time([Labelled("a", (1, 1), ())] * 5, (3, 2))]
    [3, 2]
    """
    if sum(sizes) != len(pictures):
        raise ConfigError("a split by time does not use up the pictures", got=f"{tuple(sizes)} of {len(pictures)}")
    return [tuple(pictures[a:b]) for a, b in pairwise(accumulate(sizes, initial=0))]


def frame(pack: Pack, picture: Labelled) -> NDArray[np.uint8]:
    """The pixels (height, width, 3; RGB) of a labelled frame."""
    return read_picture(pack.read(picture.identity), picture.identity)
