"""A tiny classifier that really looks at its pictures, and pictures for it: what the tests of `split quick` cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from edgewise.graph.cut import split
from edgewise.graph.load import load
from edgewise.graph.reference import evaluate
from edgewise.graph.sketch import Sketch

SIDE, CLASSES = 16, 4


def pictures(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy stripes of four kinds (count, 16, 16, 3), and their kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, CLASSES, count)
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = np.stack([np.sin(x * 1.6), np.sin(y * 1.6), np.sin((x + y) * 0.8), np.sin((x - y) * 0.8)])
    grey = 128 + 60 * waves[kind] + rng.normal(0, 25, (count, SIDE, SIDE))
    tint = rng.uniform(0.7, 1.0, (count, 1, 1, 3))
    return np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8), kind


def classifier(batch: int | str = "batch") -> Any:
    """Random convolutions, and a last layer solved by least squares on 300 pictures."""
    s = Sketch("stripes", seed=3)
    x = s.conv(s.input("x", 3, SIDE, SIDE, batch=batch), 8)
    x = s.conv(s.pool(x), 16)
    model = load(s.model(s.dense(s.flat_mean(s.conv(s.pool(x), 24)), CLASSES)).SerializeToString())
    seen, kind = pictures(300, 1)
    last = model.graph.node[-1]
    head, _ = split(model, last.input[0])
    values = (seen / 255).transpose(0, 3, 1, 2).astype(np.float32)
    free = isinstance(batch, str)
    parts = [values] if free else [values[i : i + 1] for i in range(len(values))]
    features = np.concatenate([evaluate(head, {"x": p}, optimise=True)[last.input[0]] for p in parts])
    design = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    solved, *_ = np.linalg.lstsq(design, 8 * np.eye(CLASSES)[kind], rcond=1e-6)
    transposed = any(a.name == "transB" and a.i for a in last.attribute)
    weights = {last.input[1]: solved[:-1].T if transposed else solved[:-1], last.input[2]: solved[-1]}
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights[tensor.name], np.float32), tensor.name))
    return model


def folder(path: Path, count: int = 90, seed: int = 2) -> Path:
    """A folder of PNG pictures."""
    path.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures(count, seed)[0]):
        Image.fromarray(picture).save(path / f"{i:03}.png")
    return path
