"""The class of each picture, for a classifier that is judged by labels, or learns from them: whatever form the labels have.

    class folders        the folder's name; where nobody names the network's classes, the folders in alphabetical order
    COCO, VOC, YOLO      the class that all boxes of a picture share; the network's classes must be named then, in order

A picture without a box, with boxes of several classes, or of a class that the network does not know has no class here: it is
counted by its reason, teaches as one without a label, and judges nothing.

    agreed     share of labelled pictures where the network says the label
    by chance  the share that there would be if what it says had nothing to do with the picture: Σ p(label = c) · p(said = c)
               (the expected agreement of Cohen's κ, 1960; a constant answer reaches exactly that, whatever the classes' shares)

A network that does not agree more than by chance was given other labels, weights or pictures than it was made for: nothing that
it teaches is worth having.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from edgewise.core.errors import ConfigError, ModelError
from edgewise.data.dataset import TO_LEARN, Entry, Kind, open_dataset

NONE = -1  # the class of a picture that has none
NAMED = 6
FORMS = {"classes": "class folders", "coco": "COCO boxes", "voc": "VOC boxes", "yolo": "YOLO boxes"}


class Labels(Struct, frozen=True):
    """`classes`: a number for each picture (NONE where it has none), `names` of the classes in the network's order, the form that
    they were read `of`, and how many pictures have no class, by reason."""

    classes: tuple[int, ...]
    names: tuple[str, ...]
    of: str
    left: Mapping[str, int] = {}

    @property
    def labelled(self) -> int:
        return sum(c != NONE for c in self.classes)

    def word(self, picture: int) -> str:
        """The label of a picture, empty where it has none."""
        return self.names[self.classes[picture]] if self.classes[picture] != NONE else ""


def fitting(names: Sequence[str], classes: int) -> None:
    """ConfigError where the names of classes are not as many as a network has outputs, or not different."""
    if names and len(names) != classes:
        raise ConfigError(
            "the labels do not fit the network",
            got=f"{len(names)} labels: {_few(names)}",
            allowed=f"{classes}, one for each of its outputs, in their order",
            hint="Name them with --labels, or take the weights of the network that has these classes.",
        )
    if len(set(names)) < len(names):
        raise ConfigError("two classes have one name", got=_few([n for n, k in Counter(names).items() if k > 1]))


def labels_of(data: Path, pictures: Sequence[str], names: Sequence[str], classes: int, needed: bool = True) -> Labels | None:
    """The classes of `pictures` (names in the pack at `data`); None where nobody says what is in them.

    `names` are those of the network's `classes`; ConfigError where they do not fit. Where no picture has one of them, that is an
    error if labels are `needed`; else the folders mean something else, and there are none.
    """
    fitting(names, classes)
    found = open_dataset(data, part=TO_LEARN)
    if found.kind not in FORMS:
        return None
    said = {e.name: _word(e, found.kind) for e in found.entries}
    if not names:
        names = _folders(found.kind, said, classes)
    numbers = {name: i for i, name in enumerate(names)}
    left: Counter[str] = Counter()
    numbered: list[int] = []
    for picture in pictures:
        word, why = said.get(picture, ("", "no label"))
        if not why and word not in numbers:
            why = "a class that the network does not have"
        left[why] += bool(why)
        numbered.append(NONE if why else numbers[word])
    if all(n == NONE for n in numbered):
        if not needed:
            return None
        words = sorted({word for word, _ in said.values() if word})
        raise ConfigError(
            "no label of the pictures is a class of the network",
            got=_few(words) or "no label at all",
            allowed=_few(names),
            hint="Name the classes with --labels as the data calls them, in the order of the network's outputs.",
        )
    return Labels(tuple(numbered), tuple(names), FORMS[found.kind], dict(+left))


def above_chance(said: Sequence[int], true: Sequence[int], classes: int, of: str) -> str:
    """How often a network says the label, in a sentence; ModelError where that is not more often than by chance.

    `said` and `true`: a class for each picture; those without a label are left out here.
    """
    pairs = [(s, t) for s, t in zip(said, true, strict=True) if t != NONE]
    agreed = sum(s == t for s, t in pairs) / len(pairs)
    shares = [np.bincount([pair[side] for pair in pairs], minlength=classes) / len(pairs) for side in (0, 1)]
    chance = float(shares[0] @ shares[1])
    told = f"{agreed:.1%} of {len(pairs)} pictures right by {of}, where chance alone would be right on {chance:.1%}"
    if agreed <= chance:
        raise ModelError(
            "the network is not better than chance on these labels",
            got=told,
            allowed="a network that knows the classes; what it does not know it cannot teach",
            hint="Are these its --weights, its --scale, --mean and --std, and the --labels in the order of its outputs? "
            "Without labels (--unlabelled) nobody asks.",
        )
    if agreed - chance < 2 * math.sqrt(chance * (1 - chance) / len(pairs)):
        return f"The network is hardly better than chance: {told}."
    return f"The network has {told}."


def _word(entry: Entry, kind: Kind) -> tuple[str, str]:
    """The class of a picture, or why it has none."""
    if kind == "classes":
        return entry.label, ""
    words = {box.label for box in entry.boxes}
    if len(words) == 1:
        return words.pop(), ""
    return "", "boxes of several classes" if words else "no box"


def _folders(kind: Kind, said: Mapping[str, tuple[str, str]], classes: int) -> tuple[str, ...]:
    words = sorted({word for word, _ in said.values()})
    if kind != "classes":
        raise ConfigError(
            "nobody says which output of the network is which class",
            got=f"labels {_few(words)}",
            allowed=f"--labels with {classes} names in the order of its outputs",
        )
    if len(words) != classes:
        raise ConfigError(
            "the class folders do not fit the network",
            got=f"{len(words)} folders: {_few(words)}",
            allowed=f"{classes}, one for each of its outputs in alphabetical order",
            hint="Where a folder is missing, or the order is another, name all classes with --labels.",
        )
    return tuple(words)


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:NAMED]) + (" …" if len(words) > NAMED else "")
