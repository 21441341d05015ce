"""The tables of a coding with contexts, fitted to features: how often each code comes in each context of its channel.

A context that hardly came knows little, so every table begins with `BELIEF` codes drawn like its channel's own; with that a few
dozen pictures give tables that are better than static ones, and thousands lose nothing. A channel's centre is its commonest code.
How far neighbours are looked at is tried out: tables of every second picture code the others, and the reach that takes fewer bits
stays, unless it has more tables than a coder may hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.context import Grid, contexts, count, grid
from edgewise.codec.quantise import Levels
from edgewise.core.artifact import Bottleneck, Coding
from edgewise.core.coding import Context
from edgewise.core.errors import TensorError

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
BELIEF, SCALE = 16, 256  # codes that a table begins with; counts are scaled, so that parts of one count, too
REACHES = (2, 1)
FINE, COARSE, LEAST, MANY = 14, 12, 9, 64  # bits of precision, and the levels from which on they are fine


def contextual(bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats], centre: Sequence[int] | None = None) -> Coding:
    """The coding with contexts and tables for features like `samples` (each batch, *shape; gone through once); all else stays.

    `centre` is the usual code of each channel (the commonest where none is given). TensorError for no samples.
    """
    codes, means = _codes(bottleneck, coding, samples)
    sent = np.array(coding.order, np.intp)
    if centre is None:
        centre = [int(np.bincount(codes[:, c].reshape(-1)).argmax()) if n else 0 for c, n in enumerate(coding.levels)]
    known = Context(tuple(int(c) for c in centre), tuple(means.astype(np.float32).tolist()))
    seen = codes[:, sent]
    centres, levels = [known.centre[c] for c in sent], [coding.levels[c] for c in sent]
    allowed = [r for r in REACHES if len(sent) * count(r) < tables.MOST_SLOTS >> COARSE] or [REACHES[-1]]
    if coding.context and coding.context.reach in allowed:
        allowed = [coding.context.reach]
    reach = min(allowed, key=lambda r: _tried(seen, centres, levels, r, grid(bottleneck))) if len(allowed) > 1 else allowed[0]
    counted = counts(seen, centres, levels, reach, grid(bottleneck))
    return msgspec.structs.replace(
        coding,
        context=msgspec.structs.replace(known, reach=reach),
        tables=tables.pack(tables.fit(_believed(counted, levels), precision=_precision(len(sent) * count(reach), levels))),
    )


def counts(codes: Codes, centres: Sequence[int], levels: Sequence[int], reach: int, of: Grid) -> NDArray[np.int64]:
    """How often each code comes in each context (channel, context, code), of codes (picture, channel, position)."""
    found = np.zeros((len(levels), count(reach), max(levels, default=1)), np.int64)
    for c, centre in enumerate(centres):
        known = contexts(codes[:, c : c + 1], [centre], reach, of)
        index = known.astype(np.intp) * found.shape[2] + codes[:, c : c + 1]
        found[c] = np.bincount(index.reshape(-1), minlength=found[c].size).reshape(found[c].shape)
    return found


def _believed(counted: NDArray[np.int64], levels: Sequence[int]) -> list[NDArray[np.int64]]:
    """Counts for `tables.fit`, one row a table, with what each begins with."""
    whole = counted.sum(axis=1, keepdims=True)
    begun = BELIEF * SCALE * whole // np.maximum(whole.sum(axis=2, keepdims=True), 1)
    rows = counted * SCALE + begun
    return [row[:n] for channel, n in zip(rows, levels, strict=True) for row in channel]


def _tried(codes: Codes, centres: Sequence[int], levels: Sequence[int], reach: int, of: Grid) -> float:
    """Bits that every second picture takes by the tables of the others; with one picture, of itself."""
    known = counts(codes[::2], centres, levels, reach, of)
    judged = counts(codes[1::2], centres, levels, reach, of) if len(codes) > 1 else known
    bits = 0.0
    for row, one in zip(_believed(known, levels), judged.reshape(-1, judged.shape[2]), strict=True):
        share = (row + 1) / (row.sum() + len(row))
        bits -= float((one[: len(row)] * np.log2(share)).sum())
    return bits


def _precision(tables_: int, levels: Sequence[int]) -> int:
    precision = FINE if max(levels, default=0) > MANY else COARSE
    while tables_ > tables.MOST_SLOTS >> precision and precision > LEAST:
        precision -= 1
    return precision


def _codes(bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats]) -> tuple[Codes, NDArray[np.float64]]:
    """Codes (picture, channel, position) and the mean value of each channel."""
    levels = Levels(coding)
    found: list[Codes] = []
    sums = np.zeros(bottleneck.channels)
    for batch in samples:
        if batch.shape[1:] != bottleneck.shape or not np.isfinite(batch).all():
            raise TensorError(
                "features to fit tables to are not those of the bottleneck",
                got=batch.shape,
                allowed=f"finite (batch, {bottleneck.shape})",
            )
        for one in batch:
            planes = np.moveaxis(one, bottleneck.axis, 0).reshape(bottleneck.channels, -1)
            sums += planes.mean(axis=1, dtype=np.float64)
            found.append(levels.quantise(planes))
    if not found:
        raise TensorError("tables cannot be fitted to nothing", got="no features", allowed="those of one picture or more")
    return np.stack(found), sums / len(found)
