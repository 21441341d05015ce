"""A coding fitted to features: ranges and levels to steps, codes to counts, counts to integer tables.

    step_c = (high_c − low_c) / (levels_c − 1)      a channel of 0 levels is never sent and decodes as its mean

Tables are re-fitted alone (`refitted`) where a delta changed what the head gives: quantiser, order and layers stay, so that only
bytes change, never a value. Whatever was not seen here still passes, as an escape or packed.

Levels and order come from elsewhere: from the sensitivity of the answer to each channel, or from training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from edgewise.codec import tables
from edgewise.codec.fitted_contexts import contextual, quantised
from edgewise.core.artifact import Bottleneck, Coding, Manifest
from edgewise.core.coding import consistent
from edgewise.core.errors import ModelError

Floats = NDArray[np.float32]
FINE, COARSE, LEAST = 14, 12, 9  # bits of precision
MANY = 64  # levels
MOST_SLOTS = 1 << 20  # of all tables: 20 MiB for a decoder (`edgewise.codec.tables`)


def coding_for(
    bottleneck: Bottleneck,
    samples: Iterable[Floats],
    levels: Sequence[int],
    order: Sequence[int],
    layers: Sequence[int] | int = 1,
    most: int = 0,
    context: bool = False,
    centre: Sequence[int] | None = None,
) -> Coding:
    """The coding of a bottleneck for features like `samples` (each batch, *shape; gone through once).

    `levels` has a number of codes for each channel (0: never sent), `order` names all channels or those that are sent, the most
    important first, and `layers` says how many of them each layer takes, or how many layers there are. With `context` each code
    is coded by its neighbours, `centre` being the usual code of each channel (by default its commonest). ModelError where they do
    not fit.
    """
    if len(levels) != bottleneck.channels or not all(0 <= c < len(levels) for c in order):
        raise ModelError(
            "a coding cannot be fitted to channels that are not there",
            got=f"{len(levels)} numbers of levels, order {list(order)[:8]}",
            allowed=f"one for each of {bottleneck.channels} channels",
        )
    order = tuple(int(c) for c in order if levels[c])
    low = np.asarray(bottleneck.low, np.float32)
    spans = np.asarray(bottleneck.high, np.float32) - low
    step = (spans / np.maximum(np.asarray(levels) - 1, 1)).astype(np.float32)
    empty = Coding(
        low=tuple(low.tolist()),
        step=tuple(np.where(np.asarray(levels) > 0, step, 0).tolist()),
        levels=tuple(int(n) for n in levels),
        order=order,
        layers=evenly(len(order), layers) if isinstance(layers, int) else tuple(layers),
        tables=b"",
        most=most,
    )
    consistent(empty, bottleneck.channels, "new")
    return with_tables(bottleneck, empty, samples, context, centre)


def with_tables(
    bottleneck: Bottleneck,
    coding: Coding,
    samples: Iterable[Floats],
    context: bool = False,
    centre: Sequence[int] | None = None,
) -> Coding:
    """A coding whose quantiser, order and layers stand, with tables for features like `samples` (each batch, *shape; gone through
    once), static or by context; a channel that is not sent gets its mean.
    """
    if context:
        found = contextual(bottleneck, coding, samples, centre)
        assert found.context
        means = np.array(found.context.mean)
    else:
        counted, means = counts(bottleneck, coding, samples)
        found = msgspec.structs.replace(coding, tables=tabled([counted[c] for c in coding.order]))
    low = np.where(np.asarray(coding.levels) > 0, np.asarray(coding.low, np.float32), means).astype(np.float32)
    return msgspec.structs.replace(found, low=tuple(low.tolist()))


def refitted(manifest: Manifest, features: Iterable[Floats]) -> Manifest:
    """The manifest with tables (and contexts) of all its codings fitted to new features (each batch, *shape); all else stays."""
    kept = list(features)
    codings = {name: _again(manifest.crossing, one, kept) for name, one in manifest.codings.items()}
    return msgspec.structs.replace(manifest, codings=codings)


def _again(bottleneck: Bottleneck, coding: Coding, features: Iterable[Floats]) -> Coding:
    """The coding with tables of its own kind, with weights and bounds that they were counted with; a channel that is not sent
    decodes as before.
    """
    if coding.context is UNSET:
        counted, _ = counts(bottleneck, coding, features)
        return msgspec.structs.replace(coding, tables=tabled([counted[channel] for channel in coding.order]))
    found = contextual(bottleneck, coding, features, coding.context.centre)
    assert found.context
    sent = np.asarray(coding.levels) > 0
    means = np.where(sent, found.context.mean, coding.context.mean)
    context = msgspec.structs.replace(found.context, mean=tuple(means.tolist()))
    return msgspec.structs.replace(found, context=context)


def counts(
    bottleneck: Bottleneck, coding: Coding, samples: Iterable[Floats]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """How often each code of each channel comes (channel → levels), and the mean of each channel; TensorError for no samples."""
    found = [np.zeros(n, np.int64) for n in coding.levels]
    sums, seen = np.zeros(bottleneck.channels), 0
    for codes, means in quantised(bottleneck, coding, samples):
        sums += means
        seen += 1
        for channel in coding.order:
            found[channel] += np.bincount(codes[channel], minlength=coding.levels[channel])
    return found, sums / seen


def evenly(channels: int, layers: int) -> tuple[int, ...]:
    """`channels` in so many layers, the first of them the smaller: what comes first should come through."""
    layers = min(max(layers, 1), channels)
    return tuple(channels * (k + 1) // layers - channels * k // layers for k in range(layers))


def tabled(counted: Sequence[NDArray[np.int64]]) -> bytes:
    """The tables of the channels that are sent, from how often each of their codes comes (in order: channel → levels).

    They are finer for many levels, coarser where a decoder would have to hold too much. A letter that hardly comes still takes
    1/2^precision: at 12 bits, 256 of them would take a sixteenth of all there is.
    """
    precision = FINE if max((len(c) for c in counted), default=0) > MANY else COARSE
    while (len(counted) + 1) << precision > MOST_SLOTS and precision > LEAST:
        precision -= 1
    return tables.pack(tables.fit(counted, precision=precision))
