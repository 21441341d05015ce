"""How much of the picture is in the bottleneck? A mirror: a decoder trained to rebuild the picture from what crosses the link.

It answers a question of privacy with a figure: the PSNR of the best picture that a small decoder makes of decoded features,
beside their bytes and what they are worth to the tail. Low is good for who is filmed. It is the attack of an honest but curious
server that has the device's head and pictures of its own (He et al. 2019, *Model inversion attacks against collaborative
inference*): it makes pairs of picture and bottleneck, and learns the way back.

A figure of this attacker is no proof against a better one: a larger decoder, longer training or a prior of pictures rebuilds
more. So it bounds privacy from one side only, and stands beside a JPEG of as many bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from edgewise.training.nets.detector import Convolution, Residual

Pictures = NDArray[np.uint8]
Floats = NDArray[np.float32]
WIDTHS = (64, 48, 32, 24)  # channels at the bottleneck's size, and after each doubling; the last serves all that follow


class Mirror(nn.Module):
    """Bottleneck (n, channel, height, width) → picture (n, 3, rows, columns) in 0..1, doubled until it is large enough."""

    def __init__(self, shape: tuple[int, int, int], rows: int, columns: int) -> None:
        super().__init__()
        channels, height, width = shape
        self._size = rows, columns
        doublings = max(0, math.ceil(math.log2(max(rows / height, columns / width))))
        layers: list[nn.Module] = [Convolution(channels, WIDTHS[0]), Residual(WIDTHS[0]), Residual(WIDTHS[0])]
        inside = WIDTHS[0]
        for number in range(1, doublings):
            outside = WIDTHS[min(number, len(WIDTHS) - 1)]
            layers += [Convolution(inside, outside), nn.Upsample(scale_factor=2.0, mode="nearest"), Convolution(outside, outside)]
            inside = outside
        # the last doubling is one of places: 12 channels of half the size are 3 of the whole
        layers.append(nn.Conv2d(inside, 12 if doublings else 3, 3, padding=1))
        layers.append(nn.PixelShuffle(2 if doublings else 1))
        self.body = nn.Sequential(*layers)

    def forward(self, bottleneck: Tensor) -> Tensor:
        rows, columns = self._size
        picture: Tensor = torch.sigmoid(self.body(bottleneck)[:, :, :rows, :columns])
        return picture


def reflect(
    draw: Callable[[int], tuple[Floats, Pictures]],
    steps: int,
    rate: float = 3e-3,
    seed: int = 0,
    heard: Callable[[int, float], None] = lambda step, loss: None,
) -> Mirror:
    """A mirror trained on `steps` batches; `draw(number)` gives decoded features (n, *shape) and their pictures.

    `heard` is told the step and the squared error of its batch.
    """
    torch.manual_seed(seed)
    features, pictures = draw(0)
    channels, height, width = features.shape[1:]
    net = Mirror((channels, height, width), pictures.shape[1], pictures.shape[2])
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for number in range(steps):
        features, pictures = draw(number)
        wanted = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            seen = net(torch.from_numpy(features))
        loss = functional.mse_loss(seen.float(), wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        heard(number + 1, float(loss.detach()))
    return net.eval()


def rebuilt(net: Mirror, features: Floats, batch: int = 16) -> Pictures:
    """What the mirror shows of decoded features (n, *shape)."""
    with torch.no_grad():
        parts = [net(torch.from_numpy(features[i : i + batch])).float() for i in range(0, len(features), batch)]
    pictures: Pictures = (torch.cat(parts) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pictures


def psnr(seen: Pictures, true: Pictures) -> NDArray[np.float64]:
    """Peak signal to noise ratio (dB) of each picture (n,); infinite where they are equal."""
    error = np.square(seen.astype(np.float64) - true).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        decibels: NDArray[np.float64] = 10 * np.log10(255**2 / error)
    return decibels


def ssim(seen: Pictures, true: Pictures, window: int = 7) -> NDArray[np.float64]:
    """Structural similarity (Wang et al. 2004) of each picture's luminance (n,), over square windows of equal weight."""
    weights = np.array([0.299, 0.587, 0.114])
    a, b = (torch.from_numpy(x.astype(np.float64) @ weights)[:, None] for x in (seen, true))

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, window, 1)

    over = window**2 / (window**2 - 1)
    ma, mb = mean(a), mean(b)
    va, vb, both = (over * (mean(x * y) - mx * my) for x, y, mx, my in ((a, a, ma, ma), (b, b, mb, mb), (a, b, ma, mb)))
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * ma * mb + first) * (2 * both + second) / ((ma**2 + mb**2 + first) * (va + vb + second))
    found: NDArray[np.float64] = similar.mean((1, 2, 3)).numpy()
    return found


def jpeg_within(picture: Pictures, size: int) -> tuple[Pictures, int]:
    """The JPEG of at most `size` bytes nearest to `picture` (height, width, 3), and its bytes; the smallest where none is.

    It is scaled down first where that is better.
    """
    height, width = picture.shape[:2]
    best: tuple[float, Pictures, int] | None = None
    smallest: tuple[int, Pictures] | None = None
    for shrink in (1, 2, 4, 8):
        small = Image.fromarray(picture).resize((max(1, width // shrink), max(1, height // shrink)), Image.Resampling.BOX)
        low, high = 1, 95
        while low <= high:  # the highest quality that fits
            quality = (low + high) // 2
            stored = BytesIO()
            small.save(stored, "JPEG", quality=quality, optimize=True)
            length = stored.tell()
            back = Image.open(stored).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            shown: Pictures = np.asarray(back)
            if smallest is None or length < smallest[0]:
                smallest = length, shown
            if length > size:
                high = quality - 1
                continue
            low = quality + 1
            near = float(psnr(shown[None], picture[None])[0])
            if best is None or near > best[0]:
                best = near, shown, length
    if best is None:
        assert smallest is not None
        return smallest[1], smallest[0]
    return best[1], best[2]
