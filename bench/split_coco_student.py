"""A student of YOLOX-nano, of which only the ONNX file is there: pictures without labels, and the training, for
bench/split_coco.

The teacher becomes a torch network by `edgewise.training.from_onnx`. Where dark3 begins (input.83: 64 maps of 52 × 52) its
point-wise convolution is replaced by a bottleneck, taught by GHND with relative losses there and at the ends of dark3 and
dark4. It sees COCO's openly licensed training pictures in seeded scales and crops, and Imagenette's, alone and four in one.
No label is read. Nothing that is derived from the teacher's weights is kept with the project: `work` holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from edgewise.data.pack import Pack, open_pack
from edgewise.data.picture import read_picture
from edgewise.graph.picture import Look
from edgewise.split.training.learn import Learnt, Training, looked
from edgewise.split.training.parts import Parts, parts
from edgewise.split.training.recipe import Recipe
from edgewise.split.training.student import geometry, student
from edgewise.training.from_onnx import network

SIDE, FILL = 416, 114
CUT = "input.83"
PATHS = (CUT, "input.175", "input.283")
LOOK = Look(SIDE, SIDE, 3, scale=1.0, bgr=True)
CHANNELS, SEED = 12, 0
OTHERS, VARIANTS = 2000, 24  # pictures of Imagenette, and looks at each of COCO's


class Taught(Struct, frozen=True):
    """The student's parts, the ranges of its bottleneck, and what the training came to."""

    parts: Parts
    learnt: Learnt


class Pictures:
    """Pictures at the network's size, each made anew when it is asked for, the same whenever it is asked for."""

    def __init__(self, coco: Pack, others: Pack, seed: int) -> None:
        self._coco, self._others, self._seed = coco, others, seed
        self._near = sorted(n for n in coco.names if "/train2017/" in n)
        known = sorted(n for n in others.names if "/train/" in n)
        self._far = [known[i] for i in np.random.default_rng(seed).permutation(len(known))[:OTHERS]]

    def __len__(self) -> int:
        return len(self._near) * VARIANTS + len(self._far)

    def of(self, indices: Sequence[int], /) -> NDArray[np.uint8]:
        return np.stack([self._one(int(i)) for i in indices])

    def _one(self, index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self._seed, index])
        near = len(self._near) * VARIANTS
        if index < near:
            return boxed(_varied(_read(self._coco, self._near[index % len(self._near)]), rng))
        first = self._far[index - near]
        if rng.random() < 0.5:
            return boxed(_varied(_read(self._others, first), rng))
        made = np.empty((SIDE, SIDE, 3), np.uint8)
        names = [first, *(self._far[i] for i in rng.integers(0, len(self._far), 3))]
        for place, name in enumerate(names):
            y, x = (SIDE // 2 * k for k in divmod(place, 2))
            made[y : y + SIDE // 2, x : x + SIDE // 2] = boxed(_read(self._others, name), SIDE // 2)
        return made


def boxed(image: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """The picture scaled into the top left corner of a square, the rest grey, as the teacher was taught to see it."""
    height, width = image.shape[:2]
    r = min(side / width, side / height)
    small = Image.fromarray(image).resize((max(1, int(width * r)), max(1, int(height * r))), Image.Resampling.BILINEAR)
    made = np.full((side, side, 3), FILL, np.uint8)
    made[: small.height, : small.width] = np.asarray(small)
    return made


def taught(
    model: Path,
    coco: Path,
    others: Path,
    work: Path,
    seconds: float,
    heard: Callable[[str, float], None] = lambda what, share: None,
) -> Taught:
    """The student as `work` holds it, or after `seconds` of training there."""
    torch.set_num_threads(1)
    teacher = network(model, CUT)
    source = Pictures(open_pack(coco), open_pack(others), SEED)
    shape = geometry(teacher, CUT, looked(source.of([0, 1]), LOOK))
    net = student(teacher, CUT, shape, CHANNELS, SEED)
    recipe = Recipe("ghnd", PATHS, relative=True, rate=2e-3, batch=4, seconds=seconds, schedule="cosine")
    learnt = Training(teacher, net, CUT, source, LOOK, recipe, SEED, work).learn(heard)
    return Taught(parts(teacher, net, CUT, LOOK), learnt)


def _varied(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A crop of two thirds or more of each side, mirrored as often as not."""
    height, width = image.shape[:2]
    rows, columns = (int(n * rng.uniform(0.67, 1.0)) for n in (height, width))
    y, x = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    cropped = image[y : y + rows, x : x + columns]
    return cropped[:, ::-1] if rng.random() < 0.5 else cropped


def _read(pack: Pack, name: str) -> NDArray[np.uint8]:
    return read_picture(pack.read(name), name)
