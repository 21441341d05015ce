"""A layer coded by its neighbours: contexts choose the tables, runs of what is expected are skipped, one state a frame.

Encoding, all codes are known: contexts, costs and surprises are a few looks at whole arrays. Decoding goes from diagonal to
diagonal, and what a diagonal says is added to the contexts of the next one; frames of a batch go side by side as far as NumPy
does it, and each has its own bytes. Same interface as `edgewise.codec.rans.Coder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.context import Grid, contexts, count, middle
from edgewise.codec.runs import Events, Expected, Reader, write
from edgewise.codec.stack import damaged


class NeighbourCoder:
    """Codes of one layer (channel, position), flat, ↔ bytes. Prepared once, used for every frame, by any thread.

    `tables` are those of the layer: for each of its channels, whose centres are `centres`, one a context.
    """

    def __init__(self, expected: Expected, first: int, centres: Sequence[int], reach: int, of: Grid) -> None:
        """`first` is the first of this layer's tables in `expected`."""
        self.grid, self.reach, self.centres = of, reach, np.asarray(centres, np.int16)
        self.channels, self.n = len(centres), len(centres) * of.positions
        self._expected = expected
        self._base = first + np.arange(self.channels, dtype=np.int32)[:, None] * count(reach)
        self._lines = tuple(of.lines())
        self._ends = np.cumsum([(line.stop - line.first) * self.channels for line in self._lines]).tolist()

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return self.grid.order(self.channels)

    def encode(self, symbols: NDArray[np.integer]) -> bytes:
        """Bytes of the codes (n,), each in 0 … 255."""
        codes = symbols.astype(np.uint8).reshape(self.channels, -1)
        index = (self._base + contexts(codes, self.centres, self.reach, self.grid)).reshape(-1).take(self._order)
        flat = codes.reshape(-1).take(self._order)
        where = (flat != self._expected.expected.take(index)).nonzero()[0]
        letters: list[Events] = []
        for table, code in zip(index.take(where).tolist(), flat.take(where).tolist(), strict=True):
            letters.append([])
            self._expected.surprise(table, code, letters[-1])
        return write(self._expected.cost.take(index), self._ends, where.tolist(), letters)

    def decode(self, data: bytes | memoryview) -> NDArray[np.uint8]:
        """The codes (n,) again; TensorError for bytes that no encoder writes, as far as they show."""
        return self.decode_many((data,)).reshape(-1)

    def decode_many(self, payloads: Sequence[bytes | memoryview]) -> NDArray[np.uint8]:
        """Codes (payloads, n); TensorError as in `decode`."""
        frames, rows, reach = len(payloads), self.grid.rows, self.reach
        readers = [Reader(data, self._expected) for data in payloads]
        # Slanted (diagonal, frame, channel, row): contexts of what comes, codes of what came.
        waiting = np.full((len(self._lines) + 1, frames, self.channels, rows + 1), middle(reach), np.int32)
        waiting += self._base
        found = np.empty((len(self._lines), frames, self.channels, rows), np.uint8)
        centres, step = self.centres[:, None], np.int16(2 * reach + 1)
        for line in self._lines:
            here = slice(line.first, line.stop)
            tables = waiting[line.number, :, :, here].reshape(frames, -1)
            codes = self._expected.expected.take(tables)
            summed = np.zeros((frames, tables.shape[1] + 1), np.int64)
            np.cumsum(self._expected.cost.take(tables), axis=1, out=summed[:, 1:])
            for frame, (reader, costs) in enumerate(zip(readers, summed.tolist(), strict=True)):
                places, surprises = reader.line(costs, tables[frame])
                codes[frame, places] = surprises
            codes = codes.reshape(frames, self.channels, -1)
            found[line.number, :, :, here] = codes
            signed = codes.astype(np.int16)
            signed -= centres
            np.maximum(signed, -reach, out=signed)
            np.minimum(signed, reach, out=signed)
            after = waiting[line.number + 1]
            after[:, :, line.first + 1 : line.stop + 1] += signed
            after[:, :, here] += signed * step
        ended = [reader.ended for reader in readers]
        if not all(ended):
            raise damaged(ended.index(False))
        planes = found.transpose(1, 2, 0, 3).reshape(frames, self.channels, -1)
        return planes.take(self.grid.slanted.reshape(-1), axis=2).reshape(frames, -1)
