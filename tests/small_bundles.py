"""Small bundles of other kinds than the shipped one, whose answers are known by heart.

colours   pictures 24 × 16; which of red, green, blue is strongest. Its filter lets pass what is bright
sound     64 samples, no picture; their mean; batches of one alone
tokens    pictures 8 × 8; features of 5 tokens × 4 channels, as a ViT has them
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewise.codec.fitted import coding_for
from edgewise.core.artifact import Bottleneck, Classes, Coding, Filter, Manifest, Picture, Raw
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.runtime.bundle import write_bundle
from edgewise.split.doubt import Calibrated
from edgewise.split.exits import Convolved, Plain, with_exit

COLOURS = ("red", "green", "blue")
WORTH = {"all": Quality(0.9, 0.9, 0.9, 9)}
POOR = {"all": Quality(0.5, 0.5, 0.5, 9)}
BRIGHT = 0.3  # the filter's threshold
DOUBT = 0.3  # the exit's
WIDTH, HEIGHT = 24, 16


def model(inputs: dict[str, tuple], outputs: dict[str, list], nodes: list[Any], **constants: Any) -> bytes:
    """An ONNX model; `inputs` by name: type and shape, `outputs` by name: shape."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def node(kind: str, taken: list[str], given: str, **how: Any) -> Any:
    return helper.make_node(kind, taken, [given], **how)


