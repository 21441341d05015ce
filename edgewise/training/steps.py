"""What one training step of each vehicle network does; the loop knows only `step(net, number) → loss`.

Between Head and Tail the bottleneck is disturbed as the codec will do it: each frame of a batch is rounded to 8, 6, 4 or 2
bits, or not at all, with the gradient passed straight through. `price` is put on the mean of the bottleneck: its resting
value is 0, and zeros pack to nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise.training import augment, targets
from edgewise.training.frames import Frames
from edgewise.training.nets.detector import Head, Local, Tail

LEVELS = (65535.0, 255.0, 63.0, 15.0, 3.0)  # steps of the codes: as good as none, and 8, 6, 4 and 2 bits


class Split(nn.Module):
    """Head and Tail, trained as one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head, self.tail = Head(channels), Tail(channels)


class Draw:
    """Draws batches: rendered frames, and a share of the real clip's."""

    def __init__(self, frames: Frames, real: Frames | None, size: int, share: float, seed: int) -> None:
        self._frames, self._real, self._size = frames, real, size
        self._share = share if real is not None else 0.0
        self._seed = seed

    def __call__(self, number: int, picture: tuple[int, int]) -> tuple[Tensor, Tensor, np.random.Generator]:
        """Batch number `number`: the same for the same number, so a resumed run goes on where it was."""
        generator = np.random.default_rng([self._seed, number])
        few = round(self._size * self._share)
        chosen = generator.integers(0, len(self._frames), self._size - few)
        pictures, boxes = self._frames.pictures[chosen], self._frames.boxes[chosen]
        if self._real is not None and few:
            real = generator.integers(0, len(self._real), few)
            pictures = np.concatenate([pictures, self._real.pictures[real]])
            boxes = np.concatenate([boxes, self._real.boxes[real]])
        return *augment.batch(pictures, boxes, generator, picture), generator


def disturbed(bottleneck: Tensor, generator: np.random.Generator) -> Tensor:
    """Round each frame's bottleneck (batch, channels, height, width; in 0..1) to a drawn number of steps; some not at all."""
    steps = torch.tensor(generator.choice(LEVELS, len(bottleneck)), dtype=torch.float32)[:, None, None, None]
    rounded = torch.round(bottleneck * steps) / steps
    return bottleneck + (rounded - bottleneck).detach()


def _padded(x: Tensor, multiple: int) -> Tensor:
    x = functional.pad(x, (0, 0, 0, -x.shape[2] % multiple), mode="replicate")
    return x.contiguous(memory_format=torch.channels_last)


class SplitStep:
    def __init__(self, draw: Draw, price: float) -> None:
        self._draw, self._price = draw, price

    def __call__(self, net: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, Split)
        x, boxes, generator = self._draw(number, (180, 320))
        bottleneck = net.head.encode(_padded(x, 8)).float()
        loss, parts = targets.loss(net.tail.decode(disturbed(bottleneck, generator)), boxes)
        mean = bottleneck.mean()
        return loss + self._price * mean, parts | {"bottleneck": round(float(mean.detach()), 4)}


class WholeStep:
    """For a net that is not cut, on pictures of (height, width)."""

    def __init__(self, draw: Draw, picture: tuple[int, int]) -> None:
        self._draw, self._picture = draw, picture
        self._multiple = picture[0] * 4 // 90  # 4 rows of 90 are one row of cells, 16 rows of 360

    def __call__(self, net: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, Local)
        x, boxes, _ = self._draw(number, self._picture)
        return targets.loss(net.decode(_padded(x, self._multiple)), boxes)
