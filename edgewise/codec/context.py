"""Contexts: which table codes a symbol, by what is known of the codes around it, in all channels of its layer; ours.

    v = clip(code − centre_c, −r, r)              a = min(|v|, ⌈2r / 3⌉)
    mean_c = Σ w · v,   size_c = Σ w′ · a         over left, up and corner in every channel, and here in the channels before
    context = which of the mean's bounds lie below mean_c, then which of the size's lie below size_c

A trained latent says a thing in several channels at once, and what it says goes on from place to place with its sign. So two
weighted sums for each symbol, one of what its neighbours are and one of how large, foretell it far better than the size of two
neighbours in its own channel (`bench/rates/contexts.py` has both). The weights are whole numbers of 8 bits; the sums are whole
numbers, too, and are carried in float64, which holds them exactly below 2^53 whatever the order of adding (they stay below 2^31):
so all machines agree to the last bit. Outside the grid everything is at its centre.

All symbols with the same row + column (an anti-diagonal) have their neighbours on the two before it, so a decoder takes them
together, for all frames of a batch. Only channels of one place look at each other, and they come in a few groups, each of which
looks at those before it. In the *slanted* layout (diagonal, channel, row) a symbol's left neighbour stands one line up, at the
same row, that above it one line up at the row before, the corner two lines up at the row before. A layer looks at itself alone,
so that it needs no later one, nor an earlier.

It does not know what the tables say (`edgewise.codec.runs`), nor where weights and bounds come from
(`edgewise.codec.fitted_contexts`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.core.artifact import Bottleneck
from edgewise.core.coding import Coding, Context
from edgewise.core.errors import ModelError

Indices = NDArray[np.intp]
Whole = NDArray[np.float64]  # whole numbers, all of them
SIDES = 3  # left, up, corner
MOST_CELLS, MOST_DIAGONALS = 1 << 22, 1 << 14  # of a layer that is decoded: 68 MiB a frame, some two seconds
CELL = 17  # bytes: two sums, a code


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

    def order(self, edges: tuple[int, ...]) -> list[Indices]:
        """The symbols (channels · positions) in the order of coding: by diagonal, group of channels, channel, row; a part a
        diagonal and group. A group has channels edges[g] … edges[g + 1] − 1.
        """
        parts = []
        every = np.arange(edges[-1], dtype=np.intp)[:, None] * self.positions
        for line in self.lines():
            row = np.arange(line.first, line.stop, dtype=np.intp)
            places = every + row * self.columns + line.number - row
            parts += [places[a:b].reshape(-1) for a, b in pairwise(edges)]
        return parts


def grid(bottleneck: Bottleneck) -> Grid:
    """The grid of a bottleneck's channels; what has one column lies down as a row, whose diagonals are the shortest.

    >>> grid(Bottleneck((32, 16, 12), (0.0,) * 32, (1.0,) * 32)), grid(Bottleneck((197, 4), (0.0,) * 4, (1.0,) * 4, 1))
    (Grid(rows=16, columns=12), Grid(rows=1, columns=197))
    """
    left = [n for i, n in enumerate(bottleneck.shape) if i != bottleneck.axis]
    columns = left[-1] if left else 1
    rows = 1
    for n in left[:-1]:
        rows *= n
    return Grid(1, rows) if columns == 1 else Grid(rows, columns)


def room(of: Grid, channels: int) -> int:
    """Bytes that decoding a frame's layer of so many channels takes, diagonals laid side by side; ModelError for too many.

    They grow with the square of a side while the codes grow with the side, and each diagonal takes its tenth of a millisecond, so
    that a map of a hostile manifest could hold a server up that would decode it by static tables with ease.
    """
    cells = of.diagonals * of.rows * channels
    if cells > MOST_CELLS or of.diagonals > MOST_DIAGONALS:
        raise ModelError(
            "a map is too long for contexts",
            got=f"{of.rows} × {of.columns} places of {channels} channels: {of.diagonals} diagonals, {cells} cells",
            allowed=f"{MOST_DIAGONALS} diagonals, and {MOST_CELLS} as diagonals × rows × channels of a layer",
            hint="Cut the channels into more layers, or fit static tables.",
        )
    return CELL * cells


def edges(channels: int, groups: int) -> tuple[int, ...]:
    """Where groups of channels begin, and where the last one ends.

    >>> edges(10, 4)
    (0, 2, 5, 7, 10)
    """
    groups = min(groups, channels)
    return tuple(channels * g // groups for g in range(groups + 1))


class Outlook(Struct, frozen=True):
    """What one layer of n channels looks at: weights near (2, SIDES · n, n) and here (2, n, n), mean first, size second; bounds
    means and sizes (n, count); centres (n, 1), and how its channels are grouped.
    """

    near: Whole
    here: Whole
    means: Whole
    sizes: Whole
    centres: NDArray[np.int16]
    reach: int
    edges: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.edges[-1]

    @property
    def count(self) -> int:
        """How many contexts a channel has."""
        return int((self.means.shape[1] + 1) * (self.sizes.shape[1] + 1))

    def values(self, codes: NDArray[np.uint8], first: int = 0) -> Whole:
        """v and a (…, 2, channel, place) of codes (…, channel, place) of the channels from `first` on."""
        signed = codes.astype(np.int16)
        signed -= self.centres[first : first + codes.shape[-2]]
        np.maximum(signed, -self.reach, out=signed)
        np.minimum(signed, self.reach, out=signed)
        found = np.empty((*codes.shape[:-2], 2, *codes.shape[-2:]), np.float64)
        found[..., 0, :, :] = signed
        found[..., 1, :, :] = np.minimum(np.abs(signed), -(-2 * self.reach // 3))
        return found

    def sums(self, codes: NDArray[np.uint8], of: Grid) -> Whole:
        """Both sums (…, 2, channel, position) of whole frames of codes (…, channel, position)."""
        values = self.values(codes)
        found: Whole = np.matmul(self.here, values).reshape(*values.shape[:-1], of.rows, of.columns)
        near = np.matmul(self.near, values).reshape(*values.shape[:-2], SIDES, self.channels, of.rows, of.columns)
        found[..., 1:] += near[..., 0, :, :, :-1]
        found[..., 1:, :] += near[..., 1, :, :-1, :]
        found[..., 1:, 1:] += near[..., 2, :, :-1, :-1]
        return found.reshape(values.shape)

    def contexts(self, sums: Whole, first: int = 0) -> Indices:
        """Contexts (…, channel, place) of sums (…, 2, channel, place) of the channels from `first` on."""
        stop = first + sums.shape[-2]
        mean: Indices = (sums[..., 0, :, None, :] >= self.means[first:stop, :, None]).sum(-2, dtype=np.intp)
        mean *= self.sizes.shape[1] + 1
        mean += (sums[..., 1, :, None, :] >= self.sizes[first:stop, :, None]).sum(-2, dtype=np.intp)
        return mean


def weights(channels: int) -> int:
    """How many weights a layer of so many channels has."""
    return 2 * (SIDES + 1) * channels**2


def outlook(coding: Coding, context: Context, layer: int) -> Outlook:
    """What a layer looks at; ModelError where weights or bounds are not as many as its channels need."""
    if len(context.weights) != sum(map(weights, coding.layers)) or len(context.bounds) != 4 * coding.sent * context.cuts:
        raise ModelError(
            "contexts have not the weights and bounds that their layers need",
            got=f"{len(context.weights)} and {len(context.bounds)} bytes",
            allowed=f"{sum(map(weights, coding.layers))} and {4 * coding.sent * context.cuts}",
        )
    first, n = sum(coding.layers[:layer]), coding.layers[layer]
    start = sum(map(weights, coding.layers[:layer]))
    every = np.frombuffer(context.weights, np.int8)[start : start + weights(n)].reshape(2, SIDES + 1, n, n).astype(np.float64)
    bounds = np.frombuffer(context.bounds, "<i4").reshape(coding.sent, -1)[first : first + n].astype(np.float64)
    cut = edges(n, context.groups)
    here = every[:, SIDES].copy()
    for a, b in pairwise(cut):
        here[:, a:b, a:] = 0  # what is not known yet
    centres = np.array([context.centre[c] for c in coding.order[first : first + n]], np.int16)[:, None]
    near = np.ascontiguousarray(every[:, :SIDES].reshape(2, SIDES * n, n))
    return Outlook(near, here, bounds[:, : context.means - 1], bounds[:, context.means - 1 :], centres, context.reach, cut)
