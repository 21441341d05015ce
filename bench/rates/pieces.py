"""Every recipe's head and tail as ONNX, and the coders between them: the pieces whose seconds latency and energy are made of.

Weights are drawn, not trained: no network here takes longer or shorter for what its weights are, and a coder is given codes as
sparse as trained ones. The teacher is the benchmark's ResNet-10 for pictures of 128 × 128. A head begins with the normalised
picture and ends with what is quantised; a tail begins with dequantised values and ends with the classes, so that it holds the
decoder too. At another size there are heads alone.

    teacher, local w16, w24      the whole network                       exit layer1 … 3   up to there, with the exit
    entropic                     the paper's widths, stem and layer1     entropic-narrow   the widths that the benchmark trains
    lean                         ours, stem to layer2                    bottlefit-3, -12  the paper's front, stem to layer2
    ghnd                         CR + BQ: stem, then GHND for layer1     mid               the network up to layer2, kept
    factorised                   a picture codec, then the teacher

It does not know bytes or accuracy (`bench.rates.record`), nor machines other than this (`bench.rates.boards`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from PIL import Image
from torch import Tensor, nn

from bench.rates.imagenette import PACK
from bench.rates.local import WIDTHS
from bench.rates.pictures import KINDS
from edgewise.codec.features import FeatureCodec
from edgewise.codec.fitted import coding_for
from edgewise.codec.image import ImageCodec, there
from edgewise.codec.tensor import TensorCodec
from edgewise.core.artifact import Bottleneck
from edgewise.data.pack import open_pack
from edgewise.data.picture import read_picture
from edgewise.split.training.bottleneck import Geometry, Split
from edgewise.split.training.designs import design as designed
from edgewise.split.training.exits import Exit
from edgewise.split.training.stretch import stretch
from edgewise.training.export import exported
from edgewise.training.nets.resnet import ResNet, resnet10

SIDE = 128
SPREAD = 0.2  # of codes about their centre: 8 % of them are another
QUALITY = {"jpeg": 10, "webp": 6, "avif": 22}  # near the teacher less two points
EXITS = ("layer1", "layer2", "layer3")
BEHIND = ("stem", "layer1", "layer2", "layer3", "layer4", "pool", "fc")


class Cut(Struct, frozen=True):
    """A design (`edgewise.split.training.designs`) at a stretch of the teacher; `channels` 0: the design's own."""

    at: str
    design: str
    channels: int = 0


CUTS: Mapping[str, Cut] = {
    "entropic": Cut("stem..layer1", "entropic"),
    "entropic-narrow": Cut("stem..layer1", "entropic-narrow"),
    "lean": Cut("stem..layer2", "lean"),
    "bottlefit-3": Cut("stem..layer2", "bottlefit", 3),
    "bottlefit-12": Cut("stem..layer2", "bottlefit", 12),
    "bottlefit-3-slim": Cut("stem..layer2", "bottlefit-slim", 3),
    "ghnd": Cut("layer1", "ghnd", 3),
    "mid": Cut("layer2", "mid", 3),
}
CODEC = "factorised"  # the small picture codec: from a picture to a picture, before the whole teacher


def splits(
    side: int = SIDE, names: Sequence[str] = tuple(CUTS), tails: bool = True
) -> tuple[dict[str, bytes], dict[str, tuple[int, int, int]]]:
    """`NAME head` and `NAME tail` of these cuts and, with all of them, of the picture codec; shapes of what crosses by name."""
    torch.manual_seed(0)
    teacher = resnet10().eval()
    found: dict[str, bytes] = {}
    shapes: dict[str, tuple[int, int, int]] = {}
    picture = torch.zeros(2, 3, side, side)
    for name in names:
        cut = CUTS[name]
        at = stretch(teacher, cut.at, torch.randn(1, 3, side, side))
        kept = [at.last] if cut.design == "mid" else []
        geometry = Geometry(at.geometry.outside, at.geometry.outside) if kept else at.geometry
        split = _built(cut.design, geometry, cut.channels)
        head = nn.Sequential(*(getattr(teacher, path) for path in (*_ahead(at.first), *kept)), split.encoder).eval()
        with torch.no_grad():
            crossing = head(picture)
        found[f"{name} head"] = exported(head, picture, "picture", ["bottleneck"])
        shapes[name] = tuple(crossing.shape[1:])
        if tails:
            rest = [getattr(teacher, path) for path in BEHIND[BEHIND.index(at.last) + 1 :]]
            tail = nn.Sequential(split.decoder, split.fitted, *rest).eval()
            found[f"{name} tail"] = exported(tail, torch.zeros_like(crossing), "bottleneck", ["classes"])
    if tails and len(names) == len(CUTS):
        split = _built(CODEC, Geometry((3, side, side), (3, side, side)))
        with torch.no_grad():
            crossing = split.encoder(picture)
        found[f"{CODEC} head"] = exported(split.encoder, picture, "picture", ["bottleneck"])
        whole = nn.Sequential(split.decoder, split.fitted, teacher).eval()
        found[f"{CODEC} tail"] = exported(whole, torch.zeros_like(crossing), "bottleneck", ["classes"])
        shapes[CODEC] = tuple(crossing.shape[1:])
    return found, shapes


