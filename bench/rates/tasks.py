"""Three tasks behind one bottleneck: vehicles as boxes, the weather, and which cells of the picture are vehicle.

    codes → decoder → layer2 → layer3 → layer4 → pyramid        the trunk, begun as the student has it
                                          │         ├─ heads     boxes (`edgewise.training.nets.fpn`)
                                          │         └─ road      a mask at a quarter of the picture's size
                                          └─ weather             one of six

Each task can have a trunk of its own, or share one: training says which, and the export of a task is the same. The encoder is not
here at all while they learn: they see codes that were kept, so nothing can touch it.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.rates.scenes import LOOK
from edgewise.core.decoding import Classes, Regions, Single, Things
from edgewise.data.junction.footage import LABEL
from edgewise.data.junction.weather import CONDITIONS
from edgewise.split.training.bottleneck import Split
from edgewise.training import things
from edgewise.training.nets.detector import Convolution
from edgewise.training.nets.fpn import DEEP, WIDE, Detector
from edgewise.training.paths import taps
from edgewise.training.things import Truth

Task = Literal["boxes", "weather", "road"]
TASKS: tuple[Task, ...] = ("boxes", "weather", "road")
ROWS, COLUMNS = LOOK.height // 4, LOOK.width // 4
DECODINGS: dict[Task, Single] = {
    "boxes": Things(threshold=0.05, overlap=0.6, keypoints=0, mask=0),
    "weather": Classes("logits", top=3),
    "road": Regions("map", ROWS, COLUMNS),
}
LABELS: dict[Task, tuple[str, ...]] = {"boxes": (LABEL,), "weather": CONDITIONS, "road": ("road", LABEL)}


class Held(nn.Module):
    """In the place of an encoder: gives what it was handed last, whatever the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.now = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.now


class Trunk(nn.Module):
    """What stands before the heads; `net` is a detector of boxes with a Split in the place of its stem and layer1."""

    net: Detector
    weather: nn.Module
    road: nn.Module

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What layer4 and the pyramid give."""
        first = self.net.layer1(self.net.stem(x))
        second = self.net.layer2(first)
        deep = self.net.layer4(self.net.layer3(second))
        return deep, self.net.fpn(first, second, deep)

    def named(self, deep: Tensor) -> Tensor:
        """Logits of the weather (n, 6)."""
        logits: Tensor = self.weather(deep.mean((2, 3)))
        return logits.float()

    def painted(self, pyramid: Tensor) -> Tensor:
        """Logits of vehicle (n, 1, ROWS, COLUMNS), without the rows of padding."""
        logits: Tensor = self.road(pyramid)
        return logits[:, :, :ROWS, :COLUMNS].float()


class Tails(Trunk):
    """A trunk with the heads of all tasks."""

    def __init__(self, student: Detector, seed: int = 0) -> None:
        super().__init__()
        self.net = boxes_alone(student)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.weather = nn.Sequential(nn.Linear(DEEP, 64), nn.ReLU(), nn.Linear(64, len(CONDITIONS)))
            self.road = nn.Sequential(
                Convolution(WIDE, 32), nn.Upsample(scale_factor=2.0), Convolution(32, 24), nn.Conv2d(24, 1, 1)
            )


class One(Trunk):
    """One task of Tails, to be exported: picture → the outputs that its decoding reads."""

    def __init__(self, tails: Tails, task: Task) -> None:
        super().__init__()
        self.net = tails.net
        self._task = task
        if task == "weather":
            self.weather = tails.weather
        if task == "road":
            self.road = tails.road

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self._task == "boxes":
            said: dict[str, Tensor] = self.net(x)
            return said
        deep, pyramid = self.features(x)
        return {"logits": self.named(deep)} if self._task == "weather" else {"map": self.painted(pyramid)}


def boxes_alone(student: Detector) -> Detector:
    """A copy of a detector that knows boxes alone: the rows of its last layer that speak of nothing else."""
    net = Detector(student.classes, 0, 0)
    own = net.state_dict()
    net.load_state_dict({k: v for k, v in student.state_dict().items() if k in own and own[k].shape == v.shape}, strict=False)
    for name in ("stem", "layer1", "layer2", "layer3", "layer4", "fpn"):
        setattr(net, name, copy.deepcopy(getattr(student, name)))
    with torch.no_grad():
        net.heads.shape.weight.copy_(student.heads.shape.weight[:4])
        assert net.heads.shape.bias is not None and student.heads.shape.bias is not None
        net.heads.shape.bias.copy_(student.heads.shape.bias[:4])
    return net.eval()


def loss(tails: Tails, chosen: tuple[Task, ...], weather: Tensor, truth: Truth) -> Tensor:
    """The sum over the `chosen` tasks, for what the tails' encoder holds: `weather` (n) by number, `truth` with masks."""
    count = len(weather)
    x = torch.zeros(1, 3, LOOK.height, LOOK.width).expand(count, -1, -1, -1)
    parts = []
    with taps(tails.net, ["layer4", "fpn"]) as taken:
        if "boxes" in chosen:
            maps = tails.net.maps(x)
            parts.append(things.loss(maps, truth, (LOOK.height, LOOK.width))[0])
        else:
            tails.features(x)
        deep, pyramid = taken["layer4"], taken["fpn"]
    if "weather" in chosen:
        parts.append(functional.cross_entropy(tails.named(deep), weather))
    if "road" in chosen:
        wanted = cells(truth.masks).float()[:, None]
        said = tails.painted(pyramid)
        share = said.sigmoid()
        dice = 1 - (2 * (share * wanted).sum() + 1) / (share.sum() + wanted.sum() + 1)
        parts.append(functional.binary_cross_entropy_with_logits(said, wanted) + dice)
    return torch.stack(parts).sum()


def cells(masks: Tensor) -> Tensor:
    """(n, ROWS, COLUMNS) whether the middle of each cell is vehicle, from masks (n, rows, columns) of which thing is there."""
    rows = (2 * torch.arange(ROWS) + 1) * masks.shape[1] // (2 * ROWS)
    columns = (2 * torch.arange(COLUMNS) + 1) * masks.shape[2] // (2 * COLUMNS)
    return masks[:, rows[:, None], columns] > 0


def split(tails: Tails) -> Split:
    """The bottleneck of a trunk."""
    found = tails.net.stem
    assert isinstance(found, Split)
    return found
