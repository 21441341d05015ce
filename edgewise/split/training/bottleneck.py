"""The bottleneck of HND and GHND: Encoder → (what crosses the link) → Decoder, in the place of one early module of a network.

Exactly the layers of paper 2 (§III; hnd-ghnd-object-detectors, `resnet_layer.py`). All convolutions are 2 × 2,
stride 1, without bias; p1 is a padding of 1, so each of those makes the map a row and a column larger:

    encoder   p1 I→I, BN, p1 I→O, BN, ReLU, p1 O→I, BN, p1 I→B                  + 4 rows, + 4 columns
    decoder   BN, ReLU, B→I, BN, I→O/2, BN, ReLU, O/2→O, BN, O→O, BN, ReLU      − 4 rows, − 4 columns

with I and O the channels that the replaced module takes and gives: 64 and 256 in ResNet-50, where the widths are the published
ones to the number (`published`).

Ours, for networks that the paper does not speak of: a module that makes the map smaller lends its stride to the encoder's first
convolution, so that fewer values cross, or, `fine`, to the decoder's last, so that as many cross as before it, and finer ones;
`Fitted` cuts or repeats the border where the map then misses the teacher's by a row or two; the last ReLU is left out where the
replaced module gives negative values; `wide` widens the decoder, for which the server pays.

It does not know how values are coded: between encoder and decoder stands a module of its own, the identity unless training puts
something there.
"""

from __future__ import annotations

from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from edgewise.core.errors import ModelError

MOST_PAD = 8  # rows or columns that Fitted may cut or repeat
MOST_STRIDE, MOST_LENT = 32, 4  # of what is replaced, and of what one convolution of 2 × 2 can stand for


class Geometry(Struct, frozen=True):
    """What the replaced module takes and gives for one picture: channels, rows, columns. `signed`: it gives negative values."""

    inside: tuple[int, int, int]
    outside: tuple[int, int, int]
    signed: bool = False

    @property
    def strides(self) -> tuple[int, int]:
        """How much smaller the map becomes, down and across; ModelError where that is no whole number from 1 to MOST_STRIDE."""
        strides = tuple(round(a / b) for a, b in zip(self.inside[1:], self.outside[1:]))
        bad = [s for s in strides if not 1 <= s <= MOST_STRIDE]
        if bad or any(abs(a / s - b) > 2 for a, b, s in zip(self.inside[1:], self.outside[1:], strides)):
            raise self.refused(f"a module that keeps the map's size or divides it by a whole number up to {MOST_STRIDE}")
        return strides[0], strides[1]

    def refused(self, allowed: str) -> ModelError:
        """The sentence for a module that a bottleneck cannot replace."""
        return ModelError(
            "a bottleneck cannot take this module's place",
            got=f"{_map(self.inside)} in, {_map(self.outside)} out",
            allowed=allowed,
            hint="Choose an earlier or a later module as the cut.",
        )


def widths(inside: int, outside: int, wide: float = 1.0) -> tuple[int, int, int]:
    """Channels inside: as wide as the module's input, half its output, its output, times `wide`.

    >>> widths(64, 256)
    (64, 128, 256)
    """
    return max(1, round(inside * wide)), max(1, round(outside * wide / 2)), max(1, round(outside * wide))


def encoder(inside: int, outside: int, channels: int, strides: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """(batch, inside, rows, columns) → (batch, channels, rows + 4, columns + 4) at stride 1."""
    low, _, high = widths(inside, outside)
    return nn.Sequential(
        _convolution(inside, low, 1, strides),
        nn.BatchNorm2d(low),
        _convolution(low, high, 1),
        nn.BatchNorm2d(high),
        nn.ReLU(),
        _convolution(high, low, 1),
        nn.BatchNorm2d(low),
        _convolution(low, channels, 1),
    )


def decoder(
    inside: int, outside: int, channels: int, signed: bool = False, wide: float = 1.0, strides: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """(batch, channels, rows + 4, columns + 4) → (batch, outside, rows, columns) at stride 1."""
    low, half, high = widths(inside, outside, wide)
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        _convolution(channels, low, 0),
        nn.BatchNorm2d(low),
        _convolution(low, half, 0),
        nn.BatchNorm2d(half),
        nn.ReLU(),
        _convolution(half, high, 0),
        nn.BatchNorm2d(high),
        _convolution(high, outside, 0, strides),
        nn.BatchNorm2d(outside),
        *([] if signed else [nn.ReLU()]),
    )


class Fitted(nn.Module):
    """Cut to `rows` × `columns`, or repeat the border up to them: the map that the network behind expects."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.rows - x.shape[2], self.columns - x.shape[3]
        if not down and not right:
            return x
        if max(abs(down), abs(right)) > MOST_PAD:
            raise ModelError(
                "the decoder's map is not the one that the network behind it expects",
                got=f"{x.shape[2]} × {x.shape[3]}",
                allowed=f"{self.rows} × {self.columns}, give or take {MOST_PAD}",
                hint="The student was made for pictures of one size; give it those.",
            )
        x = x[:, :, : self.rows, : self.columns]
        return functional.pad(x, (0, max(right, 0), 0, max(down, 0)), mode="replicate") if max(down, right) > 0 else x


class Split(nn.Module):
    """Encoder, what stands `between` (the identity: features cross as they are), decoder, and the map made to fit."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, fitted: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.between: nn.Module = nn.Identity()
        self.decoder = decoder
        self.fitted = nn.Identity() if fitted is None else fitted

    def forward(self, x: Tensor) -> Tensor:
        fitted: Tensor = self.fitted(self.decoder(self.between(self.encoder(x))))
        return fitted


def narrow(geometry: Geometry, channels: int, wide: float = 1.0, fine: bool = False) -> Split:
    """The bottleneck of HND and GHND for any module that keeps its map's size or divides it by 2, 3 or 4."""
    if channels < 1:
        raise ModelError("a bottleneck has no channel", got=channels, allowed="1 or more")
    if max(geometry.strides) > MOST_LENT:
        raise geometry.refused(f"a module that keeps the map's size or divides it by 2 to {MOST_LENT}")
    inside, outside = geometry.inside[0], geometry.outside[0]
    first, last = ((1, 1), geometry.strides) if fine else (geometry.strides, (1, 1))
    return Split(
        encoder(inside, outside, channels, first),
        decoder(inside, outside, channels, geometry.signed, wide, last),
        Fitted(*geometry.outside[1:]),
    )


def published(channels: int) -> Split:
    """The bottleneck of the paper for ResNet-50 at 160 × 200, to the width."""
    return narrow(Geometry((64, 160, 200), (256, 160, 200)), channels)


def _convolution(inside: int, outside: int, padding: int, strides: tuple[int, int] = (1, 1)) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 2, strides, padding, bias=False)


def _map(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} channels of {shape[1]} × {shape[2]}"
