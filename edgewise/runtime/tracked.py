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
from edgewise.core.errors import EdgewiseError
from edgewise.core.moments import Moments, Statistics
from edgewise.graph.normalisation import required
from edgewise.graph.watched import FEED, MOMENTS, WEIGHT, watched
from edgewise.runtime.bundle import Bundle
from edgewise.runtime.follow import (
    PLAIN,
    Course,
    Rules,
    Source,
    Vector,
    apart,
    begun,
    dense,
    looked,
    mixed,
    mixture,
    observed,
    told,
    weight,
)
from edgewise.runtime.initialisers import patched, values
from edgewise.runtime.session import Session
from edgewise.runtime.slots import gently

Outputs = dict[str, NDArray[Any]]
_ROWS = 6  # vectors a layer that are fed
_OFTEN = 2  # samples, while every frame is watched, after which the source sees one


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

    `aside` off builds sessions between two frames instead of in a thread, so that what happens does not depend on time. `home` is
    a session of the model, where there is one already.
    """

    def __init__(
        self,
        model: bytes,
        paths: Mapping[str, str] = {},
        rules: Rules = PLAIN,
        threads: int = 1,
        aside: bool = True,
        home: Session | None = None,
    ) -> None:
        self.layers = tuple(layer for layer in required(model, f"a part of {len(model)} bytes", paths) if layer.kind == "batch")
        self.rules, self._model, self._threads, self._aside = rules, model, threads, aside
        self._watched = Session.load(watched(model, self.layers), threads)
        lying = values(model, [name for layer in self.layers for name in (layer.mean, layer.variance)])
        ends = np.cumsum([layer.channels for layer in self.layers]).tolist()
        slices = tuple(slice(end - layer.channels, end) for layer, end in zip(self.layers, ends, strict=True))
        mean, variance = (
            np.concatenate([lying[getattr(layer, which)] for layer in self.layers]).astype(np.float64)
            for which in ("mean", "variance")
        )
        self._source = Source(mean, variance, slices)
        self._home = self._fast = home or Session.load(model, threads)
        self._at = mean, variance  # what the fast session has
        # where each vector of a layer stands among those of its kind: in the feed, and in the moments
        whole = np.arange(len(mean))
        self._to_feed = np.concatenate([(whole[at] + row * len(mean)) for at in slices for row in range(_ROWS)])
        self._of_moments = np.argsort(np.concatenate([(whole[at] + row * len(mean)) for at in slices for row in range(2)]))
        self._course = begun(self._source, rules)
        self._labels: list[int] = []  # of answers since the last watched run
        self._of = 0  # so many labels there are
        self._count = dict.fromkeys(Tally.__struct_fields__, 0)
        self._waiting = self._unseen = 0  # samples since the last watched run, and since the source saw one
        self._runs = self._due = 0  # runs since the last build, and how many there must be before the next
        self._ready: tuple[Session, tuple[Vector, Vector]] | None = None
        self._builder: threading.Thread | None = None

    @staticmethod
    def of(bundle: Bundle, part: PartName, rules: Rules = PLAIN, threads: int = 1, aside: bool = True) -> Tracked:
        """A part of a bundle, its layers named by the bundle's parameter paths."""
        paths = {one.initialiser: path for path, one in bundle.manifest.parameters.items() if one.part == part}
        return Tracked(bundle.model(part), paths, rules, threads, aside, bundle.session(part, threads))

    @property
    def course(self) -> Course:
        """Where the stream has led."""
        if self._labels:
            self._course, self._labels = told(self._course, self._labels, self._of, self.rules), []
        return self._course

    @property
    def tally(self) -> Tally:
        return Tally(**self._count)

    @property
    def source(self) -> Statistics:
        """The statistics that the part came with."""
        return self._named(self._source.mean, self._source.variance)

    @property
    def statistics(self) -> Statistics:
        """The running statistics of the stream, by the path of the layer."""
        return self._named(self.course.running.mean, self.course.running.variance)

    @property
    def used(self) -> Statistics:
        """What the part is to normalise with: the source's, or the running ones mixed with them."""
        return self._named(*mixed(self.course, self._source, self.rules))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        """Every output of the part for a batch (n, …); now and then its statistics are taken on the way."""
        samples = len(next(iter(feeds.values())))
        self._waiting += samples
        self._unseen += samples
        self._runs += 1
        if self._ready is not None:
            (self._fast, self._at), self._ready = self._ready, None
        self._count["runs"] += 1
        watching = dense(self._course, self.rules)
        if not watching and self._waiting < self.rules.every:
            return self._fast.run(feeds)
        self._count["watched"] += 1
        if self.course.gone and self._unseen >= (_OFTEN if watching else self.rules.look):
            self._look(feeds, samples)
        outputs = self._watch(feeds, samples)
        self._renew()
        return outputs

    def told(self, label: int, labels: int) -> None:
        """The last answer was this label of so many: streams of one class are followed with more care."""
        if labels != self._of:
            self._labels, self._of = [], labels
        self._labels.append(label)

    def succeed(self, before: Tracked) -> None:
        """Go on where another version of the part was, from the next run on; as begun where it normalises elsewhere."""
        source, theirs = self._source, before._source
        if source.slices == theirs.slices and (source.mean == theirs.mean).all() and (source.variance == theirs.variance).all():
            self._course = before.course
            if self.course.gone:
                wanted = mixed(self.course, source, self.rules)
                self._ready = self._built(wanted), wanted

    def _watch(self, feeds: Mapping[str, NDArray[Any]], samples: int) -> Outputs:
        """A run under the statistics in use, this batch among them."""
        course, waiting = self.course, self._waiting
        w = weight(course.running, samples, waiting, self.rules)
        outputs, moments = self._moments(feeds, w, course)
        if moments is None:
            return outputs
        self._waiting = 0
        if not course.gone:
            self._unseen = 0
        self._course = observed(course, moments, samples, waiting, self._source, self.rules)
        self._count["alarms"] = self._course.alarms
        if self._course.alarms > course.alarms:
            self._due = 0
        return outputs

    def _look(self, feeds: Mapping[str, NDArray[Any]], samples: int) -> None:
        """A run under the source's own statistics, whose answers nobody gets."""
        _, moments = self._moments(feeds, 0.0, replace(self.course, gone=0.0))
        if moments is not None:
            self._course = looked(self.course, moments, samples, self._unseen, self._source, self.rules)
        self._unseen = 0

    def _moments(
        self, feeds: Mapping[str, NDArray[Any]], w: float, course: Course
    ) -> tuple[Outputs, tuple[Vector, Vector] | None]:
        """Outputs and (E[x], E[x²]) of a watched run; None, and counted, where they are no numbers."""
        base_mean, part_mean, base_variance, part_variance = mixture(course, self._source, self.rules)
        kept = (1 - w) * course.running.mean, (1 - w) * course.running.second
        rows = np.stack([*kept, base_mean, base_variance, part_mean, part_variance])
        feed = rows.ravel()[self._to_feed].astype(np.float32)
        outputs = self._watched.run({**feeds, FEED: feed, WEIGHT: np.array([w], np.float32)})
        moved = outputs.pop(MOMENTS).astype(np.float64)
        if not np.isfinite(moved).all():
            self._count["refused"] += 1
            return outputs, None
        mean, second = moved[self._of_moments].reshape(2, -1)
        return outputs, (mean, second)

    def _renew(self) -> None:
        """A new fast session where what it has is too far from what is used, and enough frames have passed to pay for it."""
        if not self._course.gone and self._fast is self._home:
            return
        if dense(self.course, self.rules) or self._runs < self._due or self._builder is not None or self._ready is not None:
            return
        going_home = not self.course.gone and self._fast is not self._home
        wanted = mixed(self.course, self._source, self.rules)
        if not going_home and apart(self._at, wanted, self._source.slices) < self.rules.renew:
            return
        self._due, self._runs = min(max(2 * self._due, self.rules.every), self.rules.spacing), 0
        if not self.course.gone:
            self._ready = self._home, wanted
            return
        self._count["built"] += 1
        if not self._aside:
            self._ready = self._built(wanted), wanted
            return
        self._builder = threading.Thread(target=self._build, args=(wanted,), name="edgewise-statistics", daemon=True)
        self._builder.start()

    def _build(self, wanted: tuple[Vector, Vector]) -> None:
        try:
            self._ready = gently(lambda: self._built(wanted)), wanted
        except EdgewiseError:  # a thread's border: the old session goes on
            self._count["refused"] += 1
        finally:
            self._builder = None

    def _built(self, wanted: tuple[Vector, Vector]) -> Session:
        new: dict[str, NDArray[Any]] = {}
        for at, layer in zip(self._source.slices, self.layers, strict=True):
            new[layer.mean], new[layer.variance] = (vector[at].astype(np.float32) for vector in wanted)
        return Session.load(patched(self._model, new), self._threads)

    def _named(self, mean: Vector, variance: Vector) -> Statistics:
        pairs = zip(self._source.slices, self.layers, strict=True)
        return {layer.path: Moments(mean[at].astype(np.float32), variance[at].astype(np.float32)) for at, layer in pairs}
