"""A model that three affine values can save: which of three colours is strongest, seen through a tinted glass.

    picture → pooled → 1 × 1 convolution (identity) → batch normalisation → pooled → scores

At home the strongest channel wins. The tint takes most of one colour and adds to another, so that the model is wrong about half
of the time; the teacher is the same model with scale and shift that undo the tint. A bad teacher says another colour each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgewise.core.artifact import Classes, Manifest, Picture
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.runtime.bundle import write_bundle

COLOURS = ("red", "green", "blue")
SIDE = 16
TINT = np.array([0.35, 1.0, 1.0]), np.array([0.0, 60.0, 0.0])  # times, plus
SHARP = 8.0


def network(scale: NDArray[Any], shift: NDArray[Any], colours: int = 3) -> bytes:
    held = {
        "white": np.array(255, np.float32),
        "conv.weight": np.eye(3, dtype=np.float32)[:, :, None, None],
        "norm.weight": scale.astype(np.float32),
        "norm.bias": shift.astype(np.float32),
        "norm.running_mean": np.full(3, 0.5, np.float32),
        "norm.running_var": np.full(3, 0.04, np.float32),
        "fc.weight": (SHARP / 5 * np.eye(3, dtype=np.float32))[:, np.arange(colours) % 3],
    }
    nodes = [
        helper.make_node("Cast", ["picture"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "conv.weight"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"], ["n"]),
        helper.make_node("GlobalAveragePool", ["n"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("MatMul", ["q", "fc.weight"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "school",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", colours])],
        [numpy_helper.from_array(v, n) for n, v in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def school(folder: Path) -> Manifest:
    """The bundle `colours`, as it left home."""
    model = network(np.ones(3), np.zeros(3))
    quality = {"all": Quality(0.9, 0.9, 0.9, 9)}
    return write_bundle(
        folder,
        name="colours",
        task="classification",
        labels=COLOURS,
        parts={"local": model, "full": model},
        pictures={"local": Picture(SIDE, SIDE), "full": Picture(SIDE, SIDE)},
        bottleneck=None,
        decoding=Classes("scores", top=1, logits=True),
        points=(
            OperatingPoint("local", "local", device_time=0.001, quality=quality),
            OperatingPoint("jpeg-90", "image", "jpeg", 90, bytes_up=900.0, device_time=0.001, edge_time=0.001, quality=quality),
        ),
        provenance={},
    )


def teacher(file: Path, good: bool = True, colours: int = 3) -> Path:
    """A teacher that undoes the tint, or one that is sure of another colour."""
    times, plus = TINT
    scale, shift = 1 / times, ((0.5 - plus / 255) / times - 0.5) / 0.2
    model = network(scale, shift, colours)
    if not good:
        model = network(-4 * scale, -4 * shift, colours)
    file.write_bytes(model)
    return file


def scene(colour: int, seed: int, tinted: bool) -> NDArray[np.uint8]:
    """A noisy picture (SIDE, SIDE, 3) in which one colour is the strongest."""
    draw = np.random.default_rng([colour, seed])
    base = draw.uniform(60, 150, 3)
    base[colour] = base.max() + draw.uniform(15, 50)
    pixels = base + draw.normal(0, 12, (SIDE, SIDE, 3))
    if tinted:
        pixels = pixels * TINT[0] + TINT[1]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def pictures(folder: Path, count: int, tinted: bool, seed: int = 0) -> Path:
    """A folder of such pictures, colours in turn."""
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(scene(i % 3, seed + i, tinted)).resize((48, 48), Image.Resampling.NEAREST).save(folder / f"{i:04}.png")
    return folder
