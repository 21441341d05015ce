"""The trained networks of `bench.adapt.models` as bundles: what `edgewise adapt` and the replays of the benchmark begin with.

Normalisation stays unfolded and every parameter has its path, so that deltas can change it. The same network is `local` and
`full`: a device answers by itself, and pictures may go up. Times and bytes of the points are measured here, on one thread;
their quality is that of the record, clean, on the pictures for choosing. It does not know shifts.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import torch

from bench.adapt.models import LOOKS, Data, Fitted, Role, pictures, record_file, taken
from bench.adapt.nets import OfBytes
from edgewise.adapt.replay import WIDE
from edgewise.codec.image import ImageCodec
from edgewise.core.artifact import Manifest, Picture
from edgewise.core.decoding import Classes
from edgewise.core.placement import OperatingPoint, Quality
from edgewise.runtime.bundle import write_bundle
from edgewise.runtime.session import Session
from edgewise.runtime.timing import time_session
from edgewise.training.export import exported, parameters

LEVEL = 85  # of JPEG
MEASURED = 64  # pictures that a mean of bytes is of


def bundle(work: Path, folder: Path, data_set: Data, role: Role = "student", seed: int = 0, limit: int = 0) -> Manifest:
    """Write the bundle of a network that `fit` left in `work`; `limit` as there."""
    look, about = LOOKS[data_set], msgspec.json.decode(record_file(work, data_set, role, seed).read_bytes(), type=Fitted)
    net = OfBytes(taken(work, data_set, role, seed), look)
    model = exported(net, torch.zeros(2, look.height, look.width, 3, dtype=torch.uint8), "picture", ["scores"], unfold=True)
    album = pictures(data_set, "choose", work, limit)
    codec = ImageCodec("jpeg", LEVEL)
    chosen = np.linspace(0, len(album) - 1, min(MEASURED, len(album))).round().astype(int).tolist()
    sent = float(np.mean([len(codec.encode(album.of(i))) for i in chosen]))
    busy = round(time_session(Session.load(model)).busy, 6)
    worth = {"all": Quality(about.clean, *_interval(about.clean, about.n), about.n)}
    return write_bundle(
        folder,
        name=f"{data_set}-{role}",
        task="classification",
        labels=album.names,
        parts={"local": model, "full": model},
        pictures={part: Picture(look.width, look.height) for part in ("local", "full")},
        bottleneck=None,
        decoding=Classes("scores", top=1),
        points=(
            OperatingPoint("local", "local", device_time=busy, quality=worth),
            OperatingPoint(f"jpeg-{LEVEL}", "image", "jpeg", LEVEL, bytes_up=round(sent, 1), edge_time=busy, quality=worth),
        ),
        provenance={"trained": f"bench/adapt/models.py, {about.steps} steps, seed {seed}", "data": data_set},
        parameters={path: p for part in ("local", "full") for path, p in parameters(part, net, model).items()},
    )


def _interval(share: float, n: int) -> tuple[float, float]:
    """95 %, by the normal approximation."""
    wide = WIDE * math.sqrt(max(share * (1 - share), 1e-9) / max(n, 1))
    return max(share - wide, 0.0), min(share + wide, 1.0)
