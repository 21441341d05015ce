"""Probes: small random networks whose run times, together, tell what each kind of kernel costs.

Each probe is a stack or a row of one kind of layer in the surroundings that real networks give it (weights of its own,
inputs fresh from the kernel before), ending in a mean so that its output is small. Shapes are drawn from those that
published networks use, with a seed: the same seed gives the same probes on every machine, so that two profiles can be
compared.

No published network is among them: what is estimated later was not seen here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from edgewise.graph.sketch import Sketch

_CHANNELS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512, 640, 768, 1024)
_SIDES = (7, 10, 11, 13, 14, 16, 20, 22, 26, 28, 32, 40, 44, 52, 56, 64, 80, 88, 104, 112)
_ACTS = ("Relu", "Relu", "Relu", "Relu", "", "Relu6", "Sigmoid", "SiLU", "HardSwish")
_FLAT = ("Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Relu6", "Erf", "Exp", "Elu", "SiLU")

Drawer = Callable[["Probe"], list[str]]


class Probe:
    """What the drawers below draw with: a sketch, and choices bounded by `limit` multiply-adds."""

    def __init__(self, seed: int, limit: float) -> None:
        self.rng, self.limit = random.Random(seed), limit
        self.s = Sketch("probe", seed)
        self.repeats = self.rng.choice((2, 4, 6))

    def pick(self, *options: Any) -> Any:
        return self.rng.choice(options)

    def shape(self, work: Callable[[int, int, int], float]) -> tuple[int, int, int]:
        """Channels in and out and side of a picture, drawn until the work is bearable (and no less than a thousandth of that)."""
        least = self.limit / 1000
        for _ in range(1000):
            a, b, side = self.pick(*_CHANNELS), self.pick(*_CHANNELS), self.pick(*_SIDES)
            if least < work(a, b, side) < self.limit:
                return a, b, side
        return 16, 16, 14

    def picture(self) -> tuple[str, int, int]:
        """An input of 16 to 256 channels, at most a million values."""
        channels, side = self.pick(*(c for c in _CHANNELS if 16 <= c <= 256)), self.pick(*_SIDES)
        if channels * side * side > min(1e6, self.limit / 50):
            side = 14
        return self.s.input("x", channels, side, side), channels, side

    def sequence(self) -> tuple[str, int, int]:
        """An input of up to 256 steps."""
        time, width = self.pick(16, 32, 49, 64, 100, 128, 196, 256), self.pick(32, 48, 64, 96, 128, 192, 256, 384)
        if time * width * width * 8 > self.limit:
            time, width = 32, 64
        return self.s.input("x", time, width), time, width

    def mean(self, x: str) -> str:
        return str(self.s.node("ReduceMean", x, axes=[2, 3]))


def _dense_convolution(p: Probe, taps: int) -> list[str]:
    stride, act, n = p.pick(1, 1, 1, 2), p.pick(*_ACTS), p.pick(1, 2, 3)
    a, b, side = p.shape(lambda a, b, side: 2 * n * a * b * taps * taps * side * side / stride**2)
    x = p.s.input("x", a, side, side if p.rng.random() < 0.7 else p.pick(*(d for d in _SIDES if d <= side)))
    if stride == 2:
        return [p.s.flat_mean(p.s.conv(x, b, taps, 2, act=act)) for _ in range(2 * n)]
    for _ in range(n):
        x = p.s.conv(p.s.conv(x, b, taps, act=act), a, taps, act=act)
    return [p.s.flat_mean(x)]


def pointwise(p: Probe) -> list[str]:
    return _dense_convolution(p, 1)


def convolution(p: Probe) -> list[str]:
    return _dense_convolution(p, p.pick(3, 3, 3, 5, 7))


def depthwise(p: Probe) -> list[str]:
    taps, stride, act = p.pick(3, 3, 3, 5, 7), p.pick(1, 1, 1, 2), p.pick(*_ACTS)
    x, _, _ = p.picture()
    if stride == 2:
        return [p.s.flat_mean(p.s.depthwise(x, taps, 2, act)) for _ in range(p.repeats)]
    for _ in range(p.repeats):
        x = p.s.depthwise(x, taps, 1, act)
    return [p.s.flat_mean(x)]


def stem(p: Probe) -> list[str]:
    channels, wide, taps, act = p.pick(1, 3, 3, 3, 4, 6, 12), p.pick(8, 16, 24, 32, 48, 64), p.pick(3, 3, 5, 7, 1), p.pick(*_ACTS)
    side = p.pick(64, 96, 112, 128, 160, 192, 224)
    while side > 32 and side * side * channels * wide * taps * taps > p.limit / 2:
        side //= 2
    x = p.s.input("x", channels, side, side)
    return [p.s.flat_mean(p.s.conv(x, wide, taps, p.pick(1, 2, 2), act=act)) for _ in range(p.pick(1, 2))]


def grouped(p: Probe) -> list[str]:
    group, inner = p.pick(2, 4, 8), p.pick(16, 32, 64, 8, 24)
    side = next((d for d in reversed(_SIDES) if p.repeats * d * d * group * inner * inner * 9 < p.limit / 2), 7)
    x = p.s.input("x", group * inner, side, side)
    for _ in range(p.repeats):
        x = p.s.conv(x, group * inner, 3, 1, group)
    return [p.s.flat_mean(x)]


def unaligned(p: Probe) -> list[str]:
    """Channel counts that fit into no block, so that onnxruntime falls back to plain kernels."""
    channels, taps = p.pick(18, 22, 26, 30, 34, 46, 58, 62, 90, 118), p.pick(1, 3)
    side = next((d for d in reversed(_SIDES) if p.repeats * d * d * (channels * taps) ** 2 < p.limit / 2), 7)
    x = p.s.input("x", channels, side, side)
    for _ in range(p.repeats):
        x = p.s.conv(x, channels, taps) if p.rng.random() < 0.7 else p.s.depthwise(x)
    return [p.s.flat_mean(x)]


def residual(p: Probe) -> list[str]:
    n = p.pick(1, 2, 3)
    a, b, side = p.shape(lambda a, b, side: 2 * n * a * b * 9 * side * side)
    x = p.s.conv(p.s.input("x", a, side, side), a)
    for _ in range(n):
        y = p.s.conv(p.s.conv(x, b, p.pick(1, 3)), a, p.pick(1, 3), act="")
        x = p.s.activate(p.s.add(y, x), "Relu")
    return [p.s.flat_mean(x)]


def global_pool(p: Probe) -> list[str]:
    x, _, _ = p.picture()
    return [p.s.flat_mean(x) for _ in range(p.repeats)]


def pooling(p: Probe) -> list[str]:
    x, _, _ = p.picture()
    kind, taps, stride = p.pick("MaxPool", "AveragePool"), p.pick(2, 3), p.pick(1, 2)
    return [p.s.flat_mean(p.s.pool(x, kind, taps, stride, taps // 3)) for _ in range(p.repeats)]


def resizing(p: Probe) -> list[str]:
    x, channels, _ = p.picture()
    mode = p.pick("nearest", "linear")
    return [p.s.flat_mean(p.s.resize(p.s.conv(x, min(channels, 64), 1) if p.rng.random() < 0.7 else x, mode=mode))]


def joining(p: Probe) -> list[str]:
    x, channels, _ = p.picture()
    parts = [p.s.conv(x, min(channels, 64), 1, act="") for _ in range(p.pick(2, 3))]
    return [p.s.flat_mean(p.s.concat(parts))]


def halving(p: Probe) -> list[str]:
    x, channels, _ = p.picture()
    half = channels // 2
    for _ in range(p.repeats):
        a, b = p.s.node("Split", x, p.s.constant([half, half]), outputs=2, wide=half, axis=1)
        x = p.s.concat([b, a])
    return [p.mean(x)]


def shuffling(p: Probe) -> list[str]:
    x, _, side = p.picture()
    for _ in range(p.repeats):
        x = p.s.shuffle(x, 2, side, side)
    return [p.mean(x)]


def moving(p: Probe) -> list[str]:
    x, channels, _ = p.picture()
    padded = p.s.node("Pad", x, p.s.constant([0, 0, 1, 1, 0, 0, 1, 1]))
    strided = p.s.node("Slice", x, p.s.constant([0]), p.s.constant([10_000]), p.s.constant([2]), p.s.constant([2]))
    gathered = p.s.node("Gather", x, p.s.constant(list(range(0, channels, 2))), axis=1)
    return [p.mean(y) for y in (padded, strided, gathered)]


def gating(p: Probe) -> list[str]:
    x, channels, side = p.picture()
    if channels * channels * side * side > p.limit / 4:
        return moving_sums(p, x)
    for _ in range(p.repeats // 2):
        y = p.s.conv(x, channels, 1, act=p.pick("SiLU", "Relu"))
        gate = p.s.conv(p.s.conv(p.s.node("GlobalAveragePool", y), max(4, channels // 4), 1), channels, 1, act="Sigmoid")
        x = p.s.node("Mul", y, gate)
    return [p.s.flat_mean(x)]


def growing(p: Probe) -> list[str]:
    x, _, _ = p.picture()
    x = p.s.conv(x, p.pick(16, 32, 64), 1)
    return [p.s.flat_mean(p.s.upconv(x, p.pick(8, 16, 32))) for _ in range(p.repeats // 2)]


def moving_sums(p: Probe, x: str = "") -> list[str]:
    x = x or p.picture()[0]
    y = x
    for _ in range(p.repeats):
        y = p.s.node(p.pick("Add", "Add", "Mul", "Sub"), y, x)
    return [p.mean(y)]


def curves(p: Probe) -> list[str]:
    x, _, _ = p.picture()
    for _ in range(p.repeats):
        x = p.s.activate(x, p.pick(*_FLAT))
    return [p.mean(x)]


def dear_curves(p: Probe) -> list[str]:
    x, act = p.s.input("x", 16, p.pick(7, 14), 14), p.pick("Softplus", "Elu")
    for _ in range(p.repeats):
        x = p.s.activate(x, act)
    return [p.mean(x)]


def norms(p: Probe) -> list[str]:
    x, channels, _ = p.picture()
    for _ in range(p.repeats):
        x = p.s.activate(p.s.norm(x), "Relu")
    return [p.s.flat_mean(p.s.conv(x, min(channels, 64), 1) if p.rng.random() < 0.5 else x)]


def choices(p: Probe) -> list[str]:
    """Softmax over channels, as detectors and segmenters end."""
    x, _, _ = p.picture()
    return [p.mean(p.s.node("Softmax", x, axis=1))]


def perceptron(p: Probe) -> list[str]:
    x = p.s.node("Flatten", p.s.input("x", p.pick(16, 64, 128, 256, 512, 1024, 2048), 1, 1))
    for _ in range(p.repeats):
        x = p.s.dense(x, p.pick(10, 64, 128, 256, 512, 1024), p.pick("", "Relu", "Sigmoid"))
    return [x]


def _pooled(p: Probe, x: str) -> list[str]:
    return [p.s.node("ReduceMean", x, axes=[1], keepdims=0)]


def projection(p: Probe) -> list[str]:
    x, _, width = p.sequence()
    for _ in range(p.repeats // 2):
        x = p.s.project(p.s.project(x, width * p.pick(1, 2, 4)), width)
    return _pooled(p, x)


def attention(p: Probe) -> list[str]:
    x, _, _ = p.sequence()
    for _ in range(p.repeats // 2):
        x = p.s.attention(x, p.pick(1, 2, 4, 8))
    return _pooled(p, x)


def layer_norms(p: Probe) -> list[str]:
    x, _, _ = p.sequence()
    for _ in range(p.repeats):
        x = p.s.layer_norm(x)
    return _pooled(p, x)


def transposes(p: Probe) -> list[str]:
    x, _, _ = p.sequence()
    for _ in range(p.repeats // 2):
        x = p.s.transpose(p.s.node("Relu", p.s.transpose(x, [0, 2, 1])), [0, 2, 1])
    return _pooled(p, x)


def gelu_block(p: Probe) -> list[str]:
    x, _, width = p.sequence()
    for _ in range(p.repeats // 2):
        x = p.s.add(x, p.s.project(p.s.gelu(p.s.project(p.s.layer_norm(x), width * 4)), width))
    return _pooled(p, x)


def softmaxes(p: Probe) -> list[str]:
    x, _, _ = p.sequence()
    for _ in range(p.repeats):
        x = p.s.node("Softmax", x, axis=-1)
    return _pooled(p, x)


# How often each is drawn in a round of all: convolutions fill most of the time of most networks, in many shapes.
ROUND: tuple[tuple[Drawer, int], ...] = (
    (pointwise, 7),
    (convolution, 7),
    (depthwise, 5),
    (stem, 4),
    (residual, 3),
    (grouped, 2),
    (unaligned, 2),
    *(
        (d, 1)
        for d in (global_pool, pooling, resizing, joining, halving, shuffling, moving, gating, growing, moving_sums, curves)
    ),
    *(
        (d, 1)
        for d in (dear_curves, norms, choices, perceptron, projection, attention, layer_norms, transposes, gelu_block, softmaxes)
    ),
)


def probes(seed: int, limit: float) -> Iterator[Any]:
    """Endless `onnx.ModelProto`s, round after round, each of at most about `limit` multiply-adds."""
    rng = random.Random(seed)
    while True:
        drawers = [drawer for drawer, times in ROUND for _ in range(times)]
        rng.shuffle(drawers)
        for drawer in drawers:
            probe = Probe(rng.randrange(2**31), limit)
            yield probe.s.model(*drawer(probe))
