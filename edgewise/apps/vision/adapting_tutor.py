"""A Tutor turns what comes down the pipe into calls of an Adapter, and what the Adapter has to say into words for the server.

Pictures are decoded here, behind the pipe, where a hostile one harms no frame. A sample that cannot be used is counted with its
reason and forgotten; one whose statistics are of another model is used without them. An Adapter begins at the source. Where
devices have what was learned before the process began, they are called back to it first: what was known of their domain is not
known any more.

It does not know the pipe, nor who trains.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.adapt.adapter import Adapter
from edgewise.adapt.shipment import Event
from edgewise.adapt.upload import Upload
from edgewise.apps.vision.adapting_line import FITTED_ON, Line
from edgewise.apps.vision.adapting_words import Outcome, Said, Seen, Standing, Wanted
from edgewise.codec.image import ImageCodec
from edgewise.core.errors import EdgewiseError, ImageError, InputError
from edgewise.core.learning import Learning
from edgewise.core.moments import Statistics, unpacked

LARGEST_PIXELS = 4096 * 4096
HOMEWARD = 0  # the shipment that is no Adapter's: back to the source, from what was learned before this process began
AGAIN = 60.0  # s until that is tried again
EVERY = 2.0  # s between two Standings where nothing happened


class Tutor:
    """Of one `adapter`, whose shipments `line` makes into versions. `layout` is that of devices' statistics (path → channels),
    `used()` gives CPU seconds and memory (bytes).
    """

    def __init__(
        self,
        adapter: Adapter,
        line: Line,
        layout: Mapping[str, int] = {},
        used: Callable[[], tuple[float, int]] = lambda: (time.process_time(), 0),
    ) -> None:
        self.adapter, self.line, self._layout, self._used = adapter, line, layout, used
        self._codec = ImageCodec("jpeg", 85, LARGEST_PIXELS)
        self._newest: deque[NDArray[np.uint8]] = deque(maxlen=FITTED_ON)
        self._refused: Counter[str] = Counter()
        self._wanted: Learning | None = None
        self._told = 0.0
        self._away = line.current != line.source  # devices have what was learned before this process began
        self._back = 0.0  # when devices are called back next, while they are away
        self._shown: Event | None = None  # the newest entry of the timeline that was told
        line.recent = lambda: tuple(self._newest)

    def seen(self, word: Seen) -> None:
        """A sample came."""
        sample = word.sample
        try:
            picture = self._codec.decode(sample.picture)
        except ImageError:
            self._refused["no picture"] += 1
            return
        upload = Upload(word.node, picture, sample.audit, None, self._statistics(sample.statistics), word.size, sample.version)
        try:
            self.adapter.sample(upload, word.at)  # what it leaves out it counts itself
        except InputError as error:
            self._refused[error.what] += 1
            return
        self._newest.append(picture)

    def _statistics(self, data: bytes) -> Statistics | None:
        if not data:
            return None
        try:
            return unpacked(data, self._layout)
        except InputError as error:
            self._refused[error.what] += 1
            return None

    def outcome(self, word: Outcome, now: float) -> None:
        """A shipment is in use, or was taken back."""
        if word.number == HOMEWARD:
            self._away, self._back = bool(word.why), now + AGAIN
            self.line.current = self.line.source if not word.why else self.line.current
        elif word.why:
            self.adapter.refused(word.number, word.why, now)
        else:
            self.line.current = word.address
            self.adapter.acknowledged(word.number, word.address, now)

    def turn(self, now: float) -> list[Said]:
        """Learn what is due, and say what is new."""
        self.adapter.tick(now)
        words: list[Said] = []
        if self._away and now >= self._back:
            self._back = math.inf
            words.append(self.line.homeward(HOMEWARD))
        for shipment in () if self._away else self.adapter.deltas():
            try:
                words.append(self.line.made(shipment))
            except EdgewiseError as error:
                self._refused[error.what] += 1
                self.adapter.refused(shipment.number, str(error), now)
        if self.adapter.learning != self._wanted:
            self._wanted = self.adapter.learning
            words.append(Wanted(self._wanted))
        standing = self._standing()
        if words or standing.report.timeline or now - self._told >= EVERY:
            self._told = now
            words.append(standing)
        return words

    def _standing(self) -> Standing:
        report = self.adapter.report()
        known = next((i for i, e in enumerate(report.timeline) if e is self._shown), -1)
        fresh = report.timeline[known + 1 :]
        self._shown = fresh[-1] if fresh else self._shown
        seconds, memory = self._used()
        refused = dict(Counter(report.refused) + self._refused)
        return Standing(replace(report, timeline=fresh, refused=refused), seconds, memory)
