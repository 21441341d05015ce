"""A Recipe: which paths a student learns at, for how long, at which rates, and what disturbs its bottleneck meanwhile.

`hnd` and `ghnd` are the paper's (paper 2, §III): sum of squared errors at the cut alone, or at the cut and the modules that
follow it, each factor 1.0; Adam at 1e-3, a tenth of it after a quarter of the run and a hundredth after three quarters (epochs
5 and 15 of 20); batches of 4; codes of 8 bits after training, which training never hears of.

Ours, and off unless asked for: in the last part of the run (`late`) the bottleneck is held inside the range that it has then,
and disturbed as its codes will disturb it – `round` to a drawn number of levels with the gradient passed straight through, or
`uniform` noise of that width – so that codes of 2 to 4 bits lose little; and a `price` on the bits that an ideal coder with a
static table for each channel would write (see `rate.py`), so that there are fewer of them. `cosine` is for runs that have a
hundredth of the paper's steps: a higher rate, and an end as orderly as theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise.core.errors import ConfigError

Name = Literal["hnd", "ghnd"]
Noise = Literal["none", "round", "uniform"]
DROPS = (0.25, 0.75)
WARM, LEAST = 50, 1e-3  # of a cosine: steps up to its rate, and the share of it that is left at the end
BITS = (8, 6, 4, 3, 2)


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """One training. `paths` empty: those of `name`; `epochs` counts where `seconds` is 0; `price` is per bit and picture,
    in units of the relative loss (ours), and needs `relative`."""

    name: Name = "ghnd"
    paths: tuple[str, ...] = ()
    relative: bool = False
    rate: Annotated[float, Meta(gt=0)] = 1e-3
    batch: Annotated[int, Meta(ge=1)] = 4
    epochs: Annotated[float, Meta(gt=0)] = 20.0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    noise: Noise = "none"
    late: Annotated[float, Meta(gt=0, le=1)] = 0.5
    bits: tuple[int, ...] = BITS
    price: Annotated[float, Meta(ge=0)] = 0.0
    schedule: Literal["steps", "cosine"] = "steps"


def factors(recipe: Recipe, cut: str, following: Sequence[str]) -> Mapping[str, float]:
    """Path → factor. `following` are the cut and its later siblings."""
    if recipe.name == "hnd" and recipe.paths not in ((), (cut,)):
        raise ConfigError(
            "HND has one loss, at the cut", got=", ".join(recipe.paths), allowed=cut, hint="Losses at several modules are GHND."
        )
    chosen = recipe.paths or ((cut,) if recipe.name == "hnd" else tuple(following))
    return dict.fromkeys(chosen, 1.0)


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step: a tenth after each of the drops, or (ours) a rise over WARM steps and half a cosine.

    >>> [rate(Recipe(), s, 20) for s in (4, 5, 15)]
    [0.001, 0.0001, 1e-05]
    """
    if recipe.schedule == "cosine":
        return float(recipe.rate * min(1.0, (step + 1) / WARM) * max(LEAST, 0.5 * (1 + math.cos(math.pi * step / steps))))
    passed = sum(step >= drop * steps for drop in DROPS)
    return float(recipe.rate / 10**passed)


def disturbed(recipe: Recipe, step: int, steps: int) -> bool:
    """Whether the bottleneck is disturbed at this step."""
    return recipe.noise != "none" and step >= (1 - recipe.late) * steps
