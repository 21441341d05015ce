"""A small one-class detector that is cut in two: Head (device) → bottleneck → Tail (edge). Beside it, uncut: Local, smaller
still, for a device without a link.

All speak of the same 23 × 40 grid (stride 16 of a 640 × 360 frame) and give the same three maps, as CenterNet (Zhou et al.
2019) does with FCOS boxes (Tian et al. 2019): where a vehicle's middle is, its box, and which cells are occupied. Heads
take bytes, height-width-channel; scaling, padding and transposing are in the graph.

The bottleneck is clamped to 0..1, so its range is known and one table serves every frame; zero is its resting value, which
packs to almost nothing. Plain convolutions without GDN: about three times as fast at equal operations (ours, measured).
It does not know quantisation: the loop disturbs the bottleneck between Head and Tail as a codec would.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS, COLUMNS = 23, 40


class Convolution(nn.Sequential):
    """Convolution, batch normalisation and ReLU; `groups` = channels makes it depthwise."""

    def __init__(self, inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1, bent: bool = True) -> None:
        convolution = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outside), nn.ReLU() if bent else nn.Identity())


class Separable(nn.Module):
    """Residual depthwise + pointwise pair: wide view for few operations."""

    def __init__(self, channels: int, size: int = 5) -> None:
        super().__init__()
        self.across = Convolution(channels, channels, size, groups=channels)
        self.mix = Convolution(channels, channels, 1, bent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.mix(self.across(x)))


class Residual(nn.Module):
    """Two full 3 × 3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Convolution(channels, channels)
        self.second = Convolution(channels, channels, bent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def prepared(picture: Tensor, multiple: int) -> Tensor:
    """Bytes (batch, height, width, 3) → (batch, 3, height', width) in 0..1, rows repeated below up to a `multiple`."""
    x = picture.permute(0, 3, 1, 2).float() / 255
    missing = -picture.shape[1] % multiple
    return functional.pad(x, (0, 0, 0, missing), mode="replicate") if missing else x


class Maps(nn.Module):
    """Features on the grid → `score`, `box`, `occupied`, as logits and distances; `answer` makes what a bundle promises."""

    middle: Tensor

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.out = nn.Conv2d(inside, 6, 1)
        nn.init.constant_(self.out.bias, -2.0)  # type: ignore[arg-type]
        x = (torch.arange(COLUMNS) + 0.5) / COLUMNS
        y = (torch.arange(ROWS) + 0.5) * 16 / 360
        self.register_buffer("middle", torch.stack([x.expand(ROWS, COLUMNS), y[:, None].expand(ROWS, COLUMNS)])[None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of score (batch, 1, 23, 40), boxes (batch, 4, 23, 40; x0 y0 x1 y1), logits of occupied."""
        out = self.out(x).float()
        reach = functional.softplus(out[:, 1:5] + 1.0) * 0.1  # distances from the cell's middle to the four edges
        box = torch.cat([self.middle - reach[:, :2], self.middle + reach[:, 2:]], dim=1)
        return out[:, :1], box, out[:, 5:]

    @staticmethod
    def answer(maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Score in 0..1 with all but local peaks set to 0, box clamped to the picture, occupied in 0..1."""
        score, box, occupied = maps
        score = torch.sigmoid(score)
        peak = functional.max_pool2d(score, 3, 1, 1)
        return torch.where(score >= peak, score, torch.zeros_like(score)), box.clamp(0, 1), torch.sigmoid(occupied)


class Head(nn.Module):
    """Picture (batch, 180, 320, 3; bytes) → bottleneck (batch, channels, 23, 40) in 0..1; about 22 M multiply-adds."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Convolution(3, 12, 3, 2),  # (12, 92, 160)
            Convolution(12, 24, 3, 2),  # (24, 46, 80)
            Convolution(24, 24, 3, 2, groups=24),  # (24, 23, 40)
            Convolution(24, 48, 1),
            Separable(48),
            Separable(48),
        )
        self.squeeze = nn.Conv2d(48, channels, 1, bias=False)
        level = nn.BatchNorm2d(channels)
        nn.init.constant_(level.weight, 0.3)
        nn.init.constant_(level.bias, 0.2)
        self.level: nn.Module = level  # export folds it into `squeeze`

    def forward(self, picture: Tensor) -> Tensor:
        return self.encode(prepared(picture, 8))

    def encode(self, x: Tensor) -> Tensor:
        bottleneck: Tensor = self.level(self.squeeze(self.body(x)))
        return bottleneck.clamp(0, 1)


class Tail(nn.Module):
    """Bottleneck → the three maps; a trunk at two scales, about 170 M multiply-adds."""

    def __init__(self, channels: int = 6, wide: int = 48) -> None:
        super().__init__()
        self.open = nn.Sequential(Convolution(channels, wide), Residual(wide))
        self.down = Convolution(wide, 2 * wide, 3, 2)  # (96, 12, 20)
        self.deep = Residual(2 * wide)
        self.up = Convolution(2 * wide, wide, 1, bent=False)
        self.close = nn.Sequential(Residual(wide), Convolution(wide, wide))
        self.maps = Maps(wide)

    def trunk(self, bottleneck: Tensor) -> Tensor:
        x = self.open(bottleneck)
        deep = functional.interpolate(self.up(self.deep(self.down(x))), scale_factor=2.0, mode="nearest")
        features: Tensor = self.close(functional.relu(x + deep[:, :, :ROWS]))
        return features

    def decode(self, bottleneck: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps: tuple[Tensor, Tensor, Tensor] = self.maps(self.trunk(bottleneck))
        return maps

    def forward(self, bottleneck: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return Maps.answer(self.decode(bottleneck))


class Local(nn.Module):
    """Picture (batch, 90, 160, 3; bytes) → the three maps; about 4.4 M multiply-adds, for when the link is gone."""

    def __init__(self, wide: int = 24) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Convolution(3, 8, 3, 2),  # (8, 46, 80)
            Convolution(8, 16, 3, 2),  # (16, 23, 40)
            Convolution(16, wide, 1),
            Separable(wide),
            Separable(wide),
        )
        self.maps = Maps(wide)

    def decode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps: tuple[Tensor, Tensor, Tensor] = self.maps(self.body(x))
        return maps

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return Maps.answer(self.decode(prepared(picture, 4)))
