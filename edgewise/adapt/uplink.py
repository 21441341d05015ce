"""An Uplink is a device's link to a teacher on recorded data: pictures go up as JPEG, answers and deltas come down, all counted.

The teacher sees what really would arrive: the picture decoded from its JPEG bytes. A `Crossing` holds the pictures that stand
before the device now; it codes each at most once and asks the teacher about each at most once, however many methods want it, so
that twelve methods on one stream cost one teacher. Every method has an Uplink of its own, which counts for it alone. A picture
that was sent is counted once, whether it is answered, learned from, or both.

    up      JPEG bytes + header of the frame
    down    packed Answer (the likeliest class) + what a reply says beside it + header;     delta as coded + header

It knows no loss and no delay of the link: a method that is to learn late says so itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.adapt.method import Tally, Values
from edgewise.codec.image import ImageCodec
from edgewise.core.answer import Answer, Class
from edgewise.core.errors import InputError
from edgewise.core.learning import Sample
from edgewise.core.wire import FRAME_HEADER

REPLY = 22  # bytes of a reply beside its answer: the server's seconds twice, batch, queue, and the length of the row
Pictures = NDArray[np.uint8]
Ask = Callable[[Sequence[Pictures]], Values]


class Crossing:
    """The pictures before the device, coded and asked about when somebody first wants it; `ask`: a teacher's `probabilities`."""

    def __init__(self, ask: Ask, quality: int = 85, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._ask, self._codec, self._clock = ask, ImageCodec("jpeg", quality), clock
        self.seconds = 0.0  # of coding and asking, by the clock
        self.pictures: Pictures = np.zeros((0, 1, 1, 3), np.uint8)
        self.first = 0
        self.times: NDArray[np.float64] = np.zeros(0)
        self._coded: dict[int, bytes] = {}
        self._arrived: dict[int, Pictures] = {}
        self._told: dict[int, Values] = {}

    def show(self, pictures: Pictures, first: int, times: NDArray[np.float64]) -> None:
        """Pictures (n, height, width, 3), numbered from `first`, which arrive at `times` (n,), s."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or len(times) != len(pictures):
            raise InputError(
                "these are no pictures of a stream",
                got=f"{pictures.dtype} {pictures.shape} at {len(times)} times",
                allowed="uint8 (n, height, width, 3), a time for each",
            )
        self.pictures, self.first, self.times = pictures, first, times
        self._coded, self._arrived, self._told = {}, {}, {}

    def coded(self, row: int) -> bytes:
        """The JPEG bytes of one picture."""
        if row not in self._coded:
            begun = self._clock()
            self._coded[row] = self._codec.encode(self.pictures[row])
            self.seconds += self._clock() - begun
        return self._coded[row]

    def arrived(self, row: int) -> Pictures:
        """The picture as it is where its JPEG was decoded."""
        if row not in self._arrived:
            data, begun = self.coded(row), self._clock()
            self._arrived[row] = self._codec.decode(data)
            self.seconds += self._clock() - begun
        return self._arrived[row]

    def told(self, rows: Sequence[int]) -> Values:
        """(len(rows), class): what the teacher says of the pictures as they arrive."""
        new = [r for r in dict.fromkeys(rows) if r not in self._told]
        if new:
            pictures, begun = [self.arrived(r) for r in new], self._clock()
            self._told.update(zip(new, self._ask(pictures)))
            self.seconds += self._clock() - begun
        return np.stack([self._told[r] for r in rows])


class Uplink:
    """One method's way over a Crossing. `labels` name the classes in answers, whose bytes depend on them."""

    def __init__(self, crossing: Crossing, labels: Sequence[str]) -> None:
        self.crossing, self._labels = crossing, tuple(labels)
        self._sent: set[int] = set()  # of what is before the device now
        self._first = -1
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def send(self, rows: Sequence[int]) -> list[bytes]:
        """The JPEG bytes of pictures that go up; each is counted once."""
        if self.crossing.first != self._first:
            self._first, self._sent = self.crossing.first, set()
        for row in rows:
            if row not in self._sent:
                self._sent.add(row)
                self.counts["uploaded"] += 1
                self.counts["bytes_up"] += len(self.crossing.coded(row)) + FRAME_HEADER
        return [self.crossing.coded(r) for r in rows]

    def weight(self, row: int, sample: Sample | None = None) -> int:
        """Bytes on the link of a picture that goes for an answer, or as a sample."""
        data = self.crossing.coded(row) if sample is None else msgspec.msgpack.encode(sample)
        return len(data) + FRAME_HEADER

    def sampled(self, row: int, sample: Sample) -> Values:
        """(class,): a picture goes up as a sample, with what it says of itself; what the teacher says of it."""
        self.counts["uploaded"] += 1
        self.counts["bytes_up"] += self.weight(row, sample)
        (said,) = self.crossing.told([row])
        return np.asarray(said, np.float32)

    def taught(self, rows: Sequence[int]) -> Values:
        """(len(rows), class): pictures go up, and the server knows what the teacher says of them; nothing comes down."""
        if not len(rows):
            return np.zeros((0, len(self._labels)), np.float32)
        self.send(rows)
        return self.crossing.told(rows)

    def answered(self, rows: Sequence[int]) -> Values:
        """(len(rows), class): pictures go up, and the teacher's answers come down."""
        said = self.taught(rows)
        for probabilities in said:
            best = int(probabilities.argmax())
            reply = Answer(classes=(Class(self._labels[best], round(float(probabilities[best]), 4)),))
            self.counts["bytes_down"] += len(msgspec.msgpack.encode(reply)) + REPLY + FRAME_HEADER
        self.counts["answered"] += len(said)
        return said

    def upload(self, size: int) -> None:
        """Bytes that go up beside pictures: statistics."""
        self.counts["bytes_up"] += size + FRAME_HEADER

    def delta(self, size: int) -> None:
        """A delta of so many bytes comes down."""
        self.counts["deltas"] += 1
        self.counts["bytes_down"] += size + FRAME_HEADER

    def word(self) -> None:
        """A word without a payload comes down: which version is to be used."""
        self.counts["bytes_down"] += FRAME_HEADER

    def tally(self, seen: int) -> Tally:
        """All counts so far, after `seen` pictures."""
        return Tally(seen=seen, **self.counts, reasons={why: n for why, n in self.reasons.items() if n})
