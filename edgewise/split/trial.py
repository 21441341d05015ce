"""One cut, tried: the finest quantiser that is not finer than it must be, and what it really sends and loses.

The allocation over channels has one number t (`edgewise.split.calibrate`). It is found on the calibration samples by bisection
over a ladder of quarter octaves; then samples that chose nothing go through head, coder, decoder and tail, every byte of them.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec.features import FeatureCodec
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.coding import MOST_LEVELS
from edgewise.core.errors import ModelError
from edgewise.graph.cut import split
from edgewise.runtime.session import Session
from edgewise.split.calibrate import Channels, Grid, channels, coding, grid, through
from edgewise.split.cuts import Candidate
from edgewise.split.guard import ENOUGH, guarded
from edgewise.split.measure import Agreement, Measure
from edgewise.split.sensitivity import sensitivities
from edgewise.split.turn import Turn, straight, turn_for

Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]
Advance = Callable[[float], None]
COARSEST, FINEST = 16, -26  # quarter octaves of t around its first guess
HELD = 1 << 25  # values of features held at once
GUARD = 1.25  # the byte guard over the largest frame of calibration, where too few fitted no tables
_SEEN = 64  # samples whose values fit ranges and tables
_VALUES = 4096  # values of a channel that fit its range and table, at least, where there are as many
_EACH = 8  # samples that channels are disturbed on
_COMPARED = -2  # rung at which turns are compared
_MANY = 192  # channels, from which on fewer samples disturb each
_FEW = 64  # samples that a search begins with
_GUARDED = 2 * ENOUGH - 1  # samples that set the byte guard, at most
_FINE = -10  # rung for whose steps channels are halved
_PIECES = 200  # multiples of the lattice in a halved channel's reach
_LAYER = 400  # bytes that a layer should have


class Tried(Struct, frozen=True):
    """A coding at a cut as measured: bytes of each payload, agreement, seconds of head with coder and of tail."""

    coding: Coding
    rung: int
    sizes: NDArray[np.int64]
    agreement: Agreement
    device_time: float
    edge_time: float


class Sensed(Struct, frozen=True):
    """The sensitivity of the answer to each channel that crosses, the first guess at t, and how the tensor is turned."""

    sensitivity: NDArray[np.float64]
    first: float
    turn: Turn | None = None


class Trial:
    """A cut with its two sessions and what calibration saw of it; `whole` are the uncut model's outputs on those samples."""

    def __init__(
        self, model: Any, graph: Any, candidate: Candidate, values: NDArray[Any], whole: Outputs, batch: int, threads: int
    ) -> None:
        head, tail = split(model, candidate.cut, graph)
        self.candidate, self.crosses, self.shape = candidate, candidate.tensor, candidate.shape
        self._batch, self._flops = batch, graph.flops
        self.head = Session.load(head.SerializeToString(), threads)
        held = max(16, min(len(values), HELD // candidate.count))
        self.features = self.heads(values[:held])
        self._whole = {name: v[:held] for name, v in whole.items()}
        if not np.isfinite(self.features).all():
            raise ModelError("a tensor of the model holds NaN or infinity on the samples", got=candidate.tensor)
        self._uncut, self._plain, self._threads = (head, tail), self.features, threads
        self._fitted = max(_SEEN, held // 2, _VALUES // (candidate.count // candidate.channels))
        self._crossing(None)
        self.sensed = Sensed(np.zeros(0), 0.0)

    def _crossing(self, turn: Turn | None) -> None:
        """Models, features and statistics of the tensor that crosses, turned so."""
        head, tail = self._uncut
        axis, shape = self.candidate.axis, self.candidate.shape
        self.turn, self.crosses, self.features, lattice, extra = turn, self.candidate.tensor, self._plain, None, 0.0
        if turn is not None:
            head, tail, self.crosses = turn.models(head, tail, self.candidate.tensor, axis, shape)
            self.features = turn.features(self._plain, axis)
            lattice = np.zeros(self.features.shape[axis + 1])
            lattice[list(turn.halved)] = turn.lattice
            extra = turn.flops(self.candidate.count // self.candidate.channels)
        self.shape = self.features.shape[1:]
        self.models = (head.SerializeToString(deterministic=True), tail.SerializeToString(deterministic=True))
        self.head, self.tail = (Session.load(m, self._threads) for m in self.models)
        self.seen: Channels = channels(self.features, axis, self._fitted, lattice)
        self.share = (self.candidate.share * self._flops + extra) / (self._flops + 2 * extra)

    def restore(self, sensed: Sensed) -> None:
        """Take up what was felt of this cut, here or in another trial of it."""
        if sensed.turn is not self.turn:
            self._crossing(sensed.turn)
        self.sensed = sensed

    def _halved(self, sensed: Sensed) -> Sensed:
        """The same with those channels halved whose reach is too wide for the steps of a fine rung."""
        self.restore(sensed)
        span = self.seen.high - self.seen.low
        step = sensed.first * 2 ** (_FINE / 4) / np.sqrt(np.maximum(sensed.sensitivity, 1e-30))
        wide = np.flatnonzero((span / (MOST_LEVELS - 2) > step) & (sensed.sensitivity > 0))
        if not len(wide):
            return sensed
        turn = sensed.turn or straight(self._plain, self.candidate.axis)
        lattice = tuple(float(np.float32(v)) for v in span[wide] / _PIECES)
        turn = msgspec.structs.replace(turn, halved=tuple(int(c) for c in wide), lattice=lattice)
        return Sensed(np.concatenate([sensed.sensitivity, sensed.sensitivity[wide]]), sensed.first, turn)

    def replaced(self, head: bytes, tail: bytes, threads: int) -> Trial:
        """The same cut with other models in the place of its two: what calibration saw stays."""
        other = copy.copy(self)
        other.models = (head, tail)
        other.head, other.tail = Session.load(head, threads), Session.load(tail, threads)
        return other

    def heads(self, values: NDArray[Any]) -> Floats:
        name, source = self.crosses, self.head.inputs[0].name
        parts = [self.head.run({source: values[i : i + self._batch]}, [name])[name] for i in range(0, len(values), self._batch)]
        return np.concatenate(parts)

    def tails(self, features: Floats) -> Outputs:
        source = self.tail.inputs[0].name
        return joined([self.tail.run({source: features[i : i + self._batch]}) for i in range(0, len(features), self._batch)])

    def feel(self, measure: Measure, seed: int, advance: Advance) -> tuple[Sensed, ...]:
        """How much each channel matters: as they are, and turned where that promises fewer bits."""
        spread = np.sqrt(self.seen.variance)
        axis, count = self.candidate.axis, self.candidate.channels
        each = _EACH if count <= _MANY else max(3, _EACH // 2)
        found = sensitivities(
            lambda f: measure.vectors(self.tails(f)), self.features[: self._fitted], axis, spread, seed, each, advance
        )
        alone = np.diag(found)
        weight = np.sqrt(alone) * spread
        first = float(np.median(weight[weight > 0])) if (weight > 0).any() else 1.0
        turn = turn_for(self._plain[: self._fitted], axis, found, first * 2 ** (_COMPARED / 4))
        options = [Sensed(alone, first)] + ([] if turn is None else [Sensed(np.ones(len(turn.matrix)), first, turn)])
        return tuple(self._halved(option) for option in options)

    def best(self, options: Sequence[Sensed], measure: Measure, goal: float, start: int, advance: Advance) -> int:
        """Take up the option that reaches the goal with the fewest bits; its rung. What a turn promises it need not hold."""
        found: list[tuple[float, int, Sensed]] = []
        for number, option in enumerate(options):
            self.restore(option)
            done = number / len(options)
            rung = self.search(measure, goal, start, _later(advance, done, len(options)))
            found.append((self.weight(rung), rung, option))
        _, rung, option = min(found, key=lambda f: f[0])
        self.restore(option)
        return rung

    def weight(self, rung: int) -> float:
        """Bits of a mean frame by the entropy of its codes."""
        positions = math.prod(self.shape) // self.shape[self.candidate.axis]
        return float(self.at(rung).bits.sum()) * positions

    def at(self, rung: int) -> Grid:
        """The quantiser at a rung of the ladder: t doubles every four."""
        return grid(self.seen, self.sensed.sensitivity, self.sensed.first * 2 ** (rung / 4))

    def search(self, measure: Measure, goal: float, start: int, advance: Advance) -> int:
        """The coarsest rung at which calibration samples reach the goal; the finest one there is where none does.

        Few samples find it, from `start` on; all of them then move it up or down. Samples that fitted ranges and turn are spared
        where there are others: they are coded better than what comes.
        """
        first = self._fitted if len(self.features) - self._fitted >= _FEW else 0
        unseen = self.features[first:]
        reached: dict[int, bool] = {}

        def reaches(rung: int, most: int) -> bool:
            said = self.tails(through(unseen[:most], self.candidate.axis, self.at(rung)))
            return measure.steady(said, {name: v[first : first + most] for name, v in self._whole.items()}) >= goal

        rung = min(COARSEST, max(FINEST, start))
        stride = 4 if reaches(rung, _FEW) else -4
        reached[rung] = stride > 0
        while FINEST <= rung + stride <= COARSEST and all(v == (stride > 0) for v in reached.values()):
            rung += stride
            reached[rung] = reaches(rung, _FEW)
            advance(min(0.5, 0.1 * len(reached)))
        low = max((r for r, ok in reached.items() if ok), default=FINEST)
        high = min((r for r, ok in reached.items() if not ok), default=COARSEST + 1)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if reaches(middle, _FEW) else (low, middle)
        every = len(unseen)
        if reaches(low, every):
            while low < COARSEST and reaches(low + 1, every):
                low += 1
        else:
            low -= 1
            while low > FINEST and not reaches(low, every):
                low -= 1
        advance(1.0)
        return max(low, FINEST)

    def bottleneck(self) -> Bottleneck:
        """Ranges for affine codes, of what calibration saw."""
        low, high = (tuple(float(np.float32(v)) for v in x) for x in (self.seen.low, self.seen.high))
        return Bottleneck(self.shape, low, tuple(max(a, b) for a, b in zip(low, high, strict=True)), self.candidate.axis)

    def code(self, rung: int, layers: int = 4) -> Coding:
        """The coding of a rung, with tables, layers and its byte guard."""
        how = self.at(rung)
        expected = self.weight(rung) / 8
        made = coding(self.seen, how, self.sensed.sensitivity, max(1, min(layers, int(expected // _LAYER))))
        clean = self.features[self._fitted :]
        if len(clean) >= ENOUGH:
            return guarded(self.bottleneck(), made, [clean[:_GUARDED]])
        codec = FeatureCodec(self.bottleneck(), made)
        largest = max(len(codec.encode(f[None])) for f in self.features[:_SEEN])
        return msgspec.structs.replace(made, most=math.ceil(GUARD * largest) + 16)

    def measured(
        self, code: Coding, rung: int, values: NDArray[Any], whole: Outputs, measure: Measure, advance: Advance = lambda _: None
    ) -> Tried:
        """Samples through head, coder, decoder and tail, compared with what the uncut model gives for them."""
        codec = FeatureCodec(self.bottleneck(), code)
        sizes: list[int] = []
        said: list[Outputs] = []
        device, edge = [], []
        for begin in range(0, len(values), self._batch):
            some = values[begin : begin + self._batch]
            start = time.thread_time()
            features = self.heads(some)
            payloads = [codec.encode(f[None]) for f in features]
            middle = time.thread_time()
            back = np.empty_like(features)
            wrong = [e for e in codec.decode_many(payloads, back) if e is not None]
            if wrong:
                raise wrong[0]
            said.append(self.tails(back))
            device.append((middle - start) / len(some))
            edge.append((time.thread_time() - middle) / len(some))
            sizes += [len(p) for p in payloads]
            advance(min(1.0, (begin + self._batch) / len(values)))
        agreement = measure.between(joined(said), whole)
        return Tried(code, rung, np.array(sizes), agreement, float(np.median(device)), float(np.median(edge)))


def _later(advance: Advance, done: float, parts: int) -> Advance:
    """The share of one of several parts, as a share of all."""
    return lambda share: advance(done + share / parts)


def joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> Outputs:
    """Outputs of several runs, one after another."""
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