def wholes(side: int = SIDE, exits: bool = True) -> dict[str, bytes]:
    """The teacher, the small networks, and the teacher in two behind each layer that has an exit."""
    torch.manual_seed(0)
    teacher, picture = resnet10().eval(), torch.zeros(2, 3, side, side)
    nets: dict[str, nn.Module] = {"teacher": teacher}
    nets |= {f"local {name}": ResNet(10, widths) for name, widths in WIDTHS.items()}
    found = {name: exported(net.eval(), picture, "picture", ["classes"]) for name, net in nets.items()}
    for path in EXITS if exits else ():
        behind = BEHIND.index(path) + 1
        front = nn.Sequential(*(getattr(teacher, p) for p in BEHIND[:behind]))
        with torch.no_grad():
            crossing = front(picture)
        early = _Early(front, Exit(crossing.shape[1], 10)).eval()
        rest = nn.Sequential(*(getattr(teacher, p) for p in BEHIND[behind:])).eval()
        found[f"exit {path} head"] = exported(early, picture, "picture", ["early", "classes"])
        found[f"exit {path} tail"] = exported(rest, torch.zeros_like(crossing), "early", ["classes"])
    return found


def deflated(side: int = SIDE) -> dict[str, Callable[[], Any]]:
    """`exit LAYER encode` and `decode`: features in 8 bits and Deflate, as the exits' records have them."""
    torch.manual_seed(0)
    teacher = resnet10().eval()
    found: dict[str, Callable[[], Any]] = {}
    x = torch.randn(1, 3, side, side)
    for path in BEHIND[: BEHIND.index(EXITS[-1]) + 1]:
        with torch.no_grad():
            x = getattr(teacher, path)(x)
        if path in EXITS:
            values = x.numpy()
            held = Bottleneck(tuple(values.shape[1:]), (0.0,) * values.shape[1], (float(values.max()),) * values.shape[1])
            codec = TensorCodec(held, 8)
            found[f"exit {path} encode"] = partial(codec.encode, values)
            found[f"exit {path} decode"] = partial(codec.decode, codec.encode(values))
    return found


def coders(shapes: Mapping[str, tuple[int, int, int]]) -> dict[str, Callable[[], Any]]:
    """`NAME encode` and `NAME decode` of our coder on codes as sparse as trained ones, for each shape."""
    found: dict[str, Callable[[], Any]] = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(3)
        values = np.round(rng.laplace(0, SPREAD, (64, *shape))).astype(np.float32).clip(-7, 8)
        held = Bottleneck(shape, (-7.0,) * shape[0], (8.0,) * shape[0])
        every, centre = [16] * shape[0], [7] * shape[0]
        codec = FeatureCodec(held, coding_for(held, [values], every, range(shape[0]), context=True, centre=centre))
        one = np.ascontiguousarray(values[:1])
        found[f"{name} encode"] = partial(codec.encode, one)
        found[f"{name} decode"] = partial(codec.decode, codec.encode(one))
    return found


def pictures() -> dict[str, Callable[[], Any]]:
    """`KIND encode` and `KIND decode` of the codecs that this Pillow has, on a picture of the benchmark's pack."""
    pack = open_pack(PACK)
    name = next(n for n in pack.names if "/val/" in n)
    shown = Image.fromarray(read_picture(pack.read(name), name))
    one = np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    found: dict[str, Callable[[], Any]] = {}
    for kind in KINDS:
        if not there(kind):
            continue
        codec = ImageCodec(kind, QUALITY[kind], small=True)
        found[f"{kind} encode"] = partial(codec.encode, one)
        found[f"{kind} decode"] = partial(codec.decode, codec.encode(one))
    return found


class _Early(nn.Module):
    """What crosses, and the exit's classes."""

    def __init__(self, front: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.front, self.out = front, out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        early = self.front(x)
        return early, self.out(early)


def _built(design: str, geometry: Geometry, channels: int = 0) -> Split:
    made = designed(design)
    return made.build(geometry, channels or made.channels, 1.0).eval()


def _ahead(first: str) -> tuple[str, ...]:
    """The modules of the ResNet before a path."""
    return BEHIND[: BEHIND.index(first)]
