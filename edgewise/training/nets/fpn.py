"""A small one-stage detector on a feature pyramid: boxes, instance masks and keypoints at once; layers are named as in ResNet.

`stem` (stride 8) → `layer1` (8) → `layer2` (16) → `layer3`, `layer4` (32) → `fpn` → `heads`. Each of them takes one tensor and
gives one, but for `fpn`, which takes three; so any of layer1 to layer4 can be replaced by its path, as GHND does (paper 2). What
the pyramid sees has passed through layer1: nothing goes around the cut.

Boxes as in FCOS (Tian et al. 2019) at the middles of CenterNet (Zhou et al. 2019); masks as in YOLACT (Bolya et al. 2019):
prototypes for the picture, coefficients for each thing. Keypoints are offsets from the middle of the box in box sizes. About
430,000 parameters and 0.27 G multiply-adds at 384 × 216. It does not know how it is trained (`edgewise.training.things`) nor what
overlaps (`edgewise.data.decoding.things`).
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.artifact import Picture
from edgewise.training.nets.detector import Convolution

PICTURE = Picture(384, 216)  # what it is trained on; any size goes
STRIDE = 8  # px of the picture to a cell of the maps
COARSEST = 32  # the picture is padded below and at the right to a multiple of it
PROTOTYPES = 12
KEYPOINTS = 8
STEM, WIDE, MIDDLE, DEEP = 32, 48, 64, 80  # channels after stem, layer1 (and in the pyramid), layer2, layer3 and layer4


class Maps(Struct, frozen=True):
    """What the network says before anything is made of it, on a grid of one cell for STRIDE px: logits of `score` (n, classes,
    rows, columns), `box` (n, 4, rows, columns; x0 y0 x1 y1 as fractions of the unpadded picture), `points` (n, 2·keypoints, rows,
    columns; offsets from the middle of the box in box sizes), `coefficients` (n, prototypes, rows, columns) and
    `prototypes` (n, prototypes, 2·rows, 2·columns)."""

    score: Tensor
    box: Tensor
    points: Tensor
    coefficients: Tensor
    prototypes: Tensor


class Stem(nn.Sequential):
    """Three convolutions of stride 2; pads the picture (n, 3, height, width) so that all layers divide it."""

    def __init__(self, outside: int) -> None:
        super().__init__(Convolution(3, 16, 3, 2), Convolution(16, 24, 3, 2), Convolution(24, outside, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        below, right = -x.shape[2] % COARSEST, -x.shape[3] % COARSEST
        out: Tensor = super().forward(functional.pad(x, (0, right, 0, below), mode="replicate") if below or right else x)  # type: ignore[no-untyped-call]
        return out


class Block(nn.Module):
    """Two 3 × 3 convolutions and a shortcut, which is a 1 × 1 convolution where the shape changes (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.first = Convolution(inside, outside, 3, stride)
        self.second = Convolution(outside, outside, bent=False)
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else Convolution(inside, outside, 1, stride, bent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class Pyramid(nn.Module):
    """Features of layer1, layer2 and layer4 → one map at stride 8 that has seen all of them."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.fine, self.middle, self.deep = (nn.Conv2d(inside, wide, 1) for inside in (WIDE, MIDDLE, DEEP))
        self.smooth = Convolution(wide, wide)

    def forward(self, fine: Tensor, middle: Tensor, deep: Tensor) -> Tensor:
        x = self.middle(middle) + functional.interpolate(self.deep(deep), scale_factor=2.0, mode="nearest")
        x = self.fine(fine) + functional.interpolate(x, scale_factor=2.0, mode="nearest")
        smooth: Tensor = self.smooth(x)
        return smooth


class Heads(nn.Module):
    """The pyramid's map → what is at each cell and, with `masks`, the prototypes at twice its size; as one tensor each."""

    def __init__(self, wide: int, classes: int, keypoints: int, prototypes: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(Convolution(wide, wide), Convolution(wide, wide))
        self.score = nn.Conv2d(wide, classes, 1)
        self.shape = nn.Conv2d(wide, 4 + 2 * keypoints + prototypes, 1)
        nn.init.constant_(self.score.bias, -3.0)  # type: ignore[arg-type]
        self.few = Convolution(wide, 32) if prototypes else None
        self.sharp = nn.Sequential(Convolution(32, 24), nn.Conv2d(24, prototypes, 1)) if prototypes else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.tower(x)
        if self.few is None or self.sharp is None:
            return self.score(seen), self.shape(seen), x.new_zeros((x.shape[0], 0, 2 * x.shape[2], 2 * x.shape[3]))
        prototypes = self.sharp(functional.interpolate(self.few(x), scale_factor=2.0, mode="nearest"))
        return self.score(seen), self.shape(seen), prototypes


class Detector(nn.Module):
    """One stage, `classes` classes; no keypoints or no prototypes make it a detector of boxes alone."""

    def __init__(self, classes: int = 1, keypoints: int = KEYPOINTS, prototypes: int = PROTOTYPES) -> None:
        super().__init__()
        self.classes, self.keypoints, self.prototypes = classes, keypoints, prototypes
        self.stem = Stem(STEM)
        self.layer1 = Block(STEM, WIDE)
        self.layer2 = Block(WIDE, MIDDLE, 2)
        self.layer3 = Block(MIDDLE, DEEP, 2)
        self.layer4 = Block(DEEP, DEEP)
        self.fpn = Pyramid(WIDE)
        self.heads = Heads(WIDE, classes, keypoints, prototypes)

    def maps(self, x: Tensor) -> Maps:
        """Picture (n, 3, height, width) in 0..1, RGB → the raw maps, in float32."""
        first = self.layer1(self.stem(x))
        second = self.layer2(first)
        deep = self.layer4(self.layer3(second))
        score, shape, prototypes = (out.float() for out in self.heads(self.fpn(first, second, deep)))
        reach, points, coefficients = shape.split([4, 2 * self.keypoints, self.prototypes], dim=1)
        reach = 0.03 * torch.exp(reach.clamp(-5, 4))  # from the cell's middle to the four edges
        middle = self._middles(x, score)
        box = torch.cat([middle - reach[:, :2], middle + reach[:, 2:]], dim=1)
        return Maps(score, box, points, coefficients, prototypes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Picture (n, 3, height, width) in 0..1, RGB → `score` (n, classes, rows, columns) in 0..1 with all but local peaks 0,
        `box` and `points` as fractions of the picture, `coefficients` and `prototypes` over the picture (exactly so where 4
        divides its sides). Tasks that it has not are left out."""
        maps = self.maps(x)
        score = torch.sigmoid(maps.score)
        score = torch.where(score >= functional.max_pool2d(score, 3, 1, 1), score, torch.zeros_like(score))
        said = {"score": score, "box": maps.box.clamp(0, 1)}
        if self.keypoints:
            middle = (maps.box[:, :2] + maps.box[:, 2:]) / 2
            size = maps.box[:, 2:] - maps.box[:, :2]
            said["points"] = middle.repeat(1, self.keypoints, 1, 1) + maps.points * size.repeat(1, self.keypoints, 1, 1)
        if self.prototypes:
            rows, columns = (-(-side * 2 // STRIDE) for side in x.shape[2:])  # without the padding: what is left is the picture
            said |= {"coefficients": maps.coefficients, "prototypes": maps.prototypes[:, :, :rows, :columns]}
        return said

    @staticmethod
    def _middles(x: Tensor, score: Tensor) -> Tensor:
        """Middles of the cells (1, 2, rows, columns) as fractions of the unpadded picture."""
        rows, columns = score.shape[2:]
        across = (torch.arange(columns, device=x.device) + 0.5) * (STRIDE / x.shape[3])
        down = (torch.arange(rows, device=x.device) + 0.5) * (STRIDE / x.shape[2])
        return torch.stack([across.expand(rows, columns), down[:, None].expand(rows, columns)])[None]


def build(classes: int = 1, keypoints: int = KEYPOINTS, prototypes: int = PROTOTYPES) -> Detector:
    """The detector with fresh weights; the teacher of GHND is this with the weights of a training."""
    return Detector(classes, keypoints, prototypes)
