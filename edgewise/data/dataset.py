"""A folder or tar of pictures with whatever labels lie beside them: found out, drawn from, read picture by picture.

    COCO      a .json with images, annotations, categories        VOC        .xml files with <object>
    YOLO      label files and classes.txt, *.names or data.yaml   masks      masks/ or SegmentationClass/ with a .png of each stem
    classes   pictures in a folder for each class                 pictures   none of these: nobody says what is in them
    arrays    .npy files: samples that are no pictures (float32)

Where the set has parts, the one for tests is taken (`val`, `valid`, `test`), or that to learn from (`train`) where it is asked
for, and `told` says so. Pictures are drawn by a seeded permutation, because archives sort their classes one after the other;
footage without labels keeps its order within the draw, so that neighbours can be resampled together (`block`). What cannot be
read is named, counted and left out, up to a limit.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image

from edgewise.core.answer import Box
from edgewise.core.errors import EdgewiseError, ImageError, SourceError
from edgewise.data.labelled import Labelled, label_text
from edgewise.data.pack import FilePack, Pack, open_pack
from edgewise.data.picture import SUFFIXES, read_picture
from edgewise.data.readers.coco import read_coco
from edgewise.data.readers.voc import read_voc
from edgewise.data.readers.yolo import class_names, read_yolo

Kind = Literal["classes", "coco", "voc", "yolo", "masks", "pictures", "arrays"]
FOR_TESTS = ("test", "val", "valid", "validation")
TO_LEARN = ("train", "training", "trainval")
MASKS = ("masks", "mask", "SegmentationClass", "labels_mask")
STRETCHES = 24  # blocks into which footage is cut for the bootstrap
ALLOWED = (
    "a folder or .tar of pictures (COCO, YOLO, VOC, class folders, masks, or without labels), a .npy file or a folder of them"
)


class Entry(Struct, frozen=True):
    """One sample by name, with what its labels say: boxes, the regions not to score, a class, or the name of its mask."""

    name: str
    boxes: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()
    label: str = ""
    mask: str = ""
    block: int = 0


class Example(Struct, frozen=True):
    """An entry that was read: a picture (height, width, 3; uint8, RGB) or an array; its mask (height, width; uint8), if any."""

    entry: Entry
    values: NDArray[Any]
    mask: NDArray[np.uint8] | None = None


class Dataset:
    """`kind`, the `entries` drawn, `told` (sentences about the choice), and `unreadable` by name once they were met."""

    def __init__(self, pack: Pack, kind: Kind, entries: Sequence[Entry], told: Sequence[str], most_unreadable: int) -> None:
        self.pack, self.kind, self.entries, self.told = pack, kind, tuple(entries), tuple(told)
        self.unreadable: dict[str, str] = {}
        self._most = most_unreadable

    @property
    def labelled(self) -> bool:
        return self.kind not in ("pictures", "arrays")

    def __iter__(self) -> Iterator[Example]:
        """The samples that can be read; SourceError once more than the limit cannot, or none can."""
        given = 0
        for entry in self.entries:
            try:
                yield self._read(entry)
                given += 1
            except (ImageError, SourceError) as error:
                self.leave_out(entry.name, error)
        if not given:
            raise SourceError("no sample of the data can be read", got=_few(list(self.unreadable.values())), allowed=ALLOWED)

    def _read(self, entry: Entry) -> Example:
        if self.kind == "arrays":
            return Example(entry, _array(self.pack.read(entry.name), entry.name))
        image = read_picture(self.pack.read(entry.name), entry.name)
        return Example(entry, image, _mask(self.pack.read(entry.mask), entry.mask) if entry.mask else None)

    def leave_out(self, name: str, error: EdgewiseError) -> None:
        """Count a sample as unreadable; SourceError once there are too many. A reader calls it for what a model cannot take."""
        self.unreadable[name] = str(error)
        if len(self.unreadable) > self._most:
            raise SourceError(
                "too many samples cannot be read",
                got=_few(list(self.unreadable)),
                allowed=f"{self._most} at most",
                hint="Look at them, or allow more with --unreadable.",
            ) from None


def open_dataset(
    path: str | Path, limit: int | None = None, seed: int = 0, unreadable: int = 20, part: Sequence[str] = FOR_TESTS
) -> Dataset:
    """The set at `path`, `limit` of its samples drawn by `seed`; SourceError or ConfigError says what is wrong with it.

    `part`: the names of the part that is taken, where it has parts: FOR_TESTS or TO_LEARN.
    """
    place = Path(path).expanduser()
    pack = FilePack(place) if place.is_file() and place.suffix.lower() != ".tar" else open_pack(place)
    kind, entries, told = _found(pack, part)
    if not entries:
        raise SourceError("there is nothing to look at", got=f"{len(pack.names)} files in {place}", allowed=ALLOWED)
    chosen = _drawn(entries, limit, seed)
    if kind == "pictures":  # neighbours in footage resemble each other
        size = max(1, len(chosen) // STRETCHES)
        blocks = [i // size for i in range(len(chosen))]
    else:
        blocks = list(range(len(chosen)))
    entries = [Entry(e.name, e.boxes, e.ignored, e.label, e.mask, b) for e, b in zip(chosen, blocks, strict=True)]
    return Dataset(pack, kind, entries, told, unreadable)


def _drawn(entries: Sequence[Entry], limit: int | None, seed: int) -> list[Entry]:
    if limit is None or limit >= len(entries):
        return list(entries)
    return [entries[i] for i in sorted(np.random.default_rng(seed).permutation(len(entries))[:limit])]


def _found(pack: Pack, part: Sequence[str]) -> tuple[Kind, list[Entry], list[str]]:
    """What kind of set the pack is, and all of its samples."""
    suffixes: dict[str, list[str]] = {}
    for name in pack.names:
        suffixes.setdefault(PurePosixPath(name).suffix.lower(), []).append(name)
    pictures = [n for s in sorted(SUFFIXES) for n in suffixes.get(s, [])]
    if not pictures:
        arrays = suffixes.get(".npy", [])
        return "arrays", [Entry(n) for n in arrays], [f"{len(arrays)} arrays"]
    if annotations := [n for n in suffixes.get(".json", []) if _is_coco(pack, n)]:
        return _coco(pack, _of_part(annotations, part), pictures)
    if xml := suffixes.get(".xml"):
        return _voc(pack, xml, pictures, part)
    if names := _yolo_names(pack):
        labels = read_yolo(pack, names, _part(pictures, part))
        return "yolo", _boxed(labels.pictures), _told("YOLO", labels.skipped)
    if masks := [n for n in pictures if any(p in MASKS for p in PurePosixPath(n).parts[:-1])]:
        return _masked(pictures, masks)
    folder = _part(pictures, part)
    inside = [n for n in pictures if n.startswith(f"{folder}/")] if folder else pictures
    by_folder = [n for n in inside if PurePosixPath(n).parent != PurePosixPath(folder or ".")]
    if len({PurePosixPath(n).parent for n in by_folder}) > 1:
        entries = [Entry(n, label=PurePosixPath(n).parent.name) for n in by_folder]
        return "classes", entries, [f"labels: class folders of {folder or pack.path.name}"]
    return (
        "pictures",
        [Entry(n) for n in sorted(pictures, key=list(pack.names).index)],
        [f"{len(pictures)} pictures without labels"],
    )


def _is_coco(pack: Pack, name: str) -> bool:
    text = pack.read(name)[:200_000]
    return any(word in text for word in (b'"annotations"', b'"images"')) and b"[" in text


def _coco(pack: Pack, annotations: str, pictures: list[str]) -> tuple[Kind, list[Entry], list[str]]:
    first = read_coco(pack, annotations, "").pictures
    wanted = first[0].identity if first else ""
    place = next((n for n in pictures if n == wanted or n.endswith(f"/{wanted}")), wanted)
    labels = read_coco(pack, annotations, place[: len(place) - len(wanted)].rstrip("/"))
    return "coco", _boxed(labels.pictures), _told(annotations, labels.skipped)


def _voc(pack: Pack, xml: list[str], pictures: list[str], part: Sequence[str]) -> tuple[Kind, list[Entry], list[str]]:
    by_stem = {PurePosixPath(n).stem: n for n in pictures}
    place = next((str(PurePosixPath(p).parent) for n in xml if (p := by_stem.get(PurePosixPath(n).stem))), "")
    lists = [n for n in pack.names if "ImageSets" in n and PurePosixPath(n).stem in part and n.endswith(".txt")]
    chosen = sorted(lists, key=lambda n: part.index(PurePosixPath(n).stem))
    stems = label_text(pack, chosen[0]).split() if chosen else None
    labels = read_voc(pack, str(PurePosixPath(xml[0]).parent), place if place != "." else "", stems)
    return "voc", _boxed(labels.pictures), _told(f"VOC{f', {chosen[0]}' if chosen else ''}", labels.skipped)


def _masked(pictures: list[str], masks: list[str]) -> tuple[Kind, list[Entry], list[str]]:
    by_stem = {PurePosixPath(n).stem: n for n in masks}
    seen = set(masks)
    found = [Entry(n, mask=by_stem[stem]) for n in pictures if n not in seen and (stem := PurePosixPath(n).stem) in by_stem]
    return "masks", found, [f"{len(found)} pictures with masks"]


def _yolo_names(pack: Pack) -> tuple[str, ...]:
    """Names of classes, where label files lie there that need them."""
    if not any(n.endswith(".txt") and re.fullmatch(r"[\d.\s-]+", label_text(pack, n)[:200] or "x") for n in pack.names):
        return ()
    for name in pack.names:
        base = PurePosixPath(name).name
        if base in ("classes.txt", "obj.names") or base.endswith(".names"):
            return class_names(pack, name)
        if base in ("data.yaml", "dataset.yaml", "data.yml"):
            return _yaml_names(label_text(pack, name))
    raise SourceError(
        "the names of the YOLO classes are missing", got=str(pack.path), allowed="classes.txt, *.names or data.yaml"
    )


def _yaml_names(text: str) -> tuple[str, ...]:
    """`names:` of Ultralytics' data.yaml, as a list in brackets, a list of lines or a map of numbers."""
    _, _, after = text.partition("names:")
    if (inline := re.match(r"\s*\[(.*?)\]", after, re.DOTALL)) is not None:
        return tuple(w.strip().strip("'\"") for w in inline.group(1).split(",") if w.strip())
    return tuple(m.group(1).strip().strip("'\"") for m in re.finditer(r"^\s*(?:-|\d+:)\s*(.+)$", after, re.MULTILINE))


