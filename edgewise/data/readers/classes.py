"""Class folders: a picture's class is the folder that it lies in (`train/tench/1.jpg`). The box is the whole picture."""

from __future__ import annotations

from pathlib import PurePosixPath

from edgewise.core.answer import Box
from edgewise.core.errors import ImageError, SourceError
from edgewise.data.labelled import Labelled, Labels, picture_names
from edgewise.data.pack import Pack
from edgewise.data.picture import SUFFIXES, picture_size


def read_class_folders(pack: Pack, folder: str = "") -> Labels:
    """Every picture below `folder` of the pack; files that are no picture are left out and counted."""
    names = [n for n in picture_names(pack, folder, SUFFIXES) if PurePosixPath(n).parent != PurePosixPath(folder or ".")]
    if not names:
        raise SourceError(
            "there are no class folders", got=f"{folder or '.'} in {pack.path}", allowed="a folder for each class, pictures in it"
        )
    pictures: list[Labelled] = []
    skipped: dict[str, int] = {}
    for name in names:
        try:
            size = picture_size(pack.read(name), name)
        except ImageError as error:
            skipped[error.what] = skipped.get(error.what, 0) + 1
            continue
        pictures.append(Labelled(name, size, (Box(0.0, 0.0, 1.0, 1.0, 1.0, PurePosixPath(name).parent.name),)))
    return Labels(tuple(pictures), skipped)
