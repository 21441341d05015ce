"""What detectors of the benchmark look at, each with its teacher: rendered junctions (boxes and masks) and blood cells (boxes).

| name | teaches | held out | tasks |
|---|---|---|---|
| junction-384 | 9,600 rendered frames, 384 × 216, seeds from 1000 | 300, seeds 100 … 149 | boxes, masks, keypoints |
| bccd-320 | 205 microscope pictures, 320 × 240 | 72 | boxes of three kinds |

The second is there because it is real: photographs, labels by people, textures that no renderer made. Its intervals draw single
pictures again, those of the junctions whole scenes.

A Raw detector gives its maps as they are, which is what a student is tuned by; `plain` makes a detector of it that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from bench.jobs import Size
from bench.rates import scenes
from bench.rates.scenes import Held, Pictures, Source
from bench.report import ROOT
from edgewise.core.answer import Answer
from edgewise.core.decoding import Things
from edgewise.data.decoding.things import answers
from edgewise.data.preprocess import fit
from edgewise.graph.picture import Look
from edgewise.training import bccd, things
from edgewise.training.nets import fpn
from edgewise.training.nets.fpn import Maps
from edgewise.training.things_draw import truth
from edgewise.training.things_job import load

Name = Literal["junction-384", "bccd-320"]
NAMES: tuple[Name, ...] = ("junction-384", "bccd-320")
PACK = ROOT.parent / "shared" / "data" / "bccd.tar"
WEIGHTS = ROOT / "bench" / "weights"
HEADS = ("layer2", "layer4", "fpn", "heads.tower", "heads.score", "heads.shape")
BATCH = 8


class Raw(fpn.Detector):
    """A detector whose forward gives its raw maps by name, to learn by; those of tasks that it has not are left out."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: value for name, value in msgspec.structs.asdict(self.maps(x)).items() if value.shape[1]}


class Sight(Struct, frozen=True):
    """`source` teaches (its truth too, where it is asked for), `held` judges; `losses`: where students learn; `times`: how many
    epochs stand for one of the junctions' (there are fewer pictures)."""

    name: Name
    teacher: Raw
    source: Source
    held: Held
    look: Look
    decoding: Things
    labels: tuple[str, ...]
    losses: tuple[str, ...]
    times: float = 1.0

    def said(self, net: nn.Module, pictures: Pictures) -> tuple[Answer, ...]:
        """What a network says of pictures (n, height, width, 3), float32."""
        found: list[Answer] = []
        with torch.inference_mode():
            for first in range(0, len(pictures), BATCH):
                found += self.read(net(scenes.tensor(pictures[first : first + BATCH])))
        return tuple(found)

    def read(self, maps: dict[str, Tensor]) -> list[Answer]:
        """Answers of the maps that a plain detector gives."""
        return answers({name: value.float().numpy() for name, value in maps.items()}, self.decoding, self.labels)

    def loss(self, given: dict[str, Tensor], wanted: Callable[[], object], indices: list[int]) -> Tensor:
        """How far raw maps are from the labels of the source's pictures."""
        none = given["score"][:, :0]
        maps = Maps(**{name: given.get(name, none).float() for name in Maps.__struct_fields__})
        return things.loss(maps, truth(self.source.truth(indices)), (self.look.height, self.look.width))[0]


def sight(name: Name, work: Path, size: Size = "full") -> Sight:
    """Pictures and teacher of that name; frames are rendered in `work` where they are missing."""
    if name == "junction-384":
        held, source = scenes.held(work, size), Source(scenes.taught(work, size))
        losses = (*HEADS, "heads.sharp")
        return Sight(name, raw(WEIGHTS / "things.safetensors"), source, held, scenes.LOOK, scenes.DECODING, scenes.LABELS, losses)
    look = Look(bccd.PICTURE.height, bccd.PICTURE.width)
    decoding = Things(threshold=0.05, overlap=0.5, keypoints=0, mask=0)
    source = Source([bccd.frames(PACK, "train")])
    return Sight(name, raw(WEIGHTS / "bccd.safetensors"), source, _cells(size), look, decoding, bccd.LABELS, HEADS, 15.0)


def raw(path: Path) -> Raw:
    """The detector whose weights lie at `path`, frozen."""
    known = load(path)
    net = Raw(known.classes, known.keypoints, known.prototypes)
    net.load_state_dict(known.state_dict())
    return net.eval().requires_grad_(False)


def plain(net: nn.Module) -> fpn.Detector:
    """A detector with the modules of `net`, a Raw one or a student of it."""
    assert isinstance(net, fpn.Detector)
    shown = fpn.build(net.classes, net.keypoints, net.prototypes)
    for name, module in net.named_children():
        setattr(shown, name, module)
    return shown.eval().requires_grad_(False)


def named(given: Sequence[str]) -> tuple[Name, ...]:
    """Those of NAMES whose data are here."""
    return tuple(n for n in NAMES if n in given and (n != "bccd-320" or PACK.is_file()))


def _cells(size: Size) -> Held:
    found = list(bccd.pictures(PACK, "test"))[: 12 if size == "quick" else None]
    names = tuple(name for name, _, _ in found)
    pictures = np.concatenate([fit(image, bccd.PICTURE) for _, image, _ in found])
    return Held(pictures, tuple(scene for _, _, scene in found), names, names)
