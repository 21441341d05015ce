"""The networks on which `split quick` is measured: our own definitions, by the names that the field knows.

ResNet-18 (He et al. 2016), MobileNetV2 (Sandler et al. 2018), a DenseNet (Huang et al. 2017), a ViT (Dosovitskiy et al. 2021), a
YOLO-type detector with three output maps, a segmentation net of dilated convolutions and a CNN on log-mel pictures. All are
small and quick to run; how they come by weights that look at the picture stands in `bench.zoo_weights`. The eighth, the
demo's detector, is the package's own.

None is a record of its architecture: inputs are 128 px, the ViT is narrow, and nothing was tuned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def unit(
    inside: int, outside: int, kernel: int = 3, stride: int = 1, group: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    """Convolution, batch normalisation and, where there is one, an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=group, bias=False),
        nn.BatchNorm2d(outside),
    ]
    return nn.Sequential(*layers, *([act(inplace=True)] if act else []))


class Residual(nn.Module):
    """A basic block of ResNet."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = unit(inside, outside, 3, stride), unit(outside, outside, act=None)
        self.side = unit(inside, outside, 1, stride, act=None) if stride > 1 or inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.side(x))


class Classifier(nn.Module):
    """`features` and, behind a mean over positions, a linear `last` layer."""

    def __init__(self, features: nn.Module, width: int, classes: int = 10) -> None:
        super().__init__()
        self.features, self.last = features, nn.Linear(width, classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.embed(x))


def resnet18() -> Classifier:
    """The ResNet-18 of the paper, at 128 px."""
    layers: list[nn.Module] = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for stage, outside in enumerate((64, 128, 256, 512)):
        layers += [Residual(inside, outside, 2 if stage else 1), Residual(outside, outside, 1)]
        inside = outside
    return Classifier(nn.Sequential(*layers), 512)


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2."""

    def __init__(self, inside: int, outside: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inside * expand
        widen = [unit(inside, wide, 1, act=nn.ReLU6)] if expand > 1 else []
        self.body = nn.Sequential(*widen, unit(wide, wide, 3, stride, wide, nn.ReLU6), unit(wide, outside, 1, act=None))
        self.short = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.short else self.body(x)


def mobilenet_v2() -> Classifier:
    """MobileNetV2 of width 1 with 640 last channels instead of 1280."""
    layers: list[nn.Module] = [unit(3, 32, 3, 2, act=nn.ReLU6)]
    inside = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, outside, repeats, stride in table:
        for i in range(repeats):
            layers.append(Inverted(inside, outside, stride if i == 0 else 1, expand))
            inside = outside
    return Classifier(nn.Sequential(*layers, unit(320, 640, 1, act=nn.ReLU6)), 640)


class Dense(nn.Module):
    """A layer of DenseNet-BC: its input and `growth` new channels."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inside), nn.ReLU(), unit(inside, 4 * growth, 1), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet(growth: int = 24, blocks: tuple[int, ...] = (4, 6, 8, 6)) -> Classifier:
    """A DenseNet-BC of 52 layers."""
    layers: list[nn.Module] = [unit(3, 2 * growth, 7, 2), nn.MaxPool2d(3, 2, 1)]
    width = 2 * growth
    for stage, repeats in enumerate(blocks):
        for _ in range(repeats):
            layers.append(Dense(width, growth))
            width += growth
        if stage + 1 < len(blocks):
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return Classifier(nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU()), width)


class Attention(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.three(self.before(x)).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.between(x))


class VisionTransformer(nn.Module):
    """A ViT of 64 tokens: patches of 16 px through two convolutions (Xiao et al. 2021), a mean instead of a class token."""

    def __init__(self, width: int = 160, depth: int = 6, heads: int = 5, classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Sequential(unit(3, 64, 7, 4), nn.Conv2d(64, width, 4, 4))
        self.position = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.blocks = nn.Sequential(*(Attention(width, heads) for _ in range(depth)))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, classes)

    def embed(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.norm(self.blocks(tokens)).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.embed(x))


class Yolo(nn.Module):
    """A YOLO-type detector: a backbone, three levels joined from coarse to fine, and a map of each level as an output.

    A map is (batch, 5 + classes, height, width): offsets of the centre in its cell, logarithms of width and height in strides,
    the logit of an object, logits of classes; no anchors (as YOLOX, Ge et al. 2021).
    """

    def __init__(self, classes: int = 1, width: int = 16) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(unit(3, w, 3, 2, act=nn.SiLU), unit(w, 2 * w, 3, 2, act=nn.SiLU), self._block(2 * w))
        self.c3 = nn.Sequential(unit(2 * w, 4 * w, 3, 2, act=nn.SiLU), self._block(4 * w))
        self.c4 = nn.Sequential(unit(4 * w, 6 * w, 3, 2, act=nn.SiLU), self._block(6 * w))
        self.c5 = nn.Sequential(unit(6 * w, 8 * w, 3, 2, act=nn.SiLU), self._block(8 * w))
        self.down5, self.down4 = unit(8 * w, 6 * w, 1, act=nn.SiLU), unit(6 * w, 4 * w, 1, act=nn.SiLU)
        self.maps = nn.ModuleList(
            nn.Sequential(unit(c * w, 4 * w, act=nn.SiLU), nn.Conv2d(4 * w, 5 + classes, 1)) for c in (4, 6, 8)
        )

    @staticmethod
    def _block(width: int) -> nn.Module:
        return nn.Sequential(unit(width, width // 2, 1, act=nn.SiLU), unit(width // 2, width, act=nn.SiLU))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.c3(self.stem(x))
        c4 = self.c4(c3)
        c5 = self.c5(c4)
        p4 = c4 + functional.interpolate(self.down5(c5), c4.shape[2:])
        p3 = c3 + functional.interpolate(self.down4(p4), c3.shape[2:])
        return self.maps[0](p3), self.maps[1](p4), self.maps[2](c5)


class Segmenter(nn.Module):
    """Residual blocks to stride 8, dilated ones (as DeepLab, Chen et al. 2017), and logits of each class at full size."""

    def __init__(self, classes: int = 2, width: int = 24) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            unit(3, w, 3, 2),
            Residual(w, 2 * w, 2),
            Residual(2 * w, 2 * w, 1),
            Residual(2 * w, 4 * w, 2),
            Residual(4 * w, 4 * w, 1),
        )
        self.wide = nn.ModuleList(nn.Conv2d(4 * w, w, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.last = nn.Conv2d(3 * w, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        joined = functional.relu(torch.cat([branch(found) for branch in self.wide], 1))
        return functional.interpolate(self.last(joined), scale_factor=8, mode="bilinear", align_corners=False)


def audio_cnn(classes: int = 8) -> Classifier:
    """Convolutions on a log-mel picture (batch, 1, 64 bands, 96 moments)."""
    layers: list[nn.Module] = []
    inside = 1
    for outside in (24, 48, 96, 128):
        layers += [unit(inside, outside), unit(outside, outside), nn.MaxPool2d(2)]
        inside = outside
    return Classifier(nn.Sequential(*layers), inside, classes)
