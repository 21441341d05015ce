"""Pictures of a folder or tar as frames of a camera, in natural order of their names.

A picture that is none is counted under its reason, logged once and left out of later rounds; the others go on. Only a
pack without a single good picture, or one that vanishes as a whole, is an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

from edgewise.core.errors import EdgewiseError, ImageError, SourceError
from edgewise.data.pack import Pack
from edgewise.data.picture import SUFFIXES, read_picture
from edgewise.data.sources.feed import Clock, Picture, Source

log = logging.getLogger(__name__)


class Stills(Source):
    """The pictures of `pack`, once or in a `loop`."""

    def __init__(self, pack: Pack, rate: float | None = None, loop: bool = False, clock: Clock = time.monotonic) -> None:
        super().__init__(str(pack.path), rate, clock)
        self._pack, self._loop = pack, loop
        self.names = [n for n in pack.names if PurePosixPath(n).suffix.lower() in SUFFIXES]
        if not self.names:
            raise SourceError(
                "there is no picture in the folder or tar",
                got=f"{len(pack.names)} files in {pack.path}",
                allowed=" ".join(sorted(SUFFIXES)),
            )

    def pictures(self) -> Iterator[Picture]:
        while self.names:
            for name in tuple(self.names):
                if self._closing.is_set():
                    return
                try:
                    picture = read_picture(self._pack.read(name), name)
                except (ImageError, SourceError) as error:
                    self._leave_out(name, error)
                    continue
                yield name, picture
            if not self._loop:
                break
        if not self.names:
            raise SourceError("no picture of the source can be read", got=f"{self.name}: {_tally(self.skipped)}")

    def _leave_out(self, name: str, error: EdgewiseError) -> None:
        if not self._pack.path.exists():
            raise SourceError(
                "the source vanished while it was running",
                got=f"{self.name} after {self.given} pictures",
                hint="Was a disk unplugged or a folder renamed? Start again with the new path.",
            ) from None
        self.skipped[error.what] += 1
        self.names.remove(name)
        log.warning("%s", error)


def _tally(skipped: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {n}" for reason, n in sorted(skipped.items())) or "nothing found"