def _boxed(pictures: Sequence[Labelled]) -> list[Entry]:
    return [Entry(p.identity, p.boxes, p.ignored) for p in pictures]


def _of_part(names: Sequence[str], part: Sequence[str]) -> str:
    """Of several files of labels the one for that part, else the first."""
    return next((n for word in part for n in names if word in PurePosixPath(n).stem.lower()), names[0])


def _part(pictures: Sequence[str], part: Sequence[str]) -> str:
    """The folder for that part, where the pictures lie in parts; else ''."""
    for name in pictures:
        parts = PurePosixPath(name).parts
        for depth, folder in enumerate(parts[:-1]):
            if folder.lower() in part:
                return "/".join(parts[: depth + 1])
    return ""


def _told(what: str, skipped: Any) -> list[str]:
    return [f"labels: {what}", *(f"{n} left out: {reason}" for reason, n in dict(skipped).items())]


def _array(data: bytes, name: str) -> NDArray[Any]:
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ImageError("a file is no array", got=f"{name} ({error})", allowed="a .npy of numbers") from None
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ImageError("an array cannot be used", got=f"{name}: {values.dtype}", allowed="finite numbers")
    return np.asarray(values)


def _mask(data: bytes, name: str) -> NDArray[np.uint8]:
    """Class ids of a mask: a palette's or grey values as they are, not as colours."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image if image.mode in ("P", "L") else image.convert("L"), np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError("a mask cannot be read", got=f"{name} ({error})", allowed="a .png of class ids") from None


def _few(names: Sequence[str]) -> str:
    return f"{len(names)}: " + "; ".join(names[:5]) + (" …" if len(names) > 5 else "")
