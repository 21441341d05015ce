"""The models that a device holds: a sample in; out comes what the filter sees, the payload of a point, or the local answer.

The mirror of `edgewise.node.tails`. Each call says what it took, step by step, in seconds. Where the head begins behind a filter
or an exit, that part runs first, whatever the point. For who learns from frames it says how much doubt an answer has, from the
outputs that exist anyway, and codes their pictures.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.image import ImageCodec
from edgewise.codec.select import Codec, codec_for
from edgewise.core.answer import Answer
from edgewise.core.artifact import Exit, Filter, PartName
from edgewise.core.coherent import EARLY, PRESENT
from edgewise.core.errors import ImageError, InputError, ModelError
from edgewise.core.placement import CROSSING, REMOTE, OperatingPoint
from edgewise.data.decoding import answers
from edgewise.data.doubt import Doubt, doubt
from edgewise.data.preprocess import WIDEST, narrow
from edgewise.net.messages import Stream
from edgewise.node.codecs import Codecs
from edgewise.node.parts import Parts
from edgewise.node.tracking import Tracking
from edgewise.runtime.bundle import Bundle

DEVICE: tuple[PartName, ...] = ("filter", "exit", "head", "local")


class Look(Struct, frozen=True, eq=False):
    """What the filter saw: the probability `present`, whether the sample `passes`, and `early` features (1, …) to go on from."""

    present: float
    passes: bool
    early: NDArray[Any]
    parts: dict[str, float]


class Tried(Struct, frozen=True, eq=False):
    """What the exit says of a sample: its `answer`, whether it is `sure` enough to be the last word, how much `doubt` it has, and
    `early` features (1, …) to go on from where it is not. `known` is its doubt as a learner knows it, if that was asked for."""

    answer: Answer
    sure: bool
    doubt: float
    early: NDArray[Any]
    parts: dict[str, float]
    known: Doubt | None = None


class Own(Struct, frozen=True, eq=False):
    """The device's own answer, seconds by step, and its doubt: None where it was not asked for, or is no number."""

    answer: Answer
    parts: dict[str, float]
    doubt: Doubt | None = None


class Prepared(Struct, frozen=True):
    """A payload, ready to be sent. One in layers may be cut to any of the sizes `ends`, of which the last is its own.

    `guarded` layers were left out by the byte guard of its point.
    """

    payload: bytes
    parts: dict[str, float]
    ends: tuple[int, ...] = ()
    guarded: int = 0


