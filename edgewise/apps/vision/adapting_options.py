"""What a person says of adapting, read into an AdaptConfig; everything that can be wrong ends here as a sentence.

>>> budget("20KB/s")
20000.0
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from edgewise.adapt.recipe import Recipe
from edgewise.apps.vision.adapting import AdaptConfig
from edgewise.apps.vision.adapting_engaged import TORCH
from edgewise.apps.vision.adapting_release import Manner, checked
from edgewise.apps.vision.operating import share, span
from edgewise.core.cost import Budget
from edgewise.core.errors import ConfigError
from edgewise.node.delivery.guard import parse

LARGEST_RECIPE = 64 << 10  # bytes


def wished(
    teacher: str,
    upload: str = "20KB/s",
    recipe: Path | None = None,
    home: Path | None = None,
    canary: str = "10%",
    window: str = "20s",
    guard: str = "",
    cascade: float | None = None,
    least: int = 20,
) -> AdaptConfig:
    """What was asked for; ConfigError where it cannot be."""
    if not teacher:
        hint = "Say --teacher big.onnx, a bundle's folder, or torch:MODULE:CALLABLE."
        raise ConfigError("there is nobody to learn from", got="--adapt without --teacher", hint=hint)
    if not teacher.startswith(TORCH) and not Path(teacher).exists():
        raise ConfigError(
            "there is no such teacher", got=teacher, allowed="a file .onnx, a bundle's folder, torch:MODULE:CALLABLE"
        )
    if home is not None and not home.is_dir():
        raise ConfigError("there are no pictures of the model's own domain", got=home, allowed="a folder with pictures")
    parse(guard)
    manner = checked(Manner(share(canary), span(window), least))
    made = replace(read_recipe(recipe) if recipe is not None else Recipe(), bytes=budget(upload))
    if cascade is not None:
        if not 0 <= cascade <= 1:
            raise ConfigError("a share of frames is impossible", got=f"--cascade {cascade:g}", allowed="0 to 1")
        made = replace(made, cascade=cascade)
    return AdaptConfig(teacher, made, manner, guard, home=str(home) if home is not None else "")


def budget(text: str) -> float:
    """Bytes a second of each device, as a person writes them; ConfigError for what is no rate."""
    (bound, *more) = Budget.parse(f"bytes_up<={text}").bounds or (None,)
    if bound is None or more or bound.scope != "second":
        raise ConfigError("an upload budget cannot be read", got=repr(text[:40]), allowed="bytes a second, such as 20KB/s")
    return bound.limit


def read_recipe(file: Path) -> Recipe:
    """A TOML file of fields of a Recipe; ConfigError where it is none."""
    try:
        data = file.read_bytes()[: LARGEST_RECIPE + 1]
        if len(data) > LARGEST_RECIPE:
            raise ConfigError("a recipe is too large", got=file, allowed=f"{LARGEST_RECIPE} bytes")
        return msgspec.toml.decode(data, type=Recipe)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        allowed = "TOML with " + ", ".join(Recipe.__struct_fields__)
        raise ConfigError("a recipe of adapting cannot be read", got=f"{file}: {error}", allowed=allowed) from None
