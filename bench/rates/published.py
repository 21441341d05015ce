"""The networks that paper 8 was measured on, drawn at 224 × 224 with weights of no meaning: enough to be timed and counted.

BottleFit's claims of power and latency are of ResNet-152 and DenseNet-169, which we cannot train. How long a network takes does
not depend on its weights, so these are drawn layer by layer (He et al. 2016, table 1, v1.5 as MLPerf runs it; Huang et al. 2017,
table 1) and cut as the papers cut them. All are ONNX; normalisation is folded where a convolution stands before it.

    BottleFit  encoder  conv 7 /2 3→64, ReLU, max-pool 3 /2, ReLU, conv 2 /2 p1 64→B             B × 29 × 29
               decoder  BN, ReLU, conv 2 p1 B→512, ReLU, conv 2 p1 →512, ReLU, conv 2 →512, ReLU, conv 2 →512, mean 2 /1
               for DenseNet: the same encoder; decoder widths 512, 512, 256, 256 and a mean of 2 /2
    middle     the C channels that BottleFit imitates, then conv 3 →C/2, ReLU, conv 3 →B; and back: conv 3 →C/2, ReLU, conv 3 →C

Where the papers' autoencoder stood, and how wide it was, is in nothing that is public to us: ours stands where BottleFit's
stretch ends, so that both leave the server the same layers. It does not know accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgewise.graph.sketch import Sketch

SIDE = 224
RESNETS = {"ResNet-50": (3, 4, 6, 3), "ResNet-152": (3, 8, 36, 3)}
DENSENETS = {"DenseNet-169": (6, 12, 32, 32)}
GROWTH = 32
PLANES = (64, 128, 256, 512)
Layer = Callable[[Sketch, str], str]


def drawn(name: str, shape: tuple[int, int, int], layers: Sequence[Layer], hollow: bool = False) -> bytes:
    """The layers one after another on one input (channels, rows, columns), as the bytes of an ONNX model; `hollow` ones can be
    counted alone."""
    s = Sketch(name, hollow=hollow)
    x = s.input("x", *shape)
    for layer in layers:
        x = layer(s, x)
    return bytes(s.model(x).SerializeToString())


def whole(model: str, hollow: bool = False) -> bytes:
    """The uncut network: (1, 3, 224, 224) → (1, 1000)."""
    return drawn(model, (3, SIDE, SIDE), [*_front(model), *_back(model)], hollow)


def bottlefit(model: str, channels: int = 3) -> tuple[bytes, bytes]:
    """Head and tail of BottleFit: (3, 224, 224) → (channels, 29, 29) → (1000,)."""
    return (
        drawn(f"{model} BottleFit head", (3, SIDE, SIDE), [_encoder(channels)]),
        drawn(f"{model} BottleFit tail", (channels, 29, 29), [_decoder(model), *_back(model)]),
    )


def middle(model: str, channels: int = 3, hollow: bool = False) -> tuple[bytes, bytes]:
    """Head and tail of an autoencoder in the middle, where BottleFit's stretch ends."""
    wide, side = (512, 28) if model in RESNETS else (256, 14)
    return (
        drawn(f"{model} middle head", (3, SIDE, SIDE), [*_front(model), _convs((wide // 2, 3), (channels, 3), last="")], hollow),
        drawn(f"{model} middle tail", (channels, side, side), [_convs((wide // 2, 3), (wide, 3)), *_back(model)], hollow),
    )


def mobilenet_v2() -> bytes:
    """MobileNetV2 (Sandler et al. 2018, table 2), which more boards are quoted with than any other."""
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def draw(s: Sketch, x: str) -> str:
        x = s.conv(x, 32, 3, 2, act="Relu6")
        for expansion, channels, blocks, first in stages:
            for block in range(blocks):
                y = s.conv(x, s.wide(x) * expansion, 1, act="Relu6") if expansion > 1 else x
                y = s.conv(s.depthwise(y, 3, first if not block else 1, "Relu6"), channels, 1, act="")
                x = s.add(y, x) if block else y
        return s.dense(s.flat_mean(s.conv(x, 1280, 1, act="Relu6")), 1000)

    return drawn("MobileNetV2", (3, SIDE, SIDE), [draw])


def resnet50(side: int = SIDE) -> bytes:
    """ResNet-50 at another size, for boards that are quoted at that size."""
    return drawn("ResNet-50", (3, side, side), [*_front("ResNet-50"), *_back("ResNet-50")])


def _front(model: str) -> list[Layer]:
    """What BottleFit replaces: the stem and the layers down to stride 8 (ResNet: layer2; DenseNet: its second transition)."""
    if model in RESNETS:
        return [_stem, _stage(0, RESNETS[model][0]), _stage(1, RESNETS[model][1])]
    blocks = DENSENETS[model]
    return [_stem, _dense(blocks[0]), _transition, _dense(blocks[1]), _transition]


def _back(model: str) -> list[Layer]:
    if model in RESNETS:
        return [_stage(2, RESNETS[model][2]), _stage(3, RESNETS[model][3]), _classify]
    blocks = DENSENETS[model]
    return [_dense(blocks[2]), _transition, _dense(blocks[3]), lambda s, x: s.activate(s.norm(x), "Relu"), _classify]


def _stem(s: Sketch, x: str) -> str:
    return s.pool(s.conv(x, 64, 7, 2), "MaxPool", 3, 2, 1)


def _classify(s: Sketch, x: str) -> str:
    return s.dense(s.flat_mean(x), 1000)


def _stage(index: int, blocks: int) -> Layer:
    """A stage of bottleneck blocks 1 × 1, 3 × 3, 1 × 1."""
    width = PLANES[index]

    def draw(s: Sketch, x: str) -> str:
        for block in range(blocks):
            stride = 2 if index and not block else 1
            y = s.conv(s.conv(s.conv(x, width, 1), width, 3, stride), 4 * width, 1, act="")
            x = s.conv(x, 4 * width, 1, stride, act="") if not block else x
            x = s.activate(s.add(y, x), "Relu")
        return x

    return draw


def _dense(layers: int) -> Layer:
    """A dense block: each layer BN, ReLU, conv 1 → 128, ReLU, conv 3 → 32, joined to what it took."""

    def draw(s: Sketch, x: str) -> str:
        for _ in range(layers):
            y = s.conv(s.conv(s.activate(s.norm(x), "Relu"), 4 * GROWTH, 1), GROWTH, 3, act="")
            x = s.concat([x, y])
        return x

    return draw


def _transition(s: Sketch, x: str) -> str:
    return s.pool(s.conv(s.activate(s.norm(x), "Relu"), s.wide(x) // 2, 1, act=""), "AveragePool", 2, 2)


def _encoder(channels: int) -> Layer:
    def draw(s: Sketch, x: str) -> str:
        x = s.activate(s.pool(s.conv(x, 64, 7, 2), "MaxPool", 3, 2, 1), "Relu")
        return s.conv(x, channels, 2, 2, act="", pad=1)

    return draw


def _decoder(model: str) -> Layer:
    widths, stride = ((512, 512, 512, 512), 1) if model in RESNETS else ((512, 512, 256, 256), 2)

    def draw(s: Sketch, x: str) -> str:
        x = s.activate(s.norm(x), "Relu")
        for i, (width, pad) in enumerate(zip(widths, (1, 1, 0, 0), strict=True)):
            x = s.conv(x, width, 2, 1, act="Relu" if i < 3 else "", pad=pad)
        return s.pool(x, "AveragePool", 2, stride)

    return draw


def _convs(*layers: tuple[int, int], last: str = "Relu") -> Layer:
    def draw(s: Sketch, x: str) -> str:
        for i, (width, size) in enumerate(layers):
            x = s.conv(x, width, size, act="Relu" if i + 1 < len(layers) else last)
        return x

    return draw
