"""A part whose normalisation follows what it sees: forward only, on a device, without onnx or torch.

Most frames run in the fast session: the part with its statistics patched in, folded into convolutions by onnxruntime. One in a
few runs in the watched session (`edgewise.graph.watched`): the same answer, and the moments beside it; `edgewise.runtime.follow`
says what becomes of them. Where what is in use has moved enough, the fast session is built anew in a thread, and swapped between
two frames.

    >>> part = Tracked.of(bundle, "local")                      # doctest: +SKIP
    >>> part.run({"picture": batch})["scores"], part.statistics  # doctest: +SKIP

A model without batch normalisation is refused (ModelError): it has no statistics. Moments that are no numbers change nothing, and
are counted.

It does not know whether the answers get better.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from edgewise.core.artifact import PartName
from edgewise.core.errors import TensorError
from edgewise.core.moments import Moments, Statistics, widths
from edgewise.graph.normalisation import required
from edgewise.graph.watched import FEED, MOMENTS, SHARE, WEIGHT, watched
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.follow import PLAIN, Rules, apart, begun, dense, judged, observed, weight
from edgewise.runtime.initialisers import patched, values
from edgewise.runtime.session import Session
from edgewise.runtime.slots import gently

Outputs = dict[str, NDArray[Any]]


class Tally(Struct, frozen=True):
    """Runs of a tracked part: all of them, those that were `watched`, fast sessions `built`, `alarms`, and watched runs `refused`
    because their moments were no numbers."""

    runs: int = 0
    watched: int = 0
    built: int = 0
    alarms: int = 0
    refused: int = 0


class Tracked:
    """One part; `run` is a Session's, safe in one thread at a time. `paths` gives the parameter path of an initialiser.

    `aside` off builds sessions between two frames instead of in a thread, so that what happens does not depend on time.
    """

    def __init__(
        self, model: bytes, paths: Mapping[str, str] = {}, rules: Rules = PLAIN, threads: int = 1, aside: bool = True
    ) -> None:
        self.layers = tuple(layer for layer in required(model, f"a part of {len(model)} bytes", paths) if layer.kind == "batch")
        self.rules, self._model, self._threads, self._aside = rules, model, threads, aside
        self._watched = Session.load(watched(model, self.layers), threads)
        lying = values(model, [name for layer in self.layers for name in (layer.mean, layer.variance)])
        self._mean = np.concatenate([lying[layer.mean] for layer in self.layers]).astype(np.float64)
        self._variance = np.concatenate([lying[layer.variance] for layer in self.layers]).astype(np.float64)
        ends = np.cumsum([layer.channels for layer in self.layers]).tolist()
        self._slices = [slice(end - layer.channels, end) for layer, end in zip(self.layers, ends, strict=True)]
        self._first = self._mean[self._slices[0]], self._variance[self._slices[0]]
        self._home = self._fast = Session.load(model, threads)
        self._at = self._mean, self._variance  # what the fast session has
        self.course = begun(self._mean, self._variance, rules)
        self.tally = Tally()
        self._waiting = 0  # samples since the last watched run
        self._runs = self._due = 0  # runs since the last build, and how many there must be before the next
        self._ready: tuple[Session, tuple[NDArray[Any], NDArray[Any]]] | None = None
        self._builder: threading.Thread | None = None

    @staticmethod
    def of(bundle: Bundle, part: PartName, rules: Rules = PLAIN, threads: int = 1, aside: bool = True) -> Tracked:
        """A part of a bundle, its layers named by the bundle's parameter paths."""
        paths = {one.initialiser: path for path, one in bundle.manifest.parameters.items() if one.part == part}
        return Tracked(bundle.model(part), paths, rules, threads, aside)

    @property
    def source(self) -> Statistics:
        """The statistics that the part came with."""
        return self._told(self._mean, self._variance)

    @property
    def statistics(self) -> Statistics:
        """The running statistics of the stream, by the path of the layer."""
        return self._told(self.course.mean, self._running_variance)

    @property
    def used(self) -> Statistics:
        """What the part normalises with: the source's, or the running ones mixed with them."""
        return self._told(*self._mixed())

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        """Every output of the part for a batch (n, …); now and then its statistics are taken on the way."""
        samples = len(next(iter(feeds.values())))
        self._waiting += samples
        self._runs += 1
        if self._ready is not None:
            (self._fast, self._at), self._ready = self._ready, None
        watch = dense(self.course, self.rules) or self._waiting >= self.rules.every
        self.tally = replace(self.tally, runs=self.tally.runs + 1, watched=self.tally.watched + watch)
        if not watch:
            return self._fast.run(feeds)
        outputs = self._watch(feeds, samples)
        self._renew()
        return outputs

    def follow(self, statistics: Statistics, seen: float) -> None:
        """Go on from these running statistics (of a memory, or of another device) as if `seen` samples had led there."""
        self._match(statistics)
        mean = np.concatenate([statistics[layer.path].mean for layer in self.layers]).astype(np.float64)
        second = np.concatenate([statistics[layer.path].second for layer in self.layers])
        self.course = judged(replace(self.course, mean=mean, second=second, seen=seen), self._first, self.rules)
        self._due = 0

    def reset(self) -> None:
        """Back to the source, as if nothing had been seen; the model is what it came as, bit for bit."""
        self.course = begun(self._mean, self._variance, self.rules)
        self._fast, self._at, self._ready = self._home, (self._mean, self._variance), None
        self._waiting = self._due = 0

    def _watch(self, feeds: Mapping[str, NDArray[Any]], samples: int) -> Outputs:
        course, share = self.course, self.course.share
        w = weight(course, samples, self._waiting, self.rules)
        feed = np.empty(4 * len(self._mean), np.float32)
        for at, layer in zip(self._slices, self.layers, strict=True):
            rows = feed[4 * at.start : 4 * at.stop].reshape(4, layer.channels)
            rows[0], rows[1] = (1 - w) * course.mean[at], (1 - w) * course.second[at]
            rows[2], rows[3] = (1 - share) * self._mean[at], (1 - share) * self._variance[at]
        told = {FEED: feed, WEIGHT: np.array([w], np.float32), SHARE: np.array([share], np.float32)}
        outputs = self._watched.run({**feeds, **told})
        moments = outputs.pop(MOMENTS).astype(np.float64)
        if not np.isfinite(moments).all():
            self.tally = replace(self.tally, refused=self.tally.refused + 1)
            return outputs
        mean, second = np.empty_like(self._mean), np.empty_like(self._mean)
        for at in self._slices:
            mean[at], second[at] = np.split(moments[2 * at.start : 2 * at.stop], 2)
        self.course = observed(course, mean, second, samples, self._waiting, self._first, self.rules)
        self.tally = replace(self.tally, alarms=self.course.alarms)
        self._waiting = 0
        if self.course.alarms > course.alarms:
            self._runs = self._due = 0
        return outputs

    def _renew(self) -> None:
        """A new fast session where what it has is too far from what is used, and enough frames have passed to pay for it."""
        if dense(self.course, self.rules) or self._runs < self._due or self._builder is not None or self._ready is not None:
            return
        wanted = self._mixed()
        if apart(self._at, wanted) < self.rules.renew and not (self.course.share == 0 and self._fast is not self._home):
            return
        self._due, self._runs = min(max(2 * self._due, self.rules.every), self.rules.spacing), 0
        if self.course.share == 0:
            self._ready = self._home, (self._mean, self._variance)
            return
        self.tally = replace(self.tally, built=self.tally.built + 1)
        if not self._aside:
            self._ready = self._built(wanted), wanted
            return
        self._builder = threading.Thread(target=self._build, args=(wanted,), name="edgewise-statistics", daemon=True)
        self._builder.start()

    def _build(self, wanted: tuple[NDArray[Any], NDArray[Any]]) -> None:
        try:
            self._ready = gently(lambda: self._built(wanted)), wanted
        finally:
            self._builder = None

    def _built(self, wanted: tuple[NDArray[Any], NDArray[Any]]) -> Session:
        new: dict[str, NDArray[Any]] = {}
        for at, layer in zip(self._slices, self.layers, strict=True):
            new[layer.mean] = wanted[0][at].astype(np.float32)
            new[layer.variance] = wanted[1][at].astype(np.float32)
        return Session.load(patched(self._model, new), self._threads)

    @property
    def _running_variance(self) -> NDArray[np.float64]:
        return np.maximum(self.course.second - self.course.mean**2, 0)

    def _mixed(self) -> tuple[NDArray[Any], NDArray[Any]]:
        share = self.course.share
        return self._mean + share * (self.course.mean - self._mean), self._variance + share * (
            self._running_variance - self._variance
        )

    def _told(self, mean: NDArray[Any], variance: NDArray[Any]) -> Statistics:
        pairs = zip(self._slices, self.layers, strict=True)
        return {layer.path: Moments(mean[at].astype(np.float32), variance[at].astype(np.float32)) for at, layer in pairs}

    def _match(self, statistics: Statistics) -> None:
        wanted = {layer.path: layer.channels for layer in self.layers}
        if widths(statistics) != wanted:
            raise TensorError("statistics are of another model", got=f"{len(statistics)} layers", allowed=f"{len(wanted)} layers")
