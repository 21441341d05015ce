"""Designs of bottlenecks by name: what a recipe builds in the place of a stretch, and whether bits are priced in its training.

A design is one line here and one file of its own; `build(geometry, channels, wide)` gives a Split with the parts `encoder`,
`between` and `decoder`, whatever the network around it. `priced` designs learn with noise and a prior between (`prior.py`), at
several β; the others learn distortion alone, and their codes are fitted afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from edgewise.core.errors import ConfigError
from edgewise.split.training import bottlefit, bottleneck, entropic, factorised, lean, mid
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.training.paths import nearest

Build = Callable[[Geometry, int, float], Split]


class Design(Struct, frozen=True):
    """`channels` cross the link by default."""

    name: str
    build: Build
    channels: int
    priced: bool = True


DESIGNS: Mapping[str, Design] = {
    one.name: one
    for one in (
        Design("ghnd", bottleneck.narrow, 12, priced=False),
        Design("bottlefit", bottlefit.bottlefit, 3, priced=False),
        Design("bottlefit-slim", bottlefit.slim, 3, priced=False),
        Design("mid", mid.autoencoder, 3, priced=False),
        Design("entropic", entropic.published, 24),
        Design("entropic-narrow", entropic.narrow, 24),
        Design("factorised", factorised.factorised, 96),
        Design("lean", lean.lean, 48),
        Design("lean-shallow", lean.shallow, 32),
    )
}


def design(name: str) -> Design:
    """The design of that name; ConfigError names the nearest where there is none."""
    if name not in DESIGNS:
        raise ConfigError(
            "there is no such design", got=repr(name), allowed=", ".join(nearest(name, list(DESIGNS), len(DESIGNS)))
        )
    return DESIGNS[name]
