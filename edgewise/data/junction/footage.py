"""Rendered frames with their whole truth, to judge detectors of things on: picture, scene, weather and block of each.

Seeds below 100 are for showing, 100–199 for testing, 200–299 for choosing (`edgewise.data.junction.scene`). Frames of one
seed are one block for the bootstrap. Frames come one after the other, for hundreds of pictures are many megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgewise.data.junction import Junction
from edgewise.data.junction.weather import CONDITIONS, Condition
from edgewise.data.things import Scene

LABEL = "vehicle"
APART = 23.0  # s between two frames of a scene: most of the traffic has changed


class Seen(Struct, frozen=True):
    """One frame: `image` (360, 640, 3; RGB), what is true of it, the weather, and the block that it belongs to."""

    image: NDArray[np.uint8]
    truth: Scene
    condition: str
    block: str


def footage(
    seeds: Sequence[int], times: int = 1, conditions: Sequence[Condition] = CONDITIONS, empty: bool = False
) -> Iterator[Seen]:
    """`times` frames in each of the `conditions` for each seed; `empty` roads have no vehicle."""
    for seed in seeds:
        junction = Junction(seed, empty=empty)
        generator = np.random.default_rng([seed, 13])
        for condition in conditions:
            junction.set_condition(condition)
            start = generator.uniform(0, 200)
            for number in range(times):
                seen = junction.render(start + number * APART)
                label = (LABEL,) * len(seen.boxes)
                truth = Scene(seen.boxes, label, seen.mask, seen.identity, seen.corners)
                yield Seen(seen.image, truth, condition, f"junction {seed}")
