"""A Lesson: what `split fit` teaches from, read and checked before anything is taught.

The pictures at the network's size, those that teach and those that judge, the frozen network, what its outputs are, and, of a
classifier, the labels, where there are some. Labels judge; they teach only where they are asked to (`supervised`). A network that
is no better than chance on them, or has other classes, ends here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.artifact import Task
from edgewise.core.decoding import Classes, Decoding
from edgewise.core.errors import ConfigError, ImageError, SourceError
from edgewise.data.pack import Pack, open_pack
from edgewise.data.picture import SUFFIXES, picture_size, read_picture
from edgewise.data.preprocess import narrow
from edgewise.graph.picture import Look
from edgewise.split.gallery import Gallery, gathered, parted
from edgewise.split.labels import NONE, Labels, above_chance, fitting, labels_of
from edgewise.split.task import task_of

if TYPE_CHECKING:
    from edgewise.split.fit import Fit

log = logging.getLogger(__name__)

Advance = Callable[[str, float], None]
Value = TypeVar("Value")
TESTS = ("test", "val", "valid", "validation")
TRAINS = ("train", "training")
MASKS = ("masks", "mask", "SegmentationClass", "labels_mask")
LARGEST = 1024  # px of the longer side that is taken as the network's own size
ASKED = 400  # labelled pictures of which the network is asked whether it knows them


class Chosen:
    """Some pictures of a gallery, numbered anew."""

    def __init__(self, gallery: Gallery, chosen: Sequence[int]) -> None:
        self._gallery, self._chosen = gallery, np.asarray(chosen, int)

    def __len__(self) -> int:
        return len(self._chosen)

    def of(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        return self._gallery.of(self._chosen[np.asarray(indices, int)].tolist())


class Lesson(Struct, frozen=True):
    """`net` is the teacher; `learn` and `judged` number the gallery's pictures, `unused` is how many stand between them; `names`
    are the classes' for the bundle; `told` are sentences for the person."""

    pack: Pack
    gallery: Gallery
    learn: tuple[int, ...]
    judged: tuple[int, ...]
    look: Look
    net: Any
    task: Task
    decoding: Decoding
    names: tuple[str, ...]
    labels: Labels | None
    told: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[int, ...]:
        """Pictures that neither teach nor judge."""
        taken = {*self.learn, *self.judged}
        return tuple(i for i in range(len(self.gallery)) if i not in taken)

    @property
    def source(self) -> Chosen:
        """The pictures that teach."""
        return Chosen(self.gallery, self.learn)

    def original(self, i: int) -> NDArray[np.uint8]:
        """Picture `i` of the gallery as it lies in the pack."""
        name = self.gallery.names[i]
        return narrow(read_picture(self.pack.read(name), name))


def lesson(config: Fit, work: Path, advance: Advance = lambda what, share: None) -> Lesson:
    """Read everything that `config` names; errors are sentences."""
    from edgewise.split.training.teacher import teacher
    from edgewise.training.from_config import seen

    pack = open_pack(config.data)
    names = pictures_of(pack)
    own = seen(config.model)
    size = (config.height, config.width) if config.width else (own.height, own.width)
    height, width = picture_size_of(config.model, size, pack, names)
    scale = _first(config.scale, own.scale, 1 / 255)
    look = Look(height, width, 3, scale, _first(config.mean, own.mean, (0.0,)), _first(config.std, own.std, (1.0,)), config.bgr)
    net = teacher(config.model, config.weights, config.cut, len(config.labels))
    task, decoding, classes = answers_of(net, look, config.task)
    words = config.labels or (own.labels if len(own.labels) == classes else ())
    if task == "classification":
        fitting(words, classes)
    gallery = gathered(pack, look.picture, work, config.most_bad, config.limit, names, advance)
    learn, judged = parted(gallery.names, config.validation, config.seed)
    labels = labelled(config, gallery, words, classes) if task == "classification" else None
    read = Lesson(pack, gallery, learn, judged, look, net, task, decoding, words, labels)
    if labels is None:
        if config.supervised:
            raise ConfigError(
                "there is no label to learn from", got=f"{task} on {config.data}", allowed="a classifier and labels"
            )
        return read
    told = (_known(read, labels), *(f"{n} pictures have no class: {why}." for why, n in labels.left.items()))
    judged = tuple(i for i in judged if labels.classes[i] != NONE) or judged
    return replace(read, names=labels.names, judged=judged, told=told)


def labelled(config: Fit, gallery: Gallery, words: tuple[str, ...], classes: int) -> Labels | None:
    """The labels, where somebody asks for them: names of classes were said, or the student is to learn from them."""
    if config.unlabelled or not (words or config.supervised):
        return None
    return labels_of(config.data, gallery.names, words, classes, needed=config.supervised)


def answers_of(net: Any, look: Look, task: Task | None) -> tuple[Task, Decoding, int]:
    """What the outputs of `net` are, and of how many classes where it classifies (else 0)."""
    from edgewise.training.outputs import shapes

    found = shapes(net, look)
    kind, decoding = task_of(found, task)
    return kind, decoding, found[decoding.output][1] if isinstance(decoding, Classes) else 0


def spread(indices: Sequence[int], most: int) -> list[int]:
    """At most `most` of the indices, evenly chosen."""
    if len(indices) <= most:
        return list(indices)
    return [indices[i] for i in np.linspace(0, len(indices) - 1, most).round().astype(int)]


def pictures_of(pack: Pack) -> list[str]:
    """The pictures of a set to learn from: its training part where it has parts, never those for tests, never masks."""
    names = [n for n in pack.names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    folders = {n: {part.lower() for part in PurePosixPath(n).parts[:-1]} for n in names}
    names = [n for n in names if not folders[n] & {m.lower() for m in MASKS}]
    trains = [n for n in names if folders[n] & set(TRAINS)]
    return trains or [n for n in names if not folders[n] & set(TESTS)] or names


def picture_size_of(model: str, asked: tuple[int, int], pack: Pack, names: Sequence[str]) -> tuple[int, int]:
    """Height and width of what the network sees: `asked` (0: nobody says), the ONNX file's, or the first picture's."""
    if model.lower().endswith(".onnx"):
        from edgewise.training.from_onnx import size

        own = size(model, asked if asked[1] else None)
        if own:
            return own
    if asked[1]:
        return asked
    for name in names:
        with contextlib.suppress(ImageError):  # it is left out, counted and named when the pictures are read
            width, height = picture_size(pack.read(name), name)
            if max(width, height) > LARGEST:
                raise ConfigError(
                    "the pictures are large, and nobody says at which size the network takes them",
                    got=f"{width} × {height} in {name}",
                    allowed=f"up to {LARGEST} pixels without being told",
                    hint="Say it, as in `--size 640 360`.",
                )
            return height, width
    found = f"{len(names)} in {pack.path}, of which none can be read" if names else pack.path
    raise SourceError("there is no picture to learn from", got=found, allowed=" ".join(sorted(SUFFIXES)))


def _first(asked: Value | None, own: Value | None, usual: Value) -> Value:
    return usual if asked is None and own is None else own if asked is None else asked  # type: ignore[return-value]


def _known(read: Lesson, labels: Labels) -> str:
    """Whether the network knows the labels at all, in a sentence; ModelError where it does not."""
    from edgewise.training.classes import logits

    asked = spread([i for i, c in enumerate(labels.classes) if c != NONE], ASKED)
    said = logits(read.net, Chosen(read.gallery, asked), read.look).argmax(1).tolist()
    return above_chance(said, [labels.classes[i] for i in asked], len(labels.names), labels.of)
