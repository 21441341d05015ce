"""The networks of paper 8 timed: whole, BottleFit's parts, an autoencoder's, their coders, and the anchors of the boards.

All in turns in one run, kept in the work folder; `ways` makes of them the four ways to answer a picture of 224 × 224:

    local         the whole network on the device
    offload       the picture as a JPEG file (the pack's own, about q75: their mean size), decoded and answered on the server
    BottleFit     three channels of 29 × 29 in 8 bits, packed without an entropy coder, as published
    autoencoder   three channels of its own map (ResNet: 28 × 28, DenseNet: 14 × 14), likewise

It does not know accuracy: the published loss is at most 0.6 points, of an autoencoder we have no figure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from bench.jobs import Advance, Job, Size
from bench.rates import published, timing
from bench.rates.boards import Effort
from bench.rates.imagenette import PACK
from bench.rates.timing import Timed
from bench.rates.ways import Way
from edgewise.codec.image import ImageCodec
from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck
from edgewise.core.wire import FRAME_HEADER
from edgewise.data.pack import open_pack
from edgewise.data.picture import read_picture

FILE = "published.json"
MODELS = ("ResNet-152", "DenseNet-169")
CHANNELS = 3
FILES = 400  # of the pack, whose mean size is that of an offloaded picture


class Figures(Struct, frozen=True, forbid_unknown_fields=True):
    """What one run measured: pieces by name, coders among them, and mean bytes of the pack's JPEG files."""

    models: tuple[str, ...]
    pieces: dict[str, Timed]
    picture: float


def jobs(seed: int = 0, size: Size = "full") -> list[Job]:
    """One job: the published networks timed in turns with their parts, their coders and the boards' anchors."""
    return [Job("published", "bench.rates.published_timed:measure", (FILE,), {"size": size}, priority=5)] if seed == 0 else []


def measure(work: Path, advance: Advance, size: Size = "full") -> None:
    """Time what the claims need, and keep it in the work folder."""
    models = ("ResNet-50",) if size == "quick" else MODELS
    drawn: dict[str, bytes] = {"ResNet-50": published.whole("ResNet-50"), "MobileNetV2": published.mobilenet_v2()}
    drawn["ResNet-50, 256×256"] = published.resnet50(256)
    for model in models:
        head, tail = published.bottlefit(model, CHANNELS)
        far, near = published.middle(model, CHANNELS)
        drawn |= {model: published.whole(model), f"{model} BottleFit head": head, f"{model} BottleFit tail": tail}
        drawn |= {f"{model} autoencoder head": far, f"{model} autoencoder tail": near}
    sizes = {name: timing.size(model) for name, model in drawn.items()}
    runs = {name: timing.network(model) for name, model in drawn.items()}
    picture, files = _pictures()
    runs |= _coders(picture)
    budget = 4.0 if size == "quick" else 45.0
    found = timing.in_turns(runs, budget, advance=lambda share: advance("published networks in turns", share))
    pieces = {name: Timed(seconds, sizes.get(name, timing.Size(0, 0.0))) for name, seconds in found.items()}
    (work / FILE).write_bytes(msgspec.json.encode(Figures(models, pieces, float(np.mean(files)))))


def ways(model: str, figures: Figures) -> dict[str, Way]:
    """The four ways to answer with a network: local, offload, BottleFit, autoencoder."""

    def busy(name: str) -> float:
        return figures.pieces[name].seconds.busy

    frame = FRAME_HEADER + float(CHANNELS * 29 * 29)
    encode, decode = busy("codes to bytes"), busy("bytes to codes")
    far = FRAME_HEADER + float(CHANNELS * (28 * 28 if model in published.RESNETS else 14 * 14))
    return {
        "local": Way("local", "local", 0.0, Effort(busy(model))),
        "offload": Way(
            "offload", "image", FRAME_HEADER + figures.picture, Effort(0, busy("JPEG")), Effort(busy(model), busy("JPEG back"))
        ),
        "BottleFit": Way(
            "BottleFit",
            "split",
            frame,
            Effort(busy(f"{model} BottleFit head"), encode),
            Effort(busy(f"{model} BottleFit tail"), decode),
        ),
        "autoencoder": Way(
            "autoencoder",
            "split",
            far,
            Effort(busy(f"{model} autoencoder head"), encode),
            Effort(busy(f"{model} autoencoder tail"), decode),
        ),
    }


def _pictures() -> tuple[Any, list[int]]:
    """One picture of 224 × 224 and the sizes of some files of the pack, drawn by a seed."""
    pack = open_pack(PACK)
    names = [n for n in pack.names if "/val/" in n]
    drawn = [names[i] for i in np.random.default_rng(5).permutation(len(names))[:FILES]]
    files = [pack.read(n) for n in drawn]
    shown = (read_picture(f, n) for f, n in zip(files, drawn, strict=True))
    side = published.SIDE
    picture = next(p[:side, :side] for p in shown if min(p.shape[:2]) >= side)
    return np.ascontiguousarray(picture), [len(f) for f in files]


def _coders(picture: Any) -> dict[str, Callable[[], object]]:
    """JPEG at q75 and codes of 8 bits of a bottleneck of 3 × 29 × 29, both ways."""
    jpeg = ImageCodec("jpeg", 75)
    codes = TensorCodec(Bottleneck((CHANNELS, 29, 29), (-2.0,) * CHANNELS, (2.0,) * CHANNELS), 8)
    features = np.random.default_rng(1).standard_normal((1, CHANNELS, 29, 29)).astype(np.float32)
    file, frame = jpeg.encode(picture), codes.encode(features)
    return {
        "JPEG": lambda: jpeg.encode(picture),
        "JPEG back": lambda: jpeg.decode(file),
        "codes to bytes": lambda: codes.encode(features),
        "bytes to codes": lambda: codes.decode(frame),
    }
