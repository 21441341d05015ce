"""Finding bundles: a folder of the user's, or the name of one that comes with edgewise."""

from __future__ import annotations

from pathlib import Path

from edgewise.core.errors import ModelError

SHIPPED = Path(__file__).parents[2] / "bundles"


def find(name: str) -> Path:
    """The folder of a bundle; ModelError where there is none."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if (SHIPPED / name).is_dir() and name.isidentifier():
        return SHIPPED / name
    shipped = ", ".join(sorted(p.name for p in SHIPPED.iterdir() if p.is_dir() and p.name.isidentifier()))
    raise ModelError("there is no such bundle", got=name, allowed=f"a bundle's folder, or one of: {shipped}")
