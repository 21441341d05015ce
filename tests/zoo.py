"""Small networks of the shapes that the field uses, with weights from a seed: residuals, branches, skips, many outputs.

Each is a function of size, width and depth, so that tests can take tiny ones and the latency benchmark others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgewise.graph.sketch import Sketch


def plain(size: int = 16, width: int = 8, depth: int = 2) -> Any:
    """VGG-like: convolutions and pools, one path."""
    s = Sketch("plain", seed=1)
    x = s.input("picture", 3, size, size)
    for i in range(depth):
        x = s.pool(s.conv(s.conv(x, width << i), width << i))
    return s.model(s.dense(s.dense(s.flat_mean(x), width * 4, "Relu"), 10))


def resnet(size: int = 16, width: int = 8, depth: int = 1) -> Any:
    """Basic residual blocks with batch norms, in three stages."""
    s = Sketch("resnet", seed=2)
    x = s.conv(s.input("picture", 3, size, size), width, norm=True)
    for stage in range(3):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            y = s.conv(s.conv(x, width << stage, 3, stride, norm=True), width << stage, act="", norm=True)
            if stride == 2:
                x = s.conv(x, width << stage, 1, 2, act="", norm=True)
            x = s.activate(s.add(y, x), "Relu")
    return s.model(s.dense(s.flat_mean(x), 10))


def bottleneck(size: int = 32, width: int = 8, depth: int = 1) -> Any:
    """ResNet-50-like: 1×1, 3×3, 1×1 blocks behind a 7×7 stem."""
    s = Sketch("bottleneck", seed=3)
    x = s.pool(s.conv(s.input("picture", 3, size, size), width, 7, 2), kernel=3, pad=1)
    for stage in range(3):
        for block in range(depth):
            w, stride = width << stage, 2 if stage and not block else 1
            y = s.conv(s.conv(s.conv(x, w, 1), w, 3, stride), 4 * w, 1, act="")
            if not block:
                x = s.conv(x, 4 * w, 1, stride, act="")
            x = s.activate(s.add(y, x), "Relu")
    return s.model(s.dense(s.flat_mean(x), 10))


def mobilenet(size: int = 32, width: int = 8, depth: int = 2) -> Any:
    """MobileNetV2-like: inverted residuals with ReLU6."""
    s = Sketch("mobilenet", seed=4)
    x = s.conv(s.input("picture", 3, size, size), width, 3, 2, act="Relu6", norm=True)
    for stage in range(3):
        for block in range(depth):
            w, stride = width * (stage + 1), 1 if block else 2
            y = s.conv(x, s.wide(x) * 4, 1, act="Relu6", norm=True)
            y = s.conv(s.depthwise(y, 3, stride, "Relu6", norm=True), w, 1, act="", norm=True)
            x = s.add(y, x) if block else y
    return s.model(s.dense(s.flat_mean(s.conv(x, width * 8, 1, act="Relu6")), 10))


def densenet(size: int = 16, width: int = 8, depth: int = 3) -> Any:
    """Dense blocks: every layer reads all before it, after a batch norm."""
    s = Sketch("densenet", seed=5)
    x = s.conv(s.input("picture", 3, size, size), width)
    for stage in range(2):
        for _ in range(depth):
            y = s.activate(s.norm(x), "Relu")
            x = s.concat([x, s.conv(s.conv(y, width * 2, 1), width, act="")])
        x = s.pool(s.conv(x, s.wide(x) // 2, 1), "AveragePool") if not stage else x
    return s.model(s.dense(s.flat_mean(s.activate(s.norm(x), "Relu")), 10))


def inception(size: int = 16, width: int = 8, depth: int = 2) -> Any:
    """Four branches side by side, joined by a concatenation."""
    s = Sketch("inception", seed=6)
    x = s.conv(s.input("picture", 3, size, size), width, 3, 2)
    for _ in range(depth):
        pooled = s.conv(s.pool(x, "MaxPool", 3, 1, 1), width, 1)
        deep = s.conv(s.conv(s.conv(x, width, 1), width * 2), width * 2)
        x = s.concat([s.conv(x, width, 1), s.conv(s.conv(x, width, 1), width * 2), deep, pooled])
    return s.model(s.dense(s.flat_mean(x), 10))


def unet(size: int = 16, width: int = 8, depth: int = 2) -> Any:
    """Encoder and decoder with a skip at each level; transposed convolutions; a map as output."""
    s = Sketch("unet", seed=7)
    x, skips = s.input("picture", 3, size, size), []
    for i in range(depth):
        x = s.conv(s.conv(x, width << i), width << i)
        skips.append(x)
        x = s.pool(x)
    x = s.conv(x, width << depth)
    for i in reversed(range(depth)):
        x = s.conv(s.concat([s.upconv(x, width << i), skips[i]]), width << i)
    return s.model(s.conv(x, 2, 1, act="Sigmoid"))


def squeeze_excite(size: int = 32, width: int = 8, depth: int = 2) -> Any:
    """EfficientNet-like: depthwise blocks, SiLU, and a gate from the whole picture on each channel."""
    s = Sketch("squeeze_excite", seed=8)
    x = s.conv(s.input("picture", 3, size, size), width, 3, 2, act="SiLU")
    for block in range(depth * 2):
        stride = 1 if block % 2 else 2
        y = s.depthwise(s.conv(x, s.wide(x) * 4, 1, act="SiLU"), 5, stride, "SiLU")
        gate = s.conv(s.conv(s.node("GlobalAveragePool", y), max(2, s.wide(x) // 4), 1), s.wide(y), 1, act="Sigmoid")
        y = s.conv(s.node("Mul", y, gate), s.wide(x) if block % 2 else s.wide(x) + width, 1, act="")
        x = s.add(x, y) if block % 2 else y
    return s.model(s.dense(s.flat_mean(x), 10))


def shufflenet(size: int = 32, width: int = 8, depth: int = 2) -> Any:
    """ShuffleNetV2-like: half of the channels pass by, then halves are shuffled."""
    s = Sketch("shufflenet", seed=9)
    x = s.pool(s.conv(s.input("picture", 3, size, size), width * 2, 3, 2))
    side = size // 4
    for _ in range(depth):
        half = s.wide(x) // 2
        a, b = s.node("Split", x, s.constant([half, half]), outputs=2, wide=half, axis=1)
        b = s.conv(s.depthwise(s.conv(b, half, 1), act=""), half, 1)
        x = s.shuffle(s.concat([a, b]), 2, side, side)
    return s.model(s.dense(s.flat_mean(x), 10))


def transformer(size: int = 32, width: int = 16, depth: int = 1) -> Any:
    """ViT-like: patches of 8 pixels, attention and a two-layer perceptron with GELU."""
    s = Sketch("transformer", seed=10)
    x = s.conv(s.input("picture", 3, size, size), width, 8, 8, act="", pad=0)
    x = s.transpose(s.reshape(x, [0, width, -1]), [0, 2, 1], wide=width)
    for _ in range(depth):
        x = s.add(x, s.attention(s.layer_norm(x), heads=4))
        x = s.add(x, s.project(s.gelu(s.project(s.layer_norm(x), width * 4)), width))
    pooled = s.node("ReduceMean", s.layer_norm(x), axes=[1], keepdims=0)
    return s.model(s.dense(pooled, 10))


def detector(size: int = 32, width: int = 8, depth: int = 1) -> Any:
    """A feature pyramid of three levels with scores and boxes at each: six outputs."""
    s = Sketch("detector", seed=11)
    x, levels = s.conv(s.input("picture", 3, size, size), width, 3, 2), []
    for i in range(3):
        x = s.conv(x, width << i, 3, 2)
        for _ in range(depth):
            x = s.activate(s.add(s.conv(x, width << i, act=""), x), "Relu")
        levels.append(x)
    top, outputs = s.conv(levels[2], width, 1, act=""), []
    for i in (2, 1, 0):
        if i < 2:
            top = s.add(s.resize(top), s.conv(levels[i], width, 1, act=""))
        y = s.conv(top, width)
        outputs += [s.conv(y, 4, 1, act="Sigmoid"), s.conv(y, 4, 1, act="")]
    return s.model(*outputs)


def exits(size: int = 16, width: int = 8, depth: int = 3) -> Any:
    """A classifier with an exit after each stage, and a stage's features as an output that is read on: many outputs."""
    s = Sketch("exits", seed=12)
    x, outputs = s.input("picture", 3, size, size), []
    for i in range(depth):
        x = s.conv(x, width << i, 3, 2, act="HardSwish")
        outputs.append(s.dense(s.flat_mean(x), 10))
    return s.model(*outputs, x) if depth == 1 else s.model(*outputs[:-1], x, outputs[-1])


def two_inputs(size: int = 16, width: int = 8, depth: int = 2) -> Any:
    """A picture and a mask that joins late."""
    s = Sketch("two_inputs", seed=13)
    x, mask = s.input("picture", 3, size, size), s.input("mask", 1, size, size)
    for _ in range(depth):
        x = s.conv(x, width)
    return s.model(s.conv(s.node("Mul", x, mask), 4, 1, act="Sigmoid"))


ZOO: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        plain,
        resnet,
        bottleneck,
        mobilenet,
        densenet,
        inception,
        unet,
        squeeze_excite,
        shufflenet,
        transformer,
        detector,
        exits,
        two_inputs,
    )
}
