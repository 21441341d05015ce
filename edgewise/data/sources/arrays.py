"""Arrays of a folder or tar of `.npy` files as samples, for models that take no picture: sound, a lidar's scan, features.

Each file is one sample: numbers, finite, at most `LARGEST` of them, given as float32. What is none is counted under its reason,
logged once and left out of later rounds. Files that would run code when they are read (objects) are refused.
"""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import EdgewiseError, SourceError, TensorError
from edgewise.data.pack import Pack
from edgewise.data.sources.feed import Clock, Picture, Source

log = logging.getLogger(__name__)
SUFFIX = ".npy"
LARGEST = 1 << 24  # values of a sample


class Arrays(Source):
    """The arrays of `pack`, once or in a `loop`."""

    def __init__(self, pack: Pack, rate: float | None = None, loop: bool = False, clock: Clock = time.monotonic) -> None:
        super().__init__(str(pack.path), rate, clock)
        self._pack, self._loop = pack, loop
        self.names = arrays(pack)
        if not self.names:
            raise SourceError(
                "there is no array in the folder or tar", got=f"{len(pack.names)} files in {pack.path}", allowed=SUFFIX
            )

    def pictures(self) -> Iterator[Picture]:
        while self.names:
            for name in tuple(self.names):
                if self._closing.is_set():
                    return
                try:
                    yield name, read_array(self._pack.read(name), name)
                except (TensorError, SourceError) as error:
                    self._leave_out(name, error)
            if not self._loop:
                break
        if not self.names:
            raise SourceError("no array of the source can be read", got=f"{self.name}: {dict(self.skipped)}")

    def _leave_out(self, name: str, error: EdgewiseError) -> None:
        if not self._pack.path.exists():
            raise SourceError(
                "the source vanished while it was running",
                got=f"{self.name} after {self.given} arrays",
                hint="Was a disk unplugged?",
            ) from None
        self.skipped[error.what] += 1
        self.names.remove(name)
        log.warning("%s", error)


def arrays(pack: Pack) -> list[str]:
    """The names of a pack's arrays."""
    return [n for n in pack.names if PurePosixPath(n).suffix.lower() == SUFFIX]


def read_array(data: bytes, name: str = "") -> NDArray[np.float32]:
    """The float32 array in the bytes of a `.npy` file; TensorError for anything else."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        count = math.prod(shape)
        if kind.kind not in "fiu" or not 0 < count <= LARGEST or len(data) - file.tell() != count * kind.itemsize:
            raise TensorError(
                "a file holds no array of numbers",
                got=f"{kind} {shape} in {len(data)} bytes of {name}",
                allowed=f"1 to {LARGEST} floats or integers",
            )
        found: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float32)
    except (ValueError, EOFError, OSError) as error:
        raise TensorError("a file is no array", got=f"{name}: {error}", allowed="a .npy file of numbers") from None
    if not np.isfinite(found).all():
        raise TensorError("an array holds values that are no numbers", got=name, allowed="finite values")
    return found
