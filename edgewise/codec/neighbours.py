"""A layer coded by what is around each code: contexts choose the tables, runs of what is expected are skipped, one state a frame.

Encoding, all codes are known: contexts, costs and surprises are a few looks at whole arrays. Decoding goes from diagonal to
diagonal, and within it from group to group of channels; what they say is added to the sums of what comes. Frames of a batch go
side by side as far as NumPy does it, and each has its own bytes. Same interface as `edgewise.codec.rans.Coder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.context import SIDES, Grid, Outlook
from edgewise.codec.runs import Events, Expected, Reader, write
from edgewise.codec.stack import damaged


class NeighbourCoder:
    """Codes of one layer (channel, position), flat, ↔ bytes. Prepared once, used for every frame, by any thread.

    `first` is the first of the layer's tables in `expected`, which has one for each context of each channel.
    """

    def __init__(self, expected: Expected, first: int, look: Outlook, of: Grid) -> None:
        self.grid, self.look = of, look
        self.n = look.channels * of.positions
        self._expected = expected
        self._base = first + np.arange(look.channels, dtype=np.intp)[:, None] * look.count
        self._lines = tuple(of.lines())

    @cached_property
    def _order(self) -> tuple[NDArray[np.intp], list[int]]:
        """The symbols in the order of coding, and where each line of a group ends."""
        parts = self.grid.order(self.look.edges)
        return np.concatenate(parts), np.cumsum([part.size for part in parts]).tolist()

    def encode(self, symbols: NDArray[np.integer]) -> bytes:
        """Bytes of the codes (n,), each in 0 … 255."""
        codes = symbols.astype(np.uint8).reshape(self.look.channels, -1)
        order, ends = self._order
        index = self.look.contexts(self.look.sums(codes, self.grid))
        index += self._base
        tables, flat = index.reshape(-1).take(order), codes.reshape(-1).take(order)
        where = (flat != self._expected.expected.take(tables)).nonzero()[0]
        letters: list[Events] = []
        for table, code in zip(tables.take(where).tolist(), flat.take(where).tolist(), strict=True):
            letters.append([])
            self._expected.surprise(table, code, letters[-1])
        return write(self._expected.cost.take(tables), ends, where.tolist(), letters)

    def decode(self, data: bytes | memoryview) -> NDArray[np.uint8]:
        """The codes (n,) again; TensorError for bytes that no encoder writes, as far as they show."""
        return self.decode_many((data,)).reshape(-1)

    def decode_many(self, payloads: Sequence[bytes | memoryview]) -> NDArray[np.uint8]:
        """Codes (payloads, n); TensorError as in `decode`."""
        frames, rows, look, channels = len(payloads), self.grid.rows, self.look, self.look.channels
        readers = [Reader(data, self._expected) for data in payloads]
        groups = tuple(zip(look.edges[:-1], look.edges[1:], strict=True))
        # Slanted (diagonal, frame, …, row): sums for what comes, codes that came.
        waiting = np.zeros((len(self._lines) + 2, frames, 2, channels, rows + 1), np.float64)
        found = np.empty((len(self._lines), frames, channels, rows), np.uint8)
        for line in self._lines:
            size = line.stop - line.first
            sums = waiting[line.number, ..., line.first : line.stop].copy()
            values = np.empty((frames, 2, channels, size), np.float64)
            for first, stop in groups:
                index = look.contexts(sums[:, :, first:stop], first)
                index += self._base[first:stop]
                codes = self._line(readers, index.reshape(frames, -1)).reshape(frames, stop - first, size)
                found[line.number, :, first:stop, line.first : line.stop] = codes
                values[:, :, first:stop] = look.values(codes, first)
                if stop < channels:
                    sums[:, :, stop:] += np.matmul(look.here[:, stop:, first:stop], values[:, :, first:stop])
            near = np.matmul(look.near, values).reshape(frames, 2, SIDES, channels, size)
            waiting[line.number + 1, ..., line.first : line.stop] += near[:, :, 0]
            waiting[line.number + 1, ..., line.first + 1 : line.stop + 1] += near[:, :, 1]
            waiting[line.number + 2, ..., line.first + 1 : line.stop + 1] += near[:, :, 2]
        ended = [reader.ended for reader in readers]
        if not all(ended):
            raise damaged(ended.index(False))
        planes = found.transpose(1, 2, 0, 3).reshape(frames, channels, -1)
        return planes.take(self.grid.slanted.reshape(-1), axis=2).reshape(frames, -1)

    def _line(self, readers: Sequence[Reader], tables: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The codes (frame, symbol) of one line of a group, of tables (frame, symbol)."""
        codes = self._expected.expected.take(tables)
        summed = np.zeros((len(readers), tables.shape[1] + 1), np.int64)
        np.cumsum(self._expected.cost.take(tables), axis=1, out=summed[:, 1:])
        for frame, (reader, costs) in enumerate(zip(readers, summed.tolist(), strict=True)):
            places, surprises = reader.line(costs, tables[frame])
            codes[frame, places] = surprises
        return codes
