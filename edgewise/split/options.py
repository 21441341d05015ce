"""Which option of `split fit` is for which recipe, and what does not go together: said before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgewise.core.errors import ConfigError

if TYPE_CHECKING:
    from edgewise.split.fit import Fit

PUBLISHED = ("hnd", "ghnd")
PRICED = ("entropic", "lean")
STAGED = ("bottlefit", *PRICED)
FOR = {  # options that not every recipe has
    "rates": STAGED,
    "supervised": STAGED,
    "crop": STAGED,
    "device": STAGED,
    "betas": PRICED,
    "together": PRICED,
    "free": PRICED,
    "cores": PRICED,
    "bits": (*PUBLISHED, "bottlefit"),
    "per_channel": (*PUBLISHED, "bottlefit"),
    "fine": PUBLISHED,
    "rate": PUBLISHED,
    "schedule": PUBLISHED,
    "relative": PUBLISHED,
    "noise": PUBLISHED,
    "late": PUBLISHED,
    "price": PUBLISHED,
}


def sensible(config: Fit) -> None:
    """ConfigError where options contradict each other, or belong to another recipe."""
    usual = {field.name: field.default for field in msgspec.structs.fields(config)}
    beyond = [n for n, recipes in FOR.items() if config.recipe not in recipes and getattr(config, n) != usual[n]]
    if beyond:
        raise ConfigError(
            f"the recipe {config.recipe} has no such option",
            got=", ".join(f"--{n}" for n in beyond),
            allowed=", ".join(f"--{n} with {' and '.join(FOR[n])}" for n in beyond),
        )
    if bool(config.width) != bool(config.height):
        raise ConfigError("a picture's size is half said", got=f"{config.width} × {config.height}", allowed="both, or neither")
    wrong = [b for b in config.bits if not 1 <= b <= 8]
    if wrong or not config.bits or len(set(config.bits)) < len(config.bits):
        raise ConfigError("the codes have impossible widths", got=list(config.bits), allowed="different numbers from 1 to 8")
    if config.supervised and config.unlabelled:
        raise ConfigError("labels are to teach and not to be looked at", got="both", allowed="--supervised or --unlabelled")
    if config.betas and config.rates not in (0, len(config.betas)):
        got = f"--rates {config.rates} and {len(config.betas)} --betas"
        raise ConfigError("the number of rates is said twice", got=got, allowed="one of them")
    if list(config.betas) != sorted(set(config.betas)) or any(b <= 0 for b in config.betas):
        raise ConfigError(
            "prices of a bit climb", got=list(config.betas), allowed="--betas above 0, each larger than the one before"
        )
    if config.together and (len(config.betas) or config.rates) == 1:
        raise ConfigError("one rate needs no student for several", got="--together", allowed="two rates or more")
    if not 0 <= config.rates <= 16 or config.cores < 1 or config.epochs < 0 or config.seconds < 0:
        got = f"--rates {config.rates} --cores {config.cores} --epochs {config.epochs:g} --seconds {config.seconds:g}"
        raise ConfigError(
            "a training has an impossible size", got=got, allowed="16 rates at most, a core or more, nothing below 0"
        )
