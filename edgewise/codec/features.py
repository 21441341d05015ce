"""Features to bytes by static tables: per-channel codes, coded by rANS in layers, the most important channels first.

What is constant (shape, quantiser, order, tables) is the stream's, so a frame of one layer carries some 8 bytes beside its codes
(`edgewise.codec.layers`). A layer is the codes of its channels, one channel after another, as `edgewise.codec.rans` writes them,
or packed where that is shorter: no input can blow a layer up beyond its packed codes. The CRC of a layer begins with the coding
itself and the layer's number, so bytes that another table wrote, or that stood elsewhere, are refused before they are decoded.

Any number of whole layers decodes: a sender may stop at any of `prefixes(data)`, and `most` bytes take as many layers as fit (the
byte guard: two bytes with no layer at all fit always). A channel that did not come is filled with its mean, which the tables
know: of all constants the one with the least squared error.

With a context (`edgewise.codec.context`) several tables a channel know a code's neighbours, which takes an eighth to a quarter
off the bytes of a trained latent; layers stand in a container that says less (`edgewise.codec.lean`). It is for frames of some
hundred bytes with few surprises: a code that its table does not expect costs Python a microsecond or two.

`affine` (`edgewise.codec.tensor`) or `rans`? Affine needs no statistics and costs some 10 ns a value each way, but has no
layers; take it where the device is slow, the link quick, or the features unlike those that tables were fitted on. `rans` costs
NumPy some 100 ns a value (half of it for each frame of a batch) and 3 to 25 % fewer bytes than Deflate on drawn features of
the same levels, the most on sparse ones; it stops at any layer and keeps `most`. Few layers are cheaper than many.

It does not know how tables were fitted (`edgewise.codec.fitted`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.coding_tables import checked_tables, slots
from edgewise.codec.context import grid, outlook, room
from edgewise.codec.layers import Layers, Place
from edgewise.codec.lean import Lean
from edgewise.codec.neighbours import NeighbourCoder
from edgewise.codec.quantise import Levels, pack, packed_size, unpack
from edgewise.codec.rans import Coder
from edgewise.codec.runs import Expected
from edgewise.codec.tensor import MAX_VALUES
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.errors import TensorError

Floats = NDArray[np.float32]
_VALUE = 16  # bytes that a coder holds for each value, at most


class _Layer(Struct, frozen=True):
    """One layer of a stream: its channels, its coder, and the bits of a code where it is stored packed."""

    channels: NDArray[np.intp]
    coder: Coder | NeighbourCoder
    bits: int
    seed: int

    @property
    def packed(self) -> int:
        """Bytes of its codes where they are stored packed."""
        return packed_size(self.coder.n, self.bits)


class FeatureCodec:
    """float32 (1, *shape) ↔ bytes, as a coding says; `total` is how many layers a whole frame has.

    >>> coding = Coding((0.0,), (1.0,), (4,), (0,), (1,), tables.pack(tables.fit([np.array([9, 4, 2, 1])])))
    >>> codec = FeatureCodec(Bottleneck((1, 1, 3), (0.0,), (3.0,)), coding)
    >>> codec.decode(codec.encode(np.array([[[[0.2, 0.9, 7.0]]]], np.float32))).tolist()
    [[[[0.0, 1.0, 3.0]]]]
    """

    def __init__(self, bottleneck: Bottleneck, coding: Coding) -> None:
        if not all(0 < n < 1 << 16 for n in bottleneck.shape) or math.prod(bottleneck.shape) > MAX_VALUES:
            raise TensorError(
                "a bottleneck has an impossible shape",
                got=bottleneck.shape,
                allowed=f"1 to 65535 a dimension, {MAX_VALUES} values in all",
            )
        found = checked_tables(coding)
        self.bottleneck, self.coding, self.shape = bottleneck, coding, (1, *bottleneck.shape)
        self.total = len(coding.layers)
        self._slots = slots(coding, found)
        self._levels = Levels(coding)
        self._positions = math.prod(bottleneck.shape) // bottleneck.channels
        self._room = room(grid(bottleneck), max(coding.layers, default=0)) if coding.context else 0
        expected = Expected(found) if coding.context else None
        self._layers = tuple(self._layer(found, expected, k) for k in range(self.total))
        seeds = tuple(layer.seed for layer in self._layers)
        self._form = Lean(seeds, tuple(layer.packed for layer in self._layers)) if coding.context else Layers(seeds)
        self._filled = _means(coding, found)

    def encode(self, values: Floats, most: int | None = None) -> bytes:
        """Bytes of finite features, `most` of them at most, and never more than the coding's own guard allows.

        TensorError for another shape or dtype, NaN or infinity.
        """
        codes = self._codes(values)
        limit = min((n for n in (most, self.coding.most or None) if n is not None), default=math.inf)
        if limit < self._form.least:
            raise TensorError("no frame is so small", got=f"{limit} bytes at most", allowed=f"{self._form.least} or more")
        bodies: list[tuple[bytes, bool]] = []
        size = self._form.least
        for k, layer in enumerate(self._layers):
            body, stored = self._written(layer, codes[layer.channels])
            size += self._form.size(len(body), k)
            if size > limit:
                break
            bodies.append((body, stored))
        return self._form.joined(bodies)

    def decode(self, data: bytes | memoryview, out: Floats | None = None) -> Floats:
        """The features again, what did not come filled in; into `out` (1, *shape) if given. TensorError for other bytes."""
        if out is None:
            out = np.empty(self.shape, np.float32)
        (error,) = self.decode_many([data], out)
        if error is not None:
            raise error
        return out

    def decode_many(self, payloads: Sequence[bytes | memoryview], out: Floats) -> list[TensorError | None]:
        """Many frames at once into `out` (payloads, *shape): one run of the coder a layer, for all frames that have it.

        What is wrong with a frame stands in its place of the list; its row of `out` then means nothing, the others do.
        """
        views = [memoryview(p) for p in payloads]
        wrong: list[TensorError | None] = [None] * len(views)
        parts: list[tuple[Place, ...]] = [()] * len(views)
        for i, view in enumerate(views):
            try:
                parts[i] = self._checked(view)
            except TensorError as error:
                wrong[i] = error
        planes = np.empty((len(views), self.bottleneck.channels, self._positions), np.float32)
        planes[:] = self._filled
        for k, layer in enumerate(self._layers):
            there = [i for i in range(len(views)) if wrong[i] is None and k < len(parts[i])]
            codes = self._read(layer, {i: (parts[i][k], views[i][parts[i][k].body : parts[i][k].end]) for i in there}, wrong)
            if codes:
                self._restore(layer, codes, planes)
        self._laid_out(out)[:] = planes.reshape(len(views), *self._moved)
        return wrong

    def prefixes(self, data: bytes | memoryview) -> tuple[int, ...]:
        """Where each layer of a frame ends, in bytes from its beginning: `data[:end]` is a frame, too. TensorError for none."""
        return tuple(part.end for part in self._form.places(memoryview(data)))

    def layers(self, data: bytes | memoryview) -> int:
        """How many layers a frame has, of `total`; the others were left out."""
        return len(self._form.places(memoryview(data)))

    def offered(self, data: bytes | memoryview) -> int:
        """How many layers the frame had when it was encoded: fewer than `total` where the byte guard held, or `most`."""
        view = memoryview(data)
        self._form.places(view)
        return self._form.offered(view)

    @property
    def held(self) -> int:
        """Bytes that this codec holds once it has decoded, at most."""
        return tables.SLOT * self._slots + _VALUE * math.prod(self.shape) + self._room

    @property
    def _moved(self) -> tuple[int, ...]:
        """The shape with the channel in front."""
        shape, axis = self.bottleneck.shape, self.bottleneck.axis
        return (shape[axis], *shape[:axis], *shape[axis + 1 :])

    def _laid_out(self, batch: Floats) -> Floats:
        """A batch (batch, *shape) seen as (batch, channel, …); the memory stays where it is."""
        return np.moveaxis(batch, self.bottleneck.axis + 1, 1)

    def _layer(self, found: tables.Tables, expected: Expected | None, k: int) -> _Layer:
        first = sum(self.coding.layers[:k])
        channels = np.array(self.coding.order[first : first + self.coding.layers[k]], np.intp)
        bits = max((self.coding.levels[c] - 1).bit_length() for c in channels)
        seed = zlib.crc32(msgspec.json.encode((self.bottleneck.shape, self.bottleneck.axis, k, self.coding), order="sorted"))
        return _Layer(channels, self._coder(found, expected, k, first), bits, seed)

    def _coder(self, found: tables.Tables, expected: Expected | None, k: int, first: int) -> Coder | NeighbourCoder:
        """The coder of layer `k`, whose first channel is number `first` of the order."""
        if self.coding.context and expected is not None:
            look = outlook(self.coding, self.coding.context, k)
            return NeighbourCoder(expected, first * look.count, look, grid(self.bottleneck))
        return Coder(found, np.repeat(np.arange(first, first + self.coding.layers[k]), self._positions))

    def _codes(self, values: Floats) -> NDArray[np.uint8]:
        """(channel, position)."""
        if values.shape != self.shape or values.dtype != np.float32:
            raise TensorError(
                "features are not those of the bottleneck", got=f"{values.dtype} {values.shape}", allowed=f"float32 {self.shape}"
            )
        if not np.isfinite(values).all():
            raise TensorError(
                "features hold values that are no numbers",
                got=f"{np.isnan(values).sum()} NaN, {np.isinf(values).sum()} infinite of {values.size}",
                allowed="finite values",
                hint="Check the head's input and its precision.",
            )
        return self._levels.quantise(self._laid_out(values)[0].reshape(self.bottleneck.channels, -1))

    def _written(self, layer: _Layer, codes: NDArray[np.uint8]) -> tuple[bytes, bool]:
        """The body of a layer, and whether it is stored packed, because that is shorter (or as long)."""
        body = layer.coder.encode(codes.astype(np.int32).reshape(-1))
        least = layer.packed + (0 if self.coding.context else 1)  # equal lengths: `edgewise.codec.lean` knows bodies by them
        return (pack(codes, layer.bits), True) if len(body) >= least else (body, False)

    def _checked(self, view: memoryview) -> tuple[Place, ...]:
        """The layers of a frame, each with the CRC that it should have."""
        parts = self._form.places(view)
        for k, part in enumerate(parts):
            self._form.check(view, part, k)
        return parts

    def _read(
        self, layer: _Layer, bodies: dict[int, tuple[Place, memoryview]], wrong: list[TensorError | None]
    ) -> dict[int, NDArray[np.integer]]:
        """The codes (channel·position) of one layer by frame; a frame whose layer is none gets its error."""
        found: dict[int, NDArray[np.integer]] = {}
        coded = [i for i, (part, _) in bodies.items() if not part.stored]
        try:
            found |= dict(zip(coded, layer.coder.decode_many([bodies[i][1] for i in coded]), strict=True)) if coded else {}
            alone = [i for i in bodies if i not in found]
        except TensorError:  # somebody forged one of them: each by itself, so that it alone is refused
            alone = list(bodies)
        for i in alone:
            part, body = bodies[i]
            try:
                found[i] = unpack(body, layer.coder.n, layer.bits) if part.stored else layer.coder.decode(body)
            except TensorError as error:
                wrong[i] = error
        return found

    def _restore(self, layer: _Layer, found: dict[int, NDArray[np.integer]], planes: Floats) -> None:
        """Codes to values, the frames of a layer together; a code above its channel's levels (forged) is held to them."""
        rows = np.fromiter(found, np.intp)
        codes = np.stack(list(found.values())).reshape(len(rows), len(layer.channels), self._positions)
        values = np.empty(codes.shape, np.float32)
        self._levels.dequantise(np.clip(codes, 0, self._levels.top[layer.channels].astype(codes.dtype)), layer.channels, values)
        planes[rows[:, None], layer.channels] = values


def _means(coding: Coding, found: tables.Tables) -> Floats:
    """What stands for a channel that did not come (channel, 1): the mean of its table, or `low` where it is never sent."""
    levels = Levels(coding)
    if coding.context:
        return np.asarray(coding.context.mean, np.float32)[:, None]
    means = levels.low.copy()
    for i, channel in enumerate(coding.order):
        seen = found.frequencies[i][:-1]  # without the escape
        weighed = sum(f * s for s, f in enumerate(seen, start=found.offsets[i]))
        means[channel] += levels.step[channel] * np.float32(weighed / max(sum(seen), 1))
    return means
