"""The models that a device holds: a sample in; out comes what the filter sees, the payload of a point, or the local answer.

The mirror of `edgewise.node.tails`. Each call says what it took, step by step, in seconds.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.codec.select import Codec, codec_for
from edgewise.core.answer import Answer
from edgewise.core.artifact import Filter
from edgewise.core.coherent import EARLY, PRESENT
from edgewise.core.placement import OperatingPoint
from edgewise.data.decoding import answers
from edgewise.data.preprocess import WIDEST, narrow
from edgewise.net.messages import Stream
from edgewise.node.codecs import Codecs
from edgewise.node.parts import Parts
from edgewise.runtime.bundle import Bundle


class Look(Struct, frozen=True, eq=False):
    """What the filter saw: the probability `present`, whether the sample `passes`, and `early` features (1, …) to go on from."""

    present: float
    passes: bool
    early: NDArray[Any]
    parts: dict[str, float]


class Prepared(Struct, frozen=True):
    """A payload, ready to be sent. One in layers may be cut to any of the sizes `ends`, of which the last is its own.

    `guarded` layers were left out by the byte guard of its point.
    """

    payload: bytes
    parts: dict[str, float]
    ends: tuple[int, ...] = ()
    guarded: int = 0


class Heads:
    """`look`, `prepare` and `local` are what an agent's worker runs; all are safe in one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest, self.address = bundle.manifest, bundle.address
        self._parts = Parts(bundle, threads)
        self._codecs = Codecs()

    def warm(self) -> None:
        """Load the models and run each once, so that the first frame finds them ready."""
        first: dict[str, OperatingPoint] = {}
        for point in self.manifest.points:
            first.setdefault(point.mode, point)
        if "split" in first:
            self.prepare(self._parts.blank(self.manifest.first), first["split"])
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
        remote = [p for p in self.manifest.points if p.mode in ("split", "image")]
        return tuple(
            Stream(
                id=i,
                address=self.address,
                point=p.name,
                codec=p.codec,
                level=p.level,
                shape=(1, *self.manifest.crossing.shape) if p.mode == "split" else (WIDEST, WIDEST, 3),
                dtype="float32" if p.mode == "split" else "uint8",
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

    def prepare(self, sample: NDArray[Any], point: OperatingPoint, look: Look | None = None) -> Prepared:
        """The payload of a sample (a picture (height, width, 3), or the array of the model's input) at `point`.

        `look` is what the filter gave for this sample; where there is a filter, it is asked if nobody did.
        """
        start = perf_counter()
        if point.mode == "image":
            small = narrow(sample)
            fitted = perf_counter()
            payload = self._codec(point).encode(small)
            return Prepared(payload, {"fit": fitted - start, "encode": perf_counter() - fitted})
        parts: dict[str, float] = {}
        look = look or self.look(sample)
        if look is None:
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

    def local(self, sample: NDArray[Any], look: Look | None = None) -> tuple[Answer, dict[str, float]]:
        """The answer of the local model, and seconds by step; one that goes on from the filter's features is given them."""
        start = perf_counter()
        look = (look or self.look(sample)) if self._from_early else None
        feed = look.early if look is not None else self._parts.sample("local", sample)
        outputs = self._parts.run("local", feed)
        answer = answers(outputs, self.manifest.decoding, self.manifest.labels)[0]
        return answer, {"local": perf_counter() - start}

    @property
    def _from_early(self) -> bool:
        """Whether the local model goes on from the filter's features."""
        return self.manifest.filter is not None and self.manifest.parts["local"].inputs[0].name == EARLY

    def _codec(self, point: OperatingPoint) -> Codec:
        return self._codecs.of(self.address, point.name, lambda: codec_for(point, self.manifest))
