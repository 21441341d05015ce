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

from edgewise.core.artifact import Grid, Things
from edgewise.core.coherent import EARLY
from edgewise.core.errors import ConfigError
from edgewise.core.placement import Quality
from edgewise.data.boxes import occupied
from edgewise.data.decoding import answers
from edgewise.data.decoding.grid import cells
from edgewise.data.metrics import cell_quality
from edgewise.node.parts import Outputs, Parts
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
    """Cell F1 of each way in which a device with `bundle` can be answered; none where its answers say nothing of cells."""
    decoding = bundle.manifest.decoding
    if not isinstance(decoding, Grid | Things):
        return {}
    pictures, true, names = scenes(probe)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for picture in pictures:
        for way, outputs in _looked(bundle, picture).items():
            (answer,) = answers(outputs, decoding, bundle.manifest.labels)
            corners = [[b.x0, b.y0, b.x1, b.y1] for b in answer.boxes]
            said = cells(answer) if isinstance(decoding, Grid) else occupied(np.reshape(corners, (-1, 4)))
            found.setdefault(way, []).append(said)
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


def _looked(bundle: Bundle, picture: NDArray[np.uint8]) -> dict[str, Outputs]:
    """What the bundle's models give for a picture, by the way in which it is answered; the filter lets everything pass."""
    parts, found, early = Parts(bundle), {}, None
    if "head" in parts.manifest.parts and (first := parts.manifest.first) != "head":
        early = parts.run(first, parts.sample(first, picture))[EARLY]
    if "local" in parts.manifest.parts:
        further = early if parts.manifest.parts["local"].inputs[0].name == EARLY else None
        found["local"] = parts.run("local", parts.sample("local", picture) if further is None else further)
    if "head" in parts.manifest.parts:
        crossing = parts.run("head", parts.sample("head", picture) if early is None else early)
        found["split"] = parts.run("tail", crossing[parts.manifest.parts["head"].outputs[0].name])
    return found