class Heads:
    """`look`, `attempt`, `prepare` and `local` are what an agent's worker runs; all are safe in one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest, self.address = bundle.manifest, bundle.address
        self._parts = Parts(bundle, threads, DEVICE)
        self._codecs = Codecs()

    def warm(self) -> None:
        """Load the models and run each once, so that the first frame finds them ready."""
        first: dict[str, OperatingPoint] = {}
        for point in self.manifest.points:
            first.setdefault(point.mode, point)
        for mode in CROSSING:
            if mode in first:
                self.prepare(self._parts.blank(self.manifest.first), first[mode])
        if "image" in first:
            self.prepare(np.zeros((WIDEST * 9 // 16, WIDEST, 3), np.uint8), first["image"])
        if "local" in self.manifest.parts:
            self.local(self._parts.blank("filter" if self._from_early else "local"))

    @property
    def filter(self) -> Filter | None:
        """The models' filter; what it seeks is one of their labels, or "" for anything."""
        it = self.manifest.filter
        return replace(it, of=it.of if it.of in self.manifest.labels else "") if it is not None else None

    def streams(self, first: int = 1) -> tuple[Stream, ...]:
        """What the device may send: one stream for each operating point that goes over the link, numbered from `first`."""
        remote = [p for p in self.manifest.points if p.mode in REMOTE]
        return tuple(
            Stream(
                id=i,
                address=self.address,
                point=p.name,
                codec=p.codec,
                level=p.level,
                shape=(1, *self.manifest.crossing.shape) if p.mode in CROSSING else (WIDEST, WIDEST, 3),
                dtype="float32" if p.mode in CROSSING else "uint8",
            )
            for i, p in enumerate(remote, start=first)
        )

    def look(self, sample: NDArray[Any]) -> Look | None:
        """What the filter sees in a sample; None where the models have none. One that gives no number lets everything pass."""
        if self.manifest.filter is None:
            return None
        start = perf_counter()
        fitted = self._parts.sample("filter", sample)
        outputs = self._parts.run("filter", fitted)
        present = float(outputs[PRESENT].reshape(-1)[0])
        passes = not present < self.manifest.filter.threshold
        return Look(present, passes, outputs[EARLY], {"filter": perf_counter() - start})

    def attempt(self, sample: NDArray[Any], doubts: bool = False) -> Tried:
        """What the exit says of a sample; ModelError where the models have none. One that gives no number is never sure.

        `doubts` says that a learner wants to know its doubt.
        """
        start = perf_counter()
        it = self.manifest.exit
        if not isinstance(it, Exit):
            raise ModelError(f"the bundle {self.manifest.name} has no exit", got=", ".join(self.manifest.parts), allowed="exit")
        outputs = self._parts.run("exit", self._parts.sample("exit", sample))
        spent = {"exit": perf_counter() - start}
        early = outputs.pop(EARLY)
        try:
            answer = answers(outputs, self.manifest.decoding, self.manifest.labels)[0]
        except InputError:  # no numbers: the tail is to say
            return Tried(Answer(), False, 1.0, early, spent)
        self._parts.answered("exit", answer)
        left = 1 - answer.classes[0].score if answer.classes else 1.0
        known = doubt(outputs, self.manifest.decoding) if doubts else None
        return Tried(answer, left < it.doubt, left, early, spent, known)

    def prepare(self, sample: NDArray[Any], point: OperatingPoint, look: Look | Tried | None = None) -> Prepared:
        """The payload of a sample (a picture (height, width, 3), or the array of the model's input) at `point`.

        `look` is what the filter or the exit gave for this sample; where there is one, it is asked if nobody did.
        """
        start = perf_counter()
        if point.mode == "image":
            small = narrow(sample)
            fitted = perf_counter()
            payload = self._codec(point).encode(small)
            return Prepared(payload, {"fit": fitted - start, "encode": perf_counter() - fitted})
        parts: dict[str, float] = {}
        look = look or self.look(sample)
        if look is None and self.manifest.first == "exit":
            feed = self._parts.run("exit", self._parts.sample("exit", sample))[EARLY]
            parts["exit"] = perf_counter() - start
        elif look is None:
            feed = self._parts.sample("head", sample)
            parts["fit"] = perf_counter() - start
        else:
            feed = look.early
        fitted = perf_counter()
        features = self._parts.run("head", feed)[self.manifest.parts["head"].outputs[0].name]
        headed = perf_counter()
        codec = self._codec(point)
        payload = codec.encode(features)
        parts |= {"head": headed - fitted, "encode": perf_counter() - headed}
        if not isinstance(codec, FeatureCodec):
            return Prepared(payload, parts)
        return Prepared(payload, parts, codec.prefixes(payload), codec.total - codec.offered(payload))

    def local(self, sample: NDArray[Any], look: Look | None = None, doubts: bool = False) -> Own:
        """The answer of the local model; one that goes on from the filter's features is given them. `doubts` as for `attempt`."""
        start = perf_counter()
        look = (look or self.look(sample)) if self._from_early else None
        feed = look.early if look is not None else self._parts.sample("local", sample)
        outputs = self._parts.run("local", feed)
        answer = answers(outputs, self.manifest.decoding, self.manifest.labels)[0]
        self._parts.answered("local", answer)
        known = doubt(outputs, self.manifest.decoding) if doubts else None
        return Own(answer, {"local": perf_counter() - start}, known)

    def coded(self, sample: NDArray[Any], level: int) -> tuple[bytes, dict[str, float]]:
        """The picture of a sample as JPEG of quality `level`, to be learned from; ImageError where it is none."""
        start = perf_counter()
        if sample.ndim != 3 or sample.dtype != np.uint8:
            raise ImageError("a sample is no picture, so nobody can learn from it", got=f"{sample.dtype} {sample.shape}")
        picture = ImageCodec("jpeg", level).encode(narrow(sample))
        return picture, {"sample": perf_counter() - start}

    def statistics(self) -> bytes:
        """Packed statistics of normalisation (`edgewise.core.moments`); empty where the models track none."""
        return self._parts.statistics()

    def follow(self, on: bool) -> None:
        """Whether normalisation follows what the device sees, from the next frames on; what it needs is loaded beside them."""
        self._parts.tracking.turn(on)

    def succeed(self, before: Heads) -> None:
        """Go on with the statistics of the version before; waits until they are in use."""
        self._parts.tracking.succeed(before._parts.tracking)

    @property
    def following(self) -> Tracking:
        return self._parts.tracking

    @property
    def _from_early(self) -> bool:
        """Whether the local model goes on from the filter's features."""
        return self.manifest.filter is not None and self.manifest.parts["local"].inputs[0].name == EARLY

    def _codec(self, point: OperatingPoint) -> Codec:
        return self._codecs.of(self.address, point.name, lambda: codec_for(point, self.manifest))
