"""The quality of a version on the device that runs it: pictures with known truth, rendered here, so that none need be sent.

A bundle names its probe as sources of the renderer (`junction:200:fog`). Both ways that a device can answer are tried, the
local model and head with tail, and what is reported is the way that fell the most against the version before: a delta that
spoils one of them must not hide behind the other. Rendered frames are poorer than real ones: a probe sees what broke, not
how good a model is on this camera.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgewise.core.artifact import Grid
from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.data.metrics import cell_quality
from edgewise.data.preprocess import fit
from edgewise.runtime.bundle import Bundle

STEP = 2.5  # s between the frames of a scene
FRAMES = 6  # of each scene


@cache
def scenes(probe: tuple[str, ...]) -> tuple[tuple[NDArray[np.uint8], ...], NDArray[np.bool_], tuple[str, ...]]:
    """Pictures, occupied cells (frame, rows, columns) and the scene of each, of `junction:SEED:CONDITION` sources."""
    from edgewise.data.junction import Junction

    pictures, cells, names = [], [], []
    for name in probe:
        kind, _, rest = name.partition(":")
        seed, _, condition = rest.partition(":")
        if kind != "junction" or not seed.isdigit():
            raise ConfigError("a probe cannot be used", got=name, allowed="junction:SEED or junction:SEED:CONDITION")
        junction = Junction(int(seed), condition or "clear")  # type: ignore[arg-type]
        for i in range(FRAMES):
            image, _, true = junction.frame(i * STEP)
            pictures.append(image)
            cells.append(true)
            names.append(name)
    return tuple(pictures), np.stack(cells), tuple(names)


def ways(bundle: Bundle, probe: tuple[str, ...]) -> dict[str, Quality]:
    """Cell F1 of each way in which a device with `bundle` can be answered."""
    pictures, true, names = scenes(probe)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    manifest = bundle.manifest
    decoding = manifest.decoding
    if not isinstance(decoding, Grid):
        raise ConfigError(
            f"the probe of {manifest.name} looks at occupied cells, which its model does not give",
            got=type(decoding).__name__.lower(),
            allowed="a bundle that decodes a grid",
        )
    for picture in pictures:
        maps = {}
        if "local" in manifest.parts:
            maps["local"] = _run(bundle, "local", fit(picture, manifest.pictures["local"]))
        if "head" in manifest.parts:
            maps["split"] = _run(bundle, "tail", _run(bundle, "head", fit(picture, manifest.pictures["head"])))
        for way, occupied in maps.items():
            found.setdefault(way, []).append(occupied[0, 0] >= decoding.cell_threshold)
    return {way: cell_quality(np.stack(said), true, names) for way, said in found.items()}


def compared(new: Bundle, old: Bundle, probe: tuple[str, ...]) -> tuple[Quality, Quality] | None:
    """Quality of the new version and of the old one by the way that fell the most; None where nothing can be compared."""
    if not probe:
        return None
    after, before = ways(new, probe), ways(old, probe)
    shared = [way for way in after if way in before]
    if not shared:
        return None
    worst = min(shared, key=lambda way: after[way].value - before[way].value)
    return after[worst], before[worst]


def _run(bundle: Bundle, part: str, feed: NDArray[np.generic]) -> NDArray[np.float32]:
    """The bottleneck of a head, or the occupied map of the others."""
    description = bundle.manifest.parts[part]
    outputs = bundle.session(part).run({description.inputs[0].name: feed})  # type: ignore[arg-type]
    return outputs[description.outputs[0].name if part == "head" else "occupied"]
