"""COCO instances: one JSON with images, annotations and categories; boxes are x, y, width, height in pixels.

Annotations with `iscrowd` 1 are regions that a score leaves out, and stand in `ignored`. Segmentations and areas are not read.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
from msgspec import Struct

from edgewise.core.answer import Box
from edgewise.data.labelled import Labelled, Labels, clipped, finite, kept, label_text, malformed
from edgewise.data.pack import Pack


class _Image(Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    score: float = 1.0


class _Category(Struct):
    id: int
    name: str


class _Instances(Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(pack: Pack, annotations: str, folder: str) -> Labels:
    """The labels of `annotations` (a name in the pack) for the pictures that lie in `folder` of it."""
    try:
        said = msgspec.json.decode(label_text(pack, annotations), type=_Instances)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(annotations, error, "COCO instances: images, annotations, categories") from None
    names = {c.id: c.name for c in said.categories}
    sizes = {i.id: (i.width, i.height) for i in said.images}
    if any(w < 1 or h < 1 for w, h in sizes.values()):
        raise malformed(annotations, "an image without width or height", "1 pixel or more")
    skipped: Counter[str] = Counter()
    boxes: dict[tuple[int, bool], list[Box | None]] = defaultdict(list)
    for number, a in enumerate(said.annotations):
        where = f"annotation {number} of {annotations}"
        if a.image_id not in sizes:
            raise malformed(where, f"image_id {a.image_id}", "the id of one of the images")
        if a.category_id not in names:
            raise malformed(where, f"category_id {a.category_id}", "the id of one of the categories")
        x, y, width, height = finite(a.bbox, where)
        box = clipped((x, y, x + width, y + height), sizes[a.image_id], a.score, names[a.category_id])
        boxes[a.image_id, bool(a.iscrowd)].append(box)
    place = f"{folder.rstrip('/')}/" if folder else ""
    pictures = tuple(
        Labelled(place + i.file_name, sizes[i.id], kept(boxes[i.id, False], skipped), kept(boxes[i.id, True], skipped))
        for i in said.images
    )
    return Labels(pictures, dict(+skipped))
