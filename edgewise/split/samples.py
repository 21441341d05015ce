"""The samples that `split quick` calibrates and judges with: a person's own pictures, or .npy arrays for models that take none.

They are drawn over the whole folder or tar, and parted in long stretches: what calibrated never judges (`gallery.parted`).
What cannot be read is left out, counted and named; above a share of it the folder is not what its owner thinks it is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Picture
from edgewise.core.errors import SourceError, TensorError
from edgewise.data.pack import Pack, open_pack
from edgewise.data.picture import SUFFIXES, read_picture
from edgewise.data.preprocess import narrow
from edgewise.split.gallery import NAMED, Advance, Left, gathered, parted

MAX_VALUES = 1 << 26  # of one array


class Samples(Struct, frozen=True):
    """`values` (n, …) as the head takes them, which of them `calibrate` and which `judge`, and what was `left` out."""

    values: NDArray[Any]
    names: tuple[str, ...]
    calibrate: tuple[int, ...]
    judge: tuple[int, ...]
    left: tuple[Left, ...]
    pack: Pack
    pictures: bool

    def of(self, indices: Sequence[int]) -> NDArray[Any]:
        return np.ascontiguousarray(self.values[np.asarray(indices, int)])

    def original(self, index: int) -> NDArray[np.uint8]:
        """The picture as a device would send it whole: its longer side 640 px at most."""
        return narrow(read_picture(self.pack.read(self.names[index]), self.names[index]))


def of_pictures(
    path: Path, picture: Picture, calibrate: int, judge: int, most_bad: float, seed: int, advance: Advance
) -> Samples:
    """Pictures of a folder or tar at the size that the model sees; SourceError where there are too few."""
    pack = open_pack(path)
    with TemporaryDirectory() as work:
        found = gathered(pack, picture, Path(work), most_bad, calibrate + judge, None, advance)
        values = np.array(found.pictures)
    first, second = parted(found.names, judge / (calibrate + judge), seed)
    return Samples(values, found.names, first, second, found.left, pack, True)


def of_arrays(
    path: Path, shape: tuple[int, ...], calibrate: int, judge: int, most_bad: float, seed: int, advance: Advance
) -> Samples:
    """float32 arrays of `shape` (without the batch, or with a batch of one) from .npy files."""
    pack = open_pack(path)
    names = [n for n in pack.names if n.lower().endswith(".npy")]
    if not names:
        pictures = sum(PurePosixPath(n).suffix.lower() in SUFFIXES for n in pack.names)
        raise SourceError(
            "there is no array to calibrate with",
            got=f"{len(pack.names)} files in {path}, {pictures} of them pictures",
            allowed=f".npy files of float32 {shape}",
            hint="The model's input is no picture; save its inputs with numpy.save, one file a sample.",
        )
    if len(names) > calibrate + judge:
        names = [names[i] for i in np.linspace(0, len(names) - 1, calibrate + judge).round().astype(int)]
    values, kept, left = [], [], []
    for number, name in enumerate(names):
        try:
            values.append(_array(pack.read(name), name, shape))
            kept.append(name)
        except (TensorError, SourceError) as error:
            left.append(Left(name, error.what))
            if len(left) > most_bad * len(names):
                told = "; ".join(f"{x.name} ({x.why})" for x in left[:NAMED])
                raise SourceError("too many arrays cannot be used", got=told, allowed=f"{most_bad:.0%} of {len(names)}") from None
        if number % 64 == 0:
            advance("reading arrays", number / len(names))
    first, second = parted(kept, judge / (calibrate + judge), seed)
    return Samples(np.stack(values), tuple(kept), first, second, tuple(left), pack, False)


def has_arrays(path: Path) -> bool:
    """Whether a folder or tar holds arrays and no pictures."""
    endings = {PurePosixPath(n).suffix.lower() for n in open_pack(path).names}
    return ".npy" in endings and not endings & SUFFIXES


def _array(data: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise TensorError("the file is no array", got=f"{name} ({error})", allowed="what numpy.save writes, no objects") from None
    if found.shape == (1, *shape):
        found = found[0]
    if found.shape != shape or found.dtype.kind not in "fiu" or found.size > MAX_VALUES:
        raise TensorError(
            "an array is not what the model takes", got=f"{name}: {found.dtype} {found.shape}", allowed=f"float32 {shape}"
        )
    values: NDArray[np.float32] = found.astype(np.float32)
    if not np.isfinite(values).all():
        raise TensorError("an array holds NaN or infinity", got=name, allowed="finite numbers")
    return values
