"""A model that costs nothing: a bundle whose head, tail and local part hand out prepared outputs, so that only our code counts.

Everything around the parts is the real thing: pictures are fitted, features quantised, packed and deflated, frames decoded,
batches formed, boxes chosen from the maps. The features are noise around a mean, sized so that a frame carries 20 KB; real
features of the shipped head are smaller and more regular, so this is the heavier case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck, Grid, Manifest, PartFile, Picture, TensorSpec
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.runtime.bundle import Bundle

PAYLOAD = 20_000  # bytes of a frame's features, about
POINT = "split"
BITS = 8
SHAPE = (12, 45, 40)
MAP = (45, 80)  # rows, columns of the detector's maps
ROWS, COLUMNS = 23, 40
VEHICLES = 12
_ALL = {"all": Quality(0.9, 0.9, 0.9, 1)}
_WORSE = {"all": Quality(0.5, 0.5, 0.5, 1)}


class PreparedSession:
    """Stands where a Session does; `run` takes no time to speak of."""

    def __init__(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        self._outputs = outputs

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        batch = len(next(iter(feeds.values())))
        return {name: np.broadcast_to(value, (batch, *value.shape[1:])) for name, value in self._outputs.items()}


class PreparedBundle:
    """Stands where a Bundle does: `manifest`, `address`, `session`."""

    def __init__(self) -> None:
        self.manifest = manifest()
        self.address = self.manifest.address
        detections = maps()
        self._sessions = {
            "head": PreparedSession({"features": features(0)}),
            "tail": PreparedSession(detections),
            "local": PreparedSession(detections),
        }

    def session(self, part: str, threads: int = 1, providers: tuple[str, ...] | None = None) -> PreparedSession:
        return self._sessions[part]


def bundle() -> Bundle:
    """The prepared bundle, where a Bundle is asked for."""
    return cast(Bundle, PreparedBundle())


def manifest() -> Manifest:
    picture = TensorSpec("picture", "uint8", (None, 360, 640, 3))
    carried = TensorSpec("features", "float32", (None, *SHAPE))
    outputs = tuple(TensorSpec(n, "float32", (None, *v.shape[1:])) for n, v in maps().items())
    parts = {
        "head": PartFile("head.onnx", "0" * 64, 0, (picture,), (carried,)),
        "tail": PartFile("tail.onnx", "1" * 64, 0, (carried,), outputs),
        "local": PartFile("local.onnx", "2" * 64, 0, (picture,), outputs),
    }
    points = (
        OperatingPoint("drop", "drop"),
        OperatingPoint("local", "local", device_time=1e-3, quality=_WORSE),
        OperatingPoint(POINT, "split", "affine", BITS, PAYLOAD, 400, 2e-3, 1e-3, _ALL),
    )
    return Manifest(
        name="prepared",
        task="detection",
        labels=("vehicle",),
        parts=parts,
        pictures={"head": Picture(640, 360), "local": Picture(640, 360)},
        bottleneck=bottleneck(),
        decoding=Grid(0.5, 0.5, 0.5, ROWS, COLUMNS),
        points=points,
        provenance={"made by": "bench/standin.py"},
    )


def bottleneck() -> Bottleneck:
    return Bottleneck(SHAPE, (-4.0,) * SHAPE[0], (4.0,) * SHAPE[0])


def features(seed: int) -> NDArray[np.float32]:
    """(1, channel, height, width) of normal noise, within the ranges of the bottleneck."""
    noise = np.random.default_rng(seed).normal(0, 1.2, (1, *SHAPE))
    return np.clip(noise, -4, 4).astype(np.float32)


def payloads(count: int = 8) -> list[bytes]:
    """What a device puts into a frame, `count` different ones."""
    codec = TensorCodec(bottleneck(), BITS)
    return [codec.encode(features(seed)) for seed in range(count)]


def maps() -> dict[str, NDArray[np.float32]]:
    """Outputs of a detector (batch 1) that sees VEHICLES vehicles, as a graph with suppressed non-peaks gives them."""
    generator = np.random.default_rng(1)
    score = np.zeros((1, 1, *MAP), np.float32)
    box = np.zeros((1, 4, *MAP), np.float32)
    for place in generator.choice(MAP[0] * MAP[1], VEHICLES, replace=False):
        row, column = divmod(int(place), MAP[1])
        x, y = column / MAP[1], row / MAP[0]
        score[0, 0, row, column] = 0.9
        box[0, :, row, column] = (x, y, min(1.0, x + 0.05), min(1.0, y + 0.05))
    occupied = (generator.random((1, 1, ROWS, COLUMNS)) < 0.2).astype(np.float32)
    return {"score": score, "box": box, "occupied": occupied}