PICTURE = {"picture": (TensorProto.UINT8, ["n", HEIGHT, WIDTH, 3])}
SCALED = [
    node("Cast", ["picture"], "floats", to=TensorProto.FLOAT),
    node("Div", ["floats", "white"], "scaled"),
    node("Transpose", ["scaled"], "planes", perm=[0, 3, 1, 2]),
    node("AveragePool", ["planes"], "early", kernel_shape=[2, 2], strides=[2, 2]),
]
WHITE = np.array(255, np.float32)
EARLY = ["n", 3, HEIGHT // 2, WIDTH // 2]


def pooled(of: str) -> list[Any]:
    return [node("GlobalAveragePool", [of], "pooled"), node("Flatten", ["pooled"], "scores")]


def colours(folder: Path, learn: float = 0.0, full: bool = True) -> Manifest:
    """A filter, head, tail and local model; `full` for whole pictures, or else filter, head and tail."""
    present = node("ReduceMean", ["early"], "present", axes=[1, 2, 3], keepdims=0)
    whole = model(PICTURE, {"scores": ["n", 3]}, [*SCALED, *pooled("early")], white=WHITE)
    parts = {
        "filter": model(PICTURE, {"present": ["n"], "early": EARLY}, [*SCALED, present], white=WHITE),
        "head": model(
            {"early": (TensorProto.FLOAT, EARLY)},
            {"features": EARLY},
            [node("Add", ["early", "nothing"], "features")],
            nothing=np.zeros(1, np.float32),
        ),
        "tail": model({"features": (TensorProto.FLOAT, EARLY)}, {"scores": ["n", 3]}, pooled("features")),
        "local": whole,
    } | ({"full": whole + b""} if full else {})
    look = Picture(WIDTH, HEIGHT)
    shape = (3, HEIGHT // 2, WIDTH // 2)
    bottleneck = Bottleneck(shape, (0.0,) * 3, (1.0,) * 3)
    draw = np.random.default_rng(0)
    seen = [draw.random((1, *shape)).astype(np.float32) for _ in range(8)]
    points = (
        OperatingPoint("local", "local", device_time=0.001, quality=POOR),
        OperatingPoint("split", "split", "rans", 0, bytes_up=400.0, device_time=0.002, edge_time=0.001, quality=WORTH),
        OperatingPoint("jpeg-90", "image", "jpeg", 90, bytes_up=900.0, device_time=0.001, edge_time=0.001, quality=WORTH),
    )
    return write_bundle(
        folder,
        name="colours",
        task="classification",
        labels=COLOURS,
        parts=parts,  # type: ignore[arg-type]
        pictures={"filter": look, "local": look} | ({"full": look} if full else {}),
        bottleneck=bottleneck,
        decoding=Classes("scores", top=1, logits=False),
        points=points,
        provenance={},
        codings={"split": coding_for(bottleneck, seen, [64] * 3, [0, 1, 2], 3)},
        filter=Filter(BRIGHT, recall=0.95, confidence=0.95, n=100, of="red", learn=learn),
    )


def shades(folder: Path) -> Manifest:
    """As `colours`, without a filter: an exit in the head is sure of what is bright (doubt below DOUBT), and two in three are."""
    parts = {
        "head": model(PICTURE, {"features": EARLY}, [*SCALED, node("Add", ["early", "nothing"], "features")], white=WHITE,
                      nothing=np.zeros(1, np.float32)),
        "tail": model({"features": (TensorProto.FLOAT, EARLY)}, {"scores": ["n", 3]}, pooled("features")),
    }  # fmt: skip
    shape = (3, HEIGHT // 2, WIDTH // 2)
    bottleneck = Bottleneck(shape, (0.0,) * 3, (1.0,) * 3)
    draw = np.random.default_rng(0)
    seen = [draw.random((1, *shape)).astype(np.float32) for _ in range(8)]
    points = (
        OperatingPoint("split", "split", "rans", 0, bytes_up=400.0, device_time=0.002, edge_time=0.001, quality=WORTH),
        OperatingPoint("jpeg-90", "image", "jpeg", 90, bytes_up=900.0, device_time=0.001, edge_time=0.001, quality=POOR),
    )
    write_bundle(
        folder / "plain",
        name="shades",
        task="classification",
        labels=COLOURS,
        parts=parts,  # type: ignore[arg-type]
        pictures={"head": Picture(WIDTH, HEIGHT)},
        bottleneck=bottleneck,
        decoding=Classes("scores", top=1, logits=False),
        points=points,
        provenance={},
        codings={"split": coding_for(bottleneck, seen, [64] * 3, [0, 1, 2], 3)},
    )
    as_it_is = np.eye(3, dtype=np.float32)
    plain = Plain((Convolved(as_it_is[:, :, None, None], np.zeros(3, np.float32), 1),), as_it_is, np.zeros(3, np.float32))
    known = Calibrated(DOUBT, risk=0.01, confidence=0.95, n=300, seen=0.0, left=2 / 3)
    return with_exit(folder / "plain", folder / "exit", "early", plain, known, "split", WORTH["all"])


def painted(colour: int, value: int) -> np.ndarray:
    """A picture (48, 72, 3) of one colour; below 0.9 · 255 of it, the filter finds it dark."""
    picture = np.zeros((48, 72, 3), np.uint8)
    picture[..., colour] = value
    return picture


def sound(folder: Path) -> Manifest:
    """No picture anywhere; the batch is fixed at one."""
    parts = {
        "head": model(
            {"sound": (TensorProto.FLOAT, [1, 1, 64])},
            {"features": [1, 1, 64]},
            [node("Mul", ["sound", "two"], "features")],
            two=np.array(2, np.float32),
        ),
        "tail": model(
            {"features": (TensorProto.FLOAT, [1, 1, 64])},
            {"mean": [1, 1]},
            [node("ReduceMean", ["features"], "mean", axes=[2], keepdims=0)],
        ),
        "local": model(
            {"sound": (TensorProto.FLOAT, [1, 1, 64])},
            {"mean": [1, 1]},
            [node("ReduceMean", ["sound"], "half", axes=[2], keepdims=0), node("Mul", ["half", "two"], "mean")],
            two=np.array(2, np.float32),
        ),
    }
    return _featured(folder, "sound", parts, Bottleneck((1, 64), (-4.0,), (4.0,)), {})


def tokens(folder: Path) -> Manifest:
    """8 × 8 pictures; 5 tokens of 4 channels, which is the last dimension."""
    picture = {"picture": (TensorProto.UINT8, ["n", 8, 8, 3])}
    draw = np.random.default_rng(1)
    parts = {
        "head": model(
            picture,
            {"features": ["n", 5, 4]},
            [
                node("Cast", ["picture"], "floats", to=TensorProto.FLOAT),
                node("Flatten", ["floats"], "flat"),
                node("MatMul", ["flat", "weights"], "all"),
                node("Reshape", ["all", "shape"], "features"),
            ],
            weights=(draw.normal(size=(192, 20)) / 2000).astype(np.float32),
            shape=np.array([-1, 5, 4], np.int64),
        ),
        "tail": model(
            {"features": (TensorProto.FLOAT, ["n", 5, 4])},
            {"mean": ["n", 4]},
            [node("ReduceMean", ["features"], "mean", axes=[1], keepdims=0)],
        ),
    }
    return _featured(folder, "tokens", parts, Bottleneck((5, 4), (-4.0,) * 4, (4.0,) * 4, axis=1), {"head": Picture(8, 8)})


def _featured(folder: Path, name: str, parts: dict[str, bytes], bottleneck: Bottleneck, pictures: dict[str, Picture]) -> Manifest:
    draw = np.random.default_rng(2)
    seen = [draw.normal(0, 1, (1, *bottleneck.shape)).astype(np.float32) for _ in range(8)]
    channels = bottleneck.channels
    coding: Coding = coding_for(bottleneck, seen, [256] * channels, range(channels), min(2, channels))
    points = [OperatingPoint("split", "split", "rans", 0, bytes_up=100.0, device_time=0.001, edge_time=0.001, quality=WORTH)]
    if "local" in parts:
        points.append(OperatingPoint("local", "local", device_time=0.001, quality=POOR))
    return write_bundle(
        folder,
        name=name,
        task="other",
        labels=(),
        parts=parts,  # type: ignore[arg-type]
        pictures=pictures,
        bottleneck=bottleneck,
        decoding=Raw(),
        points=tuple(points),
        provenance={},
        codings={"split": coding},
    )
