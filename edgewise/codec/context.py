"""Contexts: which table codes a symbol, by its neighbours to the left and above in the same channel; ours.

    v = clip(code − centre_c, −r, r)          context = mid + (2r + 1)·v_left + v_up,   mid = 2r·(r + 1)

(2r + 1)² contexts a channel, the neighbours' signs included: what a trained latent keeps of a picture goes on from place to place
with its sign, and a table that knows both neighbours saves far more than one that knows how large they are. Outside the grid
everything is at its centre. Integers alone decide.

All symbols with the same row + column (an anti-diagonal) have their neighbours on the one before it, so a decoder takes them
together, for all channels and all frames of a batch. In the *slanted* layout (diagonal, channel, row) both neighbours of a symbol
stand on the line before its own, at the same row and at the row above. Channels look at themselves alone: a layer needs no other.

It does not know what the tables say (`edgewise.codec.runs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Bottleneck

Indices = NDArray[np.intp]
Small = NDArray[np.int16]


class Line(Struct, frozen=True):
    """One anti-diagonal: its rows first … stop − 1."""

    number: int
    first: int
    stop: int


class Grid(Struct, frozen=True, dict=True):
    """The places of a channel as rows and columns; a bottleneck's last dimension that is no channel is the column."""

    rows: int
    columns: int

    @property
    def positions(self) -> int:
        return self.rows * self.columns

    @property
    def diagonals(self) -> int:
        return self.rows + self.columns - 1

    def lines(self) -> Iterator[Line]:
        """The diagonals in the order of coding."""
        for t in range(self.diagonals):
            yield Line(t, max(0, t - self.columns + 1), min(t, self.rows - 1) + 1)

    @cached_property
    def slanted(self) -> Indices:
        """(row, column): where diagonal and row stand, flat, in a layout (diagonals, rows) of one channel."""
        row, column = np.divmod(np.arange(self.positions, dtype=np.intp), self.columns)
        return ((row + column) * self.rows + row).reshape(self.rows, self.columns)

    def order(self, channels: int) -> Indices:
        """The symbols (channels · positions) in the order of coding: by diagonal, then channel, then row."""
        parts = []
        every = np.arange(channels, dtype=np.intp)[:, None] * self.positions
        for line in self.lines():
            row = np.arange(line.first, line.stop, dtype=np.intp)
            parts.append((every + row * self.columns + line.number - row).reshape(-1))
        return np.concatenate(parts)


def grid(bottleneck: Bottleneck) -> Grid:
    """The grid of a bottleneck's channels.

    >>> grid(Bottleneck((32, 16, 12), (0.0,) * 32, (1.0,) * 32)), grid(Bottleneck((197, 4), (0.0,) * 4, (1.0,) * 4, 1))
    (Grid(rows=16, columns=12), Grid(rows=1, columns=197))
    """
    left = [n for i, n in enumerate(bottleneck.shape) if i != bottleneck.axis]
    columns = left[-1] if left else 1
    rows = 1
    for n in left[:-1]:
        rows *= n
    return Grid(rows, columns)


def count(reach: int) -> int:
    """How many contexts a channel has."""
    return (2 * reach + 1) ** 2


def middle(reach: int) -> int:
    """The context of a symbol whose neighbours are at their centre."""
    return 2 * reach * (reach + 1)


def contexts(codes: NDArray[np.uint8], centres: Sequence[int] | NDArray[np.integer], reach: int, of: Grid) -> Small:
    """The context of each code (…, channel, position), centres (channel,) being theirs.

    >>> contexts(np.array([[7, 9, 7, 7]], np.uint8), [7], 1, Grid(2, 2)).tolist()  # 9 stands left of one and above another
    [[4, 7, 4, 5]]
    """
    shape = (*codes.shape[:-1], of.rows, of.columns)
    signed = codes.astype(np.int16) - np.asarray(centres, np.int16)[:, None]
    np.maximum(signed, -reach, out=signed)
    np.minimum(signed, reach, out=signed)
    signed = signed.reshape(shape)
    found = np.full(shape, middle(reach), np.int16)
    found[..., 1:] += np.int16(2 * reach + 1) * signed[..., :-1]
    found[..., 1:, :] += signed[..., :-1, :]
    return found.reshape(codes.shape)
