"""What each operating point of a split costs and is worth, measured on pictures that taught nothing.

Every point does what the product does, to the byte: head, codec both ways, tail, answer; pictures that go up whole are answered
by the part `full`. Worth is the labels' (top-1) where class folders name them, else agreement with the uncut model's answers
(`edgewise.data.scoring`). Times are medians of this thread's processor time, without waiting; bytes are payloads, as
`OperatingPoint` has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.select import Codec
from edgewise.core.answer import Answer
from edgewise.core.decoding import Decoding, Grid, Things
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.data import scoring
from edgewise.data.decoding import answers
from edgewise.runtime.session import Session
from edgewise.split.gallery import Gallery
from edgewise.split.layer_worths import by_layers

Floats = NDArray[np.float32]
BATCH = 8


class Sessions(Struct, frozen=True):
    """The parts of a split, loaded."""

    head: Session
    tail: Session
    full: Session

    def features(self, pictures: NDArray[np.uint8]) -> Floats:
        """The bottlenecks (n, …) of pictures (n, height, width, 3)."""
        name, output = self.head.inputs[0].name, self.head.outputs[0].name
        return np.concatenate(
            [self.head.run({name: pictures[i : i + BATCH]}, [output])[output] for i in range(0, len(pictures), BATCH)]
        )

    def tailed(self, features: Floats) -> dict[str, NDArray[Any]]:
        """The tail's outputs for features (n, …)."""
        return self.tail.run({self.tail.inputs[0].name: features})


class Judge:
    """Answers of the uncut model on the pictures numbered `chosen`, against which points are measured.

    `worth` scores answers, by condition, where the caller knows the truth; `true` is the class of each where it knows that
    (empty: nobody is asked), `of` whose word that is.
    """

    def __init__(
        self,
        sessions: Sessions,
        gallery: Gallery,
        chosen: Sequence[int],
        decoding: Decoding,
        labels: Sequence[str],
        worth: Callable[[Sequence[Answer]], dict[str, Quality]] | None = None,
        true: Sequence[str] | None = None,
        of: str = "the names of class folders",
    ) -> None:
        self._worth = worth
        self._sessions, self._gallery, self._decoding, self._labels = sessions, gallery, decoding, tuple(labels)
        self._chosen = list(chosen)
        self._blocks = [i // 16 for i in self._chosen]
        said: list[Answer] = []
        times = []
        for i in self._chosen:
            begun = time.thread_time()
            outputs = sessions.full.run({sessions.full.inputs[0].name: gallery.of([i])})
            said += answers(outputs, decoding, self._labels)
            times.append(time.thread_time() - begun)
        self.whole, self.whole_time = said, float(np.median(times))
        self._threshold = decoding.threshold if isinstance(decoding, Grid | Things) else 0.5
        self.true = classes_of([gallery.names[i] for i in self._chosen], self._labels) if true is None else list(true) or None
        self._of = of

    def __len__(self) -> int:
        return len(self._chosen)

    def split(self, point: OperatingPoint, codec: Codec) -> OperatingPoint:
        """`point` as measured, every picture through head, `codec` and tail; worth by layers, too, where its frames have some."""
        head, tail = self._sessions.head, self._sessions.tail
        said: list[Answer] = []
        payloads, device, edge, replies = [], [], [], []
        for i in self._chosen:
            begun = time.thread_time()
            features = head.run({head.inputs[0].name: self._gallery.of([i])})[head.outputs[0].name]
            payload = codec.encode(features)
            there = time.thread_time()
            outputs = tail.run({tail.inputs[0].name: codec.decode(payload)})
            said += answers(outputs, self._decoding, self._labels)
            edge.append(time.thread_time() - there)
            device.append(there - begun)
            payloads.append(payload)
            replies.append(len(msgspec.msgpack.encode(said[-1])))
        found = self._measured(point, said, [len(p) for p in payloads], device, edge, replies)
        layers = by_layers(
            codec,
            payloads,
            lambda features: answers(self._sessions.tailed(features), self._decoding, self._labels),
            lambda parts: self.worth([answer for part in parts for answer in part])["all"],
        )
        return msgspec.structs.replace(found, quality=found.quality | layers)

    def image(self, point: OperatingPoint, codec: Codec, original: Callable[[int], NDArray[np.uint8]]) -> OperatingPoint:
        """`point` as measured: `original(i)` compressed as the device would send it, answered by the whole model."""
        from edgewise.data.preprocess import fit

        full = self._sessions.full
        said: list[Answer] = []
        sent, device, edge, replies = [], [], [], []
        for i in self._chosen:
            picture = original(i)
            begun = time.thread_time()
            payload = codec.encode(picture)
            there = time.thread_time()
            outputs = full.run({full.inputs[0].name: fit(codec.decode(payload), self._gallery.picture)})
            said += answers(outputs, self._decoding, self._labels)
            edge.append(time.thread_time() - there)
            device.append(there - begun)
            sent.append(len(payload))
            replies.append(len(msgspec.msgpack.encode(said[-1])))
        return self._measured(point, said, sent, device, edge, replies)

    def _measured(
        self,
        point: OperatingPoint,
        said: Sequence[Answer],
        sent: Sequence[int],
        device: Sequence[float],
        edge: Sequence[float],
        replies: Sequence[int],
    ) -> OperatingPoint:
        return msgspec.structs.replace(
            point,
            bytes_up=round(float(np.mean(sent)), 1),
            bytes_down=round(float(np.mean(replies)), 1),
            device_time=round(float(np.median(device)), 6),
            edge_time=round(float(np.median(edge)), 6),
            quality=self.worth(said),
        )

    def worth(self, said: Sequence[Answer]) -> dict[str, Quality]:
        """Quality by condition: as the caller scores it, by labels where there are some, else agreement with the uncut model."""
        if self._worth is not None:
            return self._worth(said)
        found = self._scored(said)
        value, low, high = (round(float(np.nan_to_num(v)), 4) for v in (found.value, found.low, found.high))
        return {"all": Quality(value, low, high, found.n)}

    def _scored(self, said: Sequence[Answer]) -> scoring.Scored:
        if self.true is not None and said[0].classes:
            return scoring.of_classes(said, [scoring.Truth(label=t) for t in self.true], self._blocks)
        return scoring.agreement(said, self.whole, self._blocks, self._threshold)

    @property
    def measure(self) -> str:
        """What the qualities are: the metric (`edgewise.data.scoring`) and whose word it takes."""
        metric = self._scored(self.whole).metric
        if self.true is not None and self.whole[0].classes:
            return f"{metric} by {self._of}"
        if isinstance(self._decoding, Grid | Things):
            return f"{metric} by agreement with the uncut model, its boxes from {self._threshold:g} on standing for labels"
        return f"{metric} by agreement with the uncut model"


def classes_of(names: Sequence[str], labels: Sequence[str]) -> list[str] | None:
    """The class of each picture by its folder, where every folder's name is one of `labels`; None otherwise."""
    folders = [PurePosixPath(n).parent.name for n in names]
    return folders if labels and set(folders) <= set(labels) else None
