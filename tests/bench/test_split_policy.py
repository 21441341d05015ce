"""Of two points of the coder the larger one is offered only where it sees more than the smaller one."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from bench.split_policy import offered
from edgewise.apps.vision.bundles import find
from edgewise.core.placement import OperatingPoint
from edgewise.data.boxes import COLUMNS, ROWS, occupied
from edgewise.runtime.bundle import read_manifest
from edgewise.training.frames import Frames, padded

N = 24


def scene() -> Frames:
    boxes = np.stack([padded(np.array([[0.1, 0.1, 0.4, 0.4], [0.6, 0.5, 0.9, 0.8]])) for _ in range(N)])
    return Frames(np.zeros((N, 1, 1, 3), np.uint8), boxes, ("clear",) * N, tuple(f"s{i // 2}" for i in range(N)))


def test_a_point_that_says_nothing_more_is_not_offered() -> None:
    frames = scene()
    true = np.stack([occupied(frames.corners(i)) for i in range(N)])
    noise = np.random.default_rng(0).random((N, ROWS, COLUMNS)) < 0.02
    cells = {"small": true ^ noise, "same": true ^ noise, "better": true}
    sizes = {"small": 100.0, "same": 200.0, "better": 300.0}
    coded = tuple(OperatingPoint(name, "split", "rans", 4, size) for name, size in sizes.items())
    manifest = read_manifest(find("vehicles"))
    found, rows = offered(replace(manifest, points=(*manifest.points, *coded), codings={}), cells, frames)
    names = [p.name for p in found.points]
    assert "small" in names and "better" in names and "same" not in names
    assert {p.name for p in manifest.points} <= set(names)
    gains = {r.metric: r for r in rows if r.case == "better"}
    assert gains["cell F1 above small"].low > 0 and "cell F1 above same" not in gains
