"""The parts of a bundle that answer a picture on a device's behalf, and so are what its adaptation changes."""

from __future__ import annotations

from edgewise.core.artifact import Manifest, PartName


def way(manifest: Manifest) -> tuple[PartName, ...]:
    """The way through a cut model (behind its filter or exit, where it has one), else the local model, else the whole one."""
    if "head" in manifest.parts:
        return (*((manifest.first,) if manifest.first != "head" else ()), "head", "tail")
    return ("local",) if "local" in manifest.parts else ("full",)
