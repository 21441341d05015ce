"""Blood cells (BCCD): the detector of things with three classes and boxes alone, on pictures that are no road.

The pack holds 364 microscope pictures of 640 × 480 with Pascal VOC labels and lists of its parts: 205 to train, 87 to choose on,
72 to test. Small, and many platelets and cells at the edge are not labelled; it shows that nothing in the method knows vehicles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.data.labelled import label_text
from edgewise.data.pack import open_pack
from edgewise.data.picture import read_picture
from edgewise.data.preprocess import fit
from edgewise.data.readers.voc import read_voc
from edgewise.data.things import Scene
from edgewise.training.nets import fpn
from edgewise.training.things_frames import MOST, Things, padded

LABELS = ("RBC", "WBC", "Platelets")
PICTURE = Picture(320, 240)
Part = Literal["train", "val", "test"]


def build() -> fpn.Detector:
    return fpn.build(len(LABELS), keypoints=0, prototypes=0)


def pictures(pack: Path, part: Part) -> Iterator[tuple[str, NDArray[np.uint8], Scene]]:
    """Name, picture (480, 640, 3; RGB) and truth of each labelled picture of a part; boxes without area are left out."""
    files = open_pack(pack)
    stems = label_text(files, f"bccd/ImageSets/Main/{part}.txt").split()
    for labelled in read_voc(files, "bccd/Annotations", "bccd/JPEGImages", stems).pictures:
        corners = np.array([(b.x0, b.y0, b.x1, b.y1) for b in labelled.boxes], float).reshape(-1, 4)
        scene = Scene(corners, tuple(b.label for b in labelled.boxes), size=labelled.size)
        yield labelled.identity, read_picture(files.read(labelled.identity), labelled.identity), scene


def frames(pack: Path, part: Part) -> Things:
    """A part as frames to train on."""
    images, boxes, labels, names = [], [], [], []
    for name, image, scene in pictures(pack, part):
        numbers = np.array([LABELS.index(label) for label in scene.label], np.int64)
        corners, kept = padded(scene.boxes, numbers)
        images.append(fit(image, PICTURE)[0])
        boxes.append(corners)
        labels.append(kept)
        names.append(name)
    count = len(images)
    return Things(
        np.stack(images),
        np.stack(boxes),
        np.stack(labels),
        np.zeros((count, MOST, 0, 2), np.float32),
        np.zeros((count, 0, 0), np.uint8),
        np.zeros((count, MOST), np.uint8),
        (part,) * count,
        tuple(names),
    )
