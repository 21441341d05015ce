"""A Coding: how the tensor that crosses the link becomes integers, and integers bytes, at one operating point.

    value = low_c + step_c · code      code in 0 … levels_c − 1, one low, step and number of levels a channel

A channel with 0 levels is never sent: it is decoded as its `low`, which is then the best constant for it. The others are sent in
`order`, the most important first, in `layers`: any number of whole layers decodes, and what is missing is filled in. `tables` are
the frequencies by which a code costs bytes, integers alone, so that two processors never disagree about a bit. The whole of it
stands in the manifest, so the address of a bundle names its tables too.

With a `context` there are several tables a channel, and a code's neighbours say which of them codes it. A coding without one has
no such field, so that bundles from before there were contexts keep their address.

It does not know how the figures were found (`edgewise.codec.fitted`), how tables are packed (`edgewise.codec.tables`), nor the
bytes of a frame (`edgewise.codec.features`).
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from edgewise.core.errors import ModelError

MOST_LEVELS = 256
MOST_CHANNELS = 1 << 14
LARGEST_FLOAT32 = 3.4028234663852886e38
Channels = Meta(max_length=MOST_CHANNELS)


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """How codes are foretold by those around them (`edgewise.codec.context`), so that each of `means` · `sizes` contexts of a
    channel has a table of its own.

    `centre` is each channel's usual code, `reach` how far from it a code still counts; `weights` are int8, layer by layer: (mean
    and size, left and up and corner and here, to, from), `bounds` int32, little-endian: of each channel in order those of the
    mean, then those of the size. A layer's channels come in `groups`. `mean` (a value, no code) stands for a channel that did not
    come.
    """

    centre: Annotated[tuple[Annotated[int, Meta(ge=0, lt=MOST_LEVELS)], ...], Channels]
    mean: Annotated[tuple[float, ...], Channels]
    weights: Annotated[bytes, Meta(max_length=1 << 20)]
    bounds: Annotated[bytes, Meta(max_length=1 << 20)]
    means: Annotated[int, Meta(ge=1, le=64)]
    sizes: Annotated[int, Meta(ge=1, le=16)]
    reach: Annotated[int, Meta(ge=1, lt=MOST_LEVELS)]
    groups: Annotated[int, Meta(ge=1, le=64)]

    @property
    def count(self) -> int:
        """How many tables a channel has."""
        return self.means * self.sizes

    @property
    def cuts(self) -> int:
        """How many bounds a channel has."""
        return self.means + self.sizes - 2


class Coding(Struct, frozen=True, forbid_unknown_fields=True):
    """Quantiser, order and tables of one operating point; `low`, `step` and `levels` have an entry for each channel.

    `order` names every channel that is sent (levels above 0) once; `layers` says how many of them each layer takes. `most` is the
    byte guard: no payload of this point is larger, whatever the features are (0: no guard). What stands around a payload on the
    wire (frame header, WebSocket, TLS) comes on top.
    """

    low: Annotated[tuple[float, ...], Channels]
    step: Annotated[tuple[float, ...], Channels]
    levels: Annotated[tuple[int, ...], Channels]
    order: Annotated[tuple[int, ...], Channels]
    layers: Annotated[tuple[int, ...], Channels]
    tables: Annotated[bytes, Meta(max_length=3 << 20)]
    most: Annotated[int, Meta(ge=0, le=1 << 30)] = 0
    context: Context | UnsetType = UNSET

    @property
    def channels(self) -> int:
        return len(self.levels)

    @property
    def sent(self) -> int:
        """How many channels are sent."""
        return sum(n > 0 for n in self.levels)


def consistent(coding: Coding, channels: int, point: str) -> None:
    """ModelError where a coding contradicts itself, or a bottleneck of `channels`; tables are checked where they are used."""
    name = f"the coding of point {point!r}"
    lengths = {len(coding.low), len(coding.step), len(coding.levels)}
    if lengths != {channels}:
        raise ModelError(
            f"{name} has not one low, step and number of levels for each channel",
            got=f"{len(coding.low)}, {len(coding.step)} and {len(coding.levels)}",
            allowed=f"{channels} of each",
        )
    if not all(abs(low) <= LARGEST_FLOAT32 for low in coding.low):
        raise ModelError(f"{name} has a low that is no float32", got=[v for v in coding.low if not math.isfinite(v)][:3])
    wrong = [n for n in coding.levels if n and not 2 <= n <= MOST_LEVELS]
    if wrong:
        raise ModelError(f"{name} has an impossible number of levels", got=wrong[0], allowed=f"0, or 2 to {MOST_LEVELS}")
    for low, step, levels in zip(coding.low, coding.step, coding.levels, strict=True):
        if not (step >= 0 and abs(low + step * max(levels - 1, 0)) <= LARGEST_FLOAT32):
            raise ModelError(f"{name} has an impossible step", got=step, allowed="0 or more, and every value within float32")
    if sorted(coding.order) != [c for c, n in enumerate(coding.levels) if n]:
        raise ModelError(
            f"{name} does not order the channels that it sends",
            got=f"{len(coding.order)} channels in order",
            allowed=f"each of the {coding.sent} channels with levels once",
        )
    if coding.context:
        _consistent_context(coding, coding.context, name)
    if any(n < 1 for n in coding.layers) or sum(coding.layers) != coding.sent or len(coding.layers) > 255:
        raise ModelError(
            f"{name} has layers that do not hold its channels",
            got=f"layers of {list(coding.layers[:8])} channels",
            allowed=f"255 layers at most, of 1 channel or more, {coding.sent} in all",
        )


def _consistent_context(coding: Coding, context: Context, name: str) -> None:
    if {len(context.centre), len(context.mean)} != {coding.channels}:
        raise ModelError(
            f"{name} has contexts for other channels",
            got=f"{len(context.centre)} centres and {len(context.mean)} means",
            allowed=f"{coding.channels} of each",
        )
    if not all(c < max(n, 1) for c, n in zip(context.centre, coding.levels, strict=True)):
        raise ModelError(f"{name} has a centre that is no code of its channel", got=list(context.centre[:8]))
    if not all(abs(mean) <= LARGEST_FLOAT32 for mean in context.mean):
        raise ModelError(f"{name} has a mean that is no float32", got=[v for v in context.mean if not math.isfinite(v)][:3])
