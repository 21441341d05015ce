"""Contexts fitted to features: weights by least squares, bounds by quantiles, then how often each code comes in each context.

A code's two sums are the linear predictions of its clipped value and of its size from what is known around it (ridge regression:
`RIDGE` codes' worth of doubt), with the largest weight of each as 127. Bounds part a channel's sums so that their ends, where a
table says the most, are parts of their own. How many parts there are is tried out: tables of every second picture code the
others, and the fewest bits stay, as far as a coder may hold their tables.

A context that hardly came knows little, so every table begins with `BELIEF` codes drawn like its channel's own. A channel's
centre is its commonest code unless another is given. What is found here is integers, and travels with the coding: that it was
found by floats on one machine makes no difference to any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.context import SIDES, Grid, Outlook, edges, grid, outlook
from edgewise.codec.quantise import Levels
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.coding import Context
from edgewise.core.errors import ModelError, TensorError

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
BELIEF, SCALE = 16, 256  # codes that a table begins with; counts are scaled, so that parts of one count, too
RIDGE = 30.0
GROUPS = 4
PARTS = ((25, 3), (13, 3), (9, 3), (7, 2), (5, 1))  # of the mean and of the size
FINE, COARSE, LEAST, MANY = 14, 12, 9, 64  # bits of precision, and the levels from which on they are fine
MOST_CHANNELS = 160  # of a layer
LEARNT, TRIED = 200_000, 60_000  # places that weights are fitted to, and parts tried on
BATCH = 1 << 14  # places at once


def contextual(bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats], centre: Sequence[int] | None = None) -> Coding:
    """The coding with contexts and tables for features like `samples` (each batch, *shape; gone through once); all else stays.

    `centre` is the usual code of each channel (the commonest where none is given). TensorError for no samples, ModelError for a
    layer of too many channels.
    """
    if max(coding.layers, default=0) > MOST_CHANNELS:
        raise ModelError(
            "a layer has too many channels for contexts",
            got=max(coding.layers),
            allowed=f"{MOST_CHANNELS} or fewer",
            hint="Cut the channels into more layers, or fit static tables.",
        )
    codes, means = _codes(bottleneck, coding, samples)
    if centre is None:
        centre = [int(np.bincount(codes[:, c].reshape(-1)).argmax()) if n else 0 for c, n in enumerate(coding.levels)]
    spread = float(np.mean([codes[:, c].std() for c in coding.order])) if coding.order else 1.0
    plain = Context(
        centre=tuple(int(c) for c in centre),
        mean=tuple(means.astype(np.float32).tolist()),
        weights=bytes(sum(2 * (SIDES + 1) * n**2 for n in coding.layers)),
        bounds=bytes(0),
        means=1,
        sizes=1,
        reach=int(min(max(3, np.ceil(2 * spread)), 127)),
        groups=GROUPS,
    )
    of = grid(bottleneck)
    seen = codes[:, np.array(coding.order, np.intp)]
    layers = list(_layers(coding, seen))
    weighed = b"".join(_weights(outlook(coding, plain, k), part, of) for k, part in enumerate(layers))
    known = msgspec.structs.replace(plain, weights=weighed)
    levels = [coding.levels[c] for c in coding.order]
    tried = max(2, TRIED // of.positions)
    best: tuple[float, Context] | None = None
    for parts in _allowed(len(levels), levels):
        one = _bounded(coding, known, parts, [part[:tried] for part in layers], of)
        bits = _bits(coding, one, [part[:tried] for part in layers], levels, of)
        if best is None or bits < best[0]:
            best = bits, one
    found = best[1] if best is not None else known
    counted = _counts(coding, found, layers, levels, of)
    packed = tables.pack(tables.fit(_believed(counted, levels), precision=_precision(len(levels) * found.count, levels)))
    return msgspec.structs.replace(coding, context=found, tables=packed)


def _layers(coding: Coding, codes: Codes) -> Iterator[Codes]:
    """The codes (picture, channel, position) of each layer."""
    first = 0
    for n in coding.layers:
        yield codes[:, first : first + n]
        first += n


def _weights(look: Outlook, codes: Codes, of: Grid) -> bytes:
    """int8 weights of a layer (mean and size, left and up and corner and here, to, from)."""
    n = look.channels
    rows = max(1, LEARNT // of.positions)
    found = np.zeros((2, SIDES + 1, n, n), np.int8)
    chosen = codes[:: max(1, -(-len(codes) // rows))]
    for kind in range(2):
        gram = np.zeros(((SIDES + 1) * n + 1,) * 2)
        for batch in _batches(chosen, of):
            known = _around(look.values(batch)[:, kind], of)
            gram += (known.T @ known).astype(np.float64)
        gram[np.diag_indices(len(gram))] += RIDGE
        cut = edges(n, GROUPS)
        for a, b in pairwise(cut):
            used = np.concatenate((np.arange(SIDES * n + a), [len(gram) - 1]))
            wanted = SIDES * n + np.arange(a, b)
            solved = np.linalg.solve(gram[np.ix_(used, used)], gram[np.ix_(used, wanted)])[:-1].T  # (to, from)
            whole = np.round(127 * solved / np.maximum(np.abs(solved).max(axis=1, keepdims=True), 1e-9)).astype(np.int8)
            found[kind, :SIDES, a:b] = whole[:, : SIDES * n].reshape(b - a, SIDES, n).transpose(1, 0, 2)
            found[kind, SIDES, a:b, :a] = whole[:, SIDES * n :]
    return found.tobytes()


def _around(values: NDArray[np.float64], of: Grid) -> Floats:
    """What each place sees (picture · place, left · up · corner · here · 1) of values (picture, channel, place)."""
    planes = values.astype(np.float32).reshape(*values.shape[:-1], of.rows, of.columns)
    known = np.zeros((SIDES + 1, *planes.shape), np.float32)
    known[0, ..., 1:] = planes[..., :-1]
    known[1, ..., 1:, :] = planes[..., :-1, :]
    known[2, ..., 1:, 1:] = planes[..., :-1, :-1]
    known[3] = planes
    flat = known.transpose(1, 3, 4, 0, 2).reshape(len(values) * of.positions, -1)
    return np.concatenate((flat, np.ones((len(flat), 1), np.float32)), axis=1)


def _bounded(coding: Coding, known: Context, parts: tuple[int, int], layers: Sequence[Codes], of: Grid) -> Context:
    """The context with bounds for so many parts of the mean and of the size."""
    rows: list[list[int]] = []
    for k, codes in enumerate(layers):
        sums = _sums(outlook(coding, known, k), codes, of)
        rows += [[*_quantiles(mean, parts[0]), *_quantiles(size, parts[1])] for mean, size in zip(*sums, strict=True)]
    bounds = np.array(rows, "<i4").reshape(len(rows), -1).tobytes()
    return msgspec.structs.replace(known, bounds=bounds, means=parts[0], sizes=parts[1])


def _quantiles(sums: NDArray[np.int32], parts: int) -> list[int]:
    """Bounds of so many parts: two small ones at either end where there are enough, the rest alike."""
    shares = np.arange(1, parts) / parts
    if parts > 6:
        shares = np.concatenate(([0.02, 0.06], np.linspace(0.1, 0.9, parts - 5), [0.94, 0.98]))
    return (np.quantile(sums, shares, method="higher") + 1).astype(int).tolist() if parts > 1 else []


def _sums(look: Outlook, codes: Codes, of: Grid) -> NDArray[np.int32]:
    """Both sums of a layer (2, channel, picture · position)."""
    parts = [look.sums(batch, of).astype(np.int32) for batch in _batches(codes, of)]
    return np.concatenate(parts).transpose(1, 2, 0, 3).reshape(2, look.channels, -1)


def _counts(coding: Coding, known: Context, layers: Sequence[Codes], levels: Sequence[int], of: Grid) -> NDArray[np.int64]:
    """How often each code comes in each context (channel, context, code)."""
    found = np.zeros((len(levels), known.count, max(levels, default=1)), np.int64)
    first = 0
    for k, codes in enumerate(layers):
        look = outlook(coding, known, k)
        for batch in _batches(codes, of):
            contexts = look.contexts(look.sums(batch, of))
            contexts *= found.shape[2]
            contexts += batch
            for c in range(look.channels):
                one = found[first + c].reshape(-1)
                one += np.bincount(contexts[:, c].reshape(-1), minlength=one.size)
        first += look.channels
    return found


def _bits(coding: Coding, known: Context, layers: Sequence[Codes], levels: Sequence[int], of: Grid) -> float:
    """Bits that every second picture takes by the tables of the others; with one picture, of itself."""
    fitted = _counts(coding, known, [codes[::2] for codes in layers], levels, of)
    judged = _counts(coding, known, [codes[1::2] for codes in layers], levels, of) if len(layers[0]) > 1 else fitted
    bits = 0.0
    for row, one in zip(_believed(fitted, levels), judged.reshape(-1, judged.shape[2]), strict=True):
        share = (row + 1) / (row.sum() + len(row))
        bits -= float((one[: len(row)] * np.log2(share)).sum())
    return bits


def _believed(counted: NDArray[np.int64], levels: Sequence[int]) -> list[NDArray[np.int64]]:
    """Counts for `tables.fit`, one row a table, with what each begins with."""
    whole = counted.sum(axis=1, keepdims=True)
    begun = BELIEF * SCALE * whole // np.maximum(whole.sum(axis=2, keepdims=True), 1)
    rows = counted * SCALE + begun
    return [row[:n] for channel, n in zip(rows, levels, strict=True) for row in channel]


def _batches(codes: Codes, of: Grid) -> Iterator[Codes]:
    pictures = max(1, BATCH // of.positions)
    for first in range(0, len(codes), pictures):
        yield codes[first : first + pictures]


def _allowed(channels: int, levels: Sequence[int]) -> list[tuple[int, int]]:
    """Parts whose tables a coder may hold at the precision that they ask for; the fewest of all where none are."""
    precision = FINE if max(levels, default=0) > MANY else COARSE
    few = [(a, b) for a, b in PARTS if channels * a * b < tables.MOST_SLOTS >> precision]
    return few or [PARTS[-1]]


def _precision(count: int, levels: Sequence[int]) -> int:
    precision = FINE if max(levels, default=0) > MANY else COARSE
    while count > tables.MOST_SLOTS >> precision and precision > LEAST:
        precision -= 1
    return precision


def _codes(bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats]) -> tuple[Codes, NDArray[np.float64]]:
    """Codes (picture, channel, position) and the mean value of each channel."""
    found, means = zip(*quantised(bottleneck, coding, samples), strict=True)
    return np.stack(found), np.add.reduce(means) / len(found)


def quantised(bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats]) -> Iterator[tuple[Codes, NDArray[np.float64]]]:
    """Codes (channel, position) and the mean value of each channel, picture by picture; TensorError for others, or none."""
    levels = Levels(coding)
    seen = 0
    for batch in samples:
        if batch.shape[1:] != bottleneck.shape or not np.isfinite(batch).all():
            raise TensorError(
                "features to fit tables to are not those of the bottleneck",
                got=batch.shape,
                allowed=f"finite (batch, {bottleneck.shape})",
            )
        for one in batch:
            planes = np.moveaxis(one, bottleneck.axis, 0).reshape(bottleneck.channels, -1)
            seen += 1
            yield levels.quantise(planes), planes.mean(axis=1, dtype=np.float64)
    if not seen:
        raise TensorError("tables cannot be fitted to nothing", got="no features", allowed="those of one picture or more")
