"""How a bundle of `split fit` was made, in words and figures for its manifest; no path of this machine stands in it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgewise.split.lesson import Lesson

if TYPE_CHECKING:
    from edgewise.split.fit import Fit

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


def provenance(config: Fit, read: Lesson, judged: int, measure: str, trained: str) -> dict[str, str]:
    """`trained` says recipe, epochs, β and seconds; `judged` pictures are behind the points' quality, whose name is `measure`."""
    gallery = read.gallery
    model = Path(config.model).name
    shown = msgspec.structs.replace(config, model=model, out=Path(), work=None, data=Path(config.data.name), weights=None)
    drawn = "as its file has them" if model.lower().endswith(".onnx") else "as built"
    return {
        "command": "edgewise split fit",
        "config": msgspec.json.encode(shown, enc_hook=str).decode(),
        "teacher": f"{model}, weights {config.weights.name if config.weights else drawn}",
        "data": f"{len(gallery)} pictures of {config.data.name}, {len(gallery.left)} left out; {_labels(config, read)}",
        "trained": trained,
        "seed": str(config.seed),
        "quality": f"{measure}, on {judged} pictures that taught nothing, in stretches of each folder, {len(read.unused)} "
        "neighbours between them and what taught left out; 95 % intervals by bootstrap over neighbours",
        "times": f"measured, median processor time of 1 thread, {platform.machine()}, onnxruntime; neither waiting nor link",
        "bytes": "measured, mean payload, without frame header",
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
    }


def _labels(config: Fit, read: Lesson) -> str:
    """What labels were for."""
    if read.labels is None or not config.supervised:
        return "no labels were learned from"
    taught = sum(read.labels.classes[i] >= 0 for i in read.learn)
    return f"{taught} labels ({read.labels.of}) were learned from"
